"""What the commands print for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any


def say_json(facts: Mapping[str, Any]) -> None:
    """Print one JSON object on one line of standard output, at once."""
    with suppress(BrokenPipeError):  # whoever read this has gone; that is no reason to stop
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()
