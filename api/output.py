"""What the commands print for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any


def say_json(facts: Mapping[str, Any]) -> None:
    """Print one JSON object on one line of standard output, at once."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()
