"""Where an instrument keeps its spools."""

from __future__ import annotations

import os
from pathlib import Path

#: Names another folder than the usual one.
FOLDER_VARIABLE = "OCTOSTREAM_SPOOL"


def spool_folder() -> Path:
    """Give the folder of this machine's spools: the one that OCTOSTREAM_SPOOL names, or the user's state folder."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(chosen) if chosen else Path(state) / "octostream" / "spool"
