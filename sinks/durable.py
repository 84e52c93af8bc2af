"""Small files that are whole or absent, whatever happens: temporary name, fsync, rename."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

#: Ends the names of files under construction; what a killed process leaves is removed when the run is sealed.
UNFINISHED = ".tmp"


def write_durably(path: Path, data: bytes, *, sync_folder: bool = True) -> None:
    """Put a file in place atomically, durable at return.

    Parameters
    ----------
    path : Path
        Where; its folder exists. A file that is there is replaced.
    data : bytes
        The content.
    sync_folder : bool
        Whether the name itself must survive a power cut. Not needed where the old content would do as well.

    Raises
    ------
    OSError
        As the system says; the old file, if any, is still whole.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}{UNFINISHED}")
    try:
        with unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
    if sync_folder:
        sync(path.parent)


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def json_bytes(value: Any) -> bytes:
    """Give JSON for files that people read too."""
    return json.dumps(value, indent=1, allow_nan=False).encode() + b"\n"
