"""Private files that must survive a power cut: made new, written whole, names made durable with their folder."""

from __future__ import annotations

import os
from pathlib import Path

from ..stream.direct_io import write_at

Buffer = bytes | bytearray | memoryview


def create(path: Path, flags: int = 0) -> int:
    """Make a file that only its owner can read; it must not exist.

    Returns
    -------
    int
        Descriptor, open for reading and writing.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | flags, 0o600)


def write_file(path: Path, data: Buffer) -> None:
    """Write a new private file, durable at return but for its name (see `sync_folder`)."""
    handle = create(path)
    try:
        write_at(handle, [memoryview(data)], 0)
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
