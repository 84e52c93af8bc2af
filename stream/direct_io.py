"""Writing past the page cache: memory that begins at a page, writes however short, and file systems that refuse it."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

#: Direct I/O wants offsets, lengths and addresses at multiples of this; it is the page of every machine we know.
PAGE_BYTES = 4096
#: What a file system refuses as direct I/O is tried again through the page cache.
REFUSED = (errno.EINVAL, errno.EOPNOTSUPP)


def page_memory(nbytes: int) -> memoryview:
    """Give zeroed memory that begins at a page; NumPy's own begins 16 bytes behind one.

    Parameters
    ----------
    nbytes : int
        How much.

    Returns
    -------
    memoryview
        Bytes, writable.
    """
    memory = np.zeros(nbytes + PAGE_BYTES, np.uint8)
    begin = -memory.ctypes.data % PAGE_BYTES
    return memory[begin : begin + nbytes].data


class DirectFile:
    """A new file that is written directly, or through the page cache where the file system wants that.

    Parameters
    ----------
    path : Path
        Of the file; must not exist.
    mode : int
        Permissions of the file, less the process's mask.

    Attributes
    ----------
    handle : int
        Descriptor; another one after a write that was refused.
    direct : bool
        Whether it is written directly.

    Raises
    ------
    OSError
        It cannot be made.
    """

    def __init__(self, path: Path, mode: int = 0o600) -> None:
        self.path = path
        self.handle, self.direct = _create(path, mode)

    def write(self, parts: Sequence[memoryview], offset: int) -> None:
        """Write buffers one after another; not durable yet.

        Parameters
        ----------
        parts : sequence of memoryview
            Bytes; each begins at a page and has whole pages.
        offset : int
            Where in the file, at a page.

        Raises
        ------
        OSError
            As the system says.
        """
        if self.direct:
            try:
                write_at(self.handle, parts, offset, PAGE_BYTES)
            except OSError as error:
                if error.errno not in REFUSED:
                    raise
                self._go_without()
            else:
                return
        write_at(self.handle, parts, offset)

    def close(self) -> None:
        """Close the file as it is."""
        os.close(self.handle)

    def _go_without(self) -> None:
        handle = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        os.close(self.handle)
        self.handle, self.direct = handle, False


def _create(path: Path, mode: int) -> tuple[int, bool]:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_DIRECT, mode), True
    except OSError as error:
        if error.errno not in REFUSED:
            raise
    path.unlink(missing_ok=True)  # Linux makes the file before it refuses the flag
    return os.open(path, flags, mode), False


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
        As the system says; EIO where it takes nothing and gives no reason; EINVAL where it takes less than a step.
    """
    left = list(parts)
    total = sum(part.nbytes for part in left)
    done = 0
    while done < total:
        wrote = os.pwritev(handle, left, offset + done) if len(left) > 1 else os.pwrite(handle, left[0], offset + done)
        if wrote <= 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        wrote -= wrote % step if wrote < total - done else 0
        if not wrote:  # less than can be gone on with, as on a disk of small blocks that is full: the next try says why
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        done += wrote
        left = _after(left, wrote)


def _after(parts: list[memoryview], count: int) -> list[memoryview]:
    """Give what is left of buffers after so many bytes of them."""
    for k, part in enumerate(parts):
        if count < part.nbytes:
            return [part[count:], *parts[k + 1 :]]
        count -= part.nbytes
    return []
