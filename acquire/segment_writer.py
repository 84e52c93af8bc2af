"""Writing a segment: records one after another into a preallocated file."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..stream.direct_io import PAGE_BYTES, DirectFile, page_memory
from ..stream.model import Frame
from .spool_record import RecordLayout


class SegmentWriter:
    """Writes records one after another into a preallocated file.

    Direct I/O leaves the page cache to others and costs a third of the CPU time (docs/decisions/0011-spool.md). Frames
    that do not lie on page boundaries are copied to one that does; file systems that refuse direct I/O get ordinary
    writes.

    Parameters
    ----------
    path : Path
        Of the file; must not exist.
    layout : RecordLayout
        Of the records.
    capacity : int
        Records that will fit.

    Raises
    ------
    OSError
        It cannot be made, for example because the disk is full; nothing is left behind.
    """

    def __init__(self, path: Path, layout: RecordLayout, capacity: int) -> None:
        self.path = path
        self.capacity = capacity
        self.written = 0
        self._closed = False
        self._layout = layout
        self._block = page_memory(layout.stride)
        self._file = DirectFile(path)
        try:
            os.posix_fallocate(self._file.handle, 0, self.nbytes)
        except OSError:
            self._file.close()
            path.unlink()
            raise

    @property
    def nbytes(self) -> int:
        """Bytes of the file: room for all records, once closed those that there are."""
        return (self.written if self._closed else self.capacity) * self._layout.stride

    @property
    def full(self) -> bool:
        """Whether no record fits any more."""
        return self.written == self.capacity

    @property
    def direct(self) -> bool:
        """Whether the page cache is passed by."""
        return self._file.direct

    def write(self, frame: Frame, pixels: NDArray[np.uint16]) -> None:
        """Write the next record; not durable yet.

        Raises
        ------
        OSError
            The file is not to be written again.
        """
        header = self._layout.header(frame)
        self._block[: len(header)] = header
        offset = self.written * self._layout.stride
        self._file.write(self._parts(pixels), offset)
        self.written += 1

    def _parts(self, pixels: NDArray[np.uint16]) -> list[memoryview]:
        """Give header and pixels as buffers at page boundaries, copying the pixels only where they must be."""
        nbytes = self._layout.frame_bytes
        whole_pages = nbytes % PAGE_BYTES == 0 and pixels.ctypes.data % PAGE_BYTES == 0
        if pixels.flags.c_contiguous and whole_pages:
            return [self._block[:PAGE_BYTES], pixels.data.cast("B")]
        inside = np.frombuffer(self._block[PAGE_BYTES : PAGE_BYTES + nbytes], np.uint16)
        np.copyto(inside.reshape(pixels.shape), pixels)
        return [self._block]

    def sync(self) -> None:
        """Make what is written durable.

        Raises
        ------
        OSError
            Nothing since the last sync can be trusted, whatever a second try says.
        """
        os.fdatasync(self._file.handle)
        if not self.direct:  # written pages are of no use to anybody: the frames are in the agent's ring
            with suppress(OSError):  # it is advice
                os.posix_fadvise(self._file.handle, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        """Close the file and give back the room that was not needed."""
        with suppress(OSError):  # nothing depends on it: what must be durable was synced
            os.ftruncate(self._file.handle, self.written * self._layout.stride)
            self._closed = True
        self._file.close()
