"""Private files that must survive a power cut: made new, written whole, names made durable with their folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

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


def write_at(handle: int, parts: Sequence[memoryview], offset: int, step: int = 1) -> None:
    """Write buffers one after another, however short each write of the system is.

    Parameters
    ----------
    handle : int
        Descriptor.
    parts : sequence of memoryview
        Bytes to write.
    offset : int
        Where in the file.
    step : int
        After a short write go on at a multiple of this, as direct I/O needs.

    Raises
    ------
    OSError
        As the system says; EIO where it takes nothing and gives no reason.
    """
    left = list(parts)
    total = sum(part.nbytes for part in left)
    done = 0
    while done < total:
        wrote = os.pwritev(handle, left, offset + done) if len(left) > 1 else os.pwrite(handle, left[0], offset + done)
        wrote -= wrote % step if wrote < total - done else 0
        if wrote <= 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        done += wrote
        left = _after(left, wrote)


def _after(parts: list[memoryview], count: int) -> list[memoryview]:
    """Give what is left of buffers after so many bytes of them."""
    for k, part in enumerate(parts):
        if count < part.nbytes:
            return [part[count:], *parts[k + 1 :]]
        count -= part.nbytes
    return []


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
