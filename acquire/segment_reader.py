"""Reading a segment: frames straight into the caller's buffer, each checked."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import xxhash

from ..stream.direct_io import PAGE_BYTES, REFUSED, page_memory
from ..stream.model import Frame
from ..stream.ranges import Ranges
from .segment import DAMAGE, opened
from .spool_errors import DamagedFrameError, failure
from .spool_record import RecordLayout


class SegmentReader:
    """Reads frames; for one thread.

    Parameters
    ----------
    layout : RecordLayout
        Of the records.
    """

    def __init__(self, layout: RecordLayout) -> None:
        self._layout = layout
        self._block: memoryview | None = None
        self._direct = True

    def read(self, path: Path, slot: int, frame: Frame, into: memoryview) -> None:
        """Read the pixels of a frame.

        Parameters
        ----------
        path : Path
            Of the segment.
        slot : int
            Place of the record in it, from 0.
        frame : Frame
            What the pixels must be.
        into : memoryview
            Gets them; as many bytes as a frame has.

        Raises
        ------
        DamagedFrameError
            They are not what was written, or the disk cannot read them.
        SpoolError
            The file cannot be read for another reason.
        """
        offset = slot * self._layout.stride + PAGE_BYTES
        buffer = into.cast("B")
        where = f"frame {frame.number} of the spool, {path.name} at byte {offset}"
        try:
            count = self._pixels(path, offset, buffer)
        except OSError as error:
            if error.errno not in DAMAGE:
                raise failure(f"read {where}", error, Ranges.of([frame.number])) from error
            raise _damaged(f"{where}, cannot be read ({os.strerror(error.errno)})", frame) from error
        if count < buffer.nbytes:
            raise _damaged(f"{where}, is cut off", frame)
        if xxhash.xxh3_64_intdigest(buffer) != frame.checksum:
            raise _damaged(f"{where}, does not match its checksum", frame)

    def _pixels(self, path: Path, offset: int, into: memoryview) -> int:
        """Read, directly where that is possible; gives how many bytes came."""
        if self._direct:
            try:
                with opened(path, os.O_DIRECT) as handle:
                    return self._read_direct(handle, offset, into)
            except OSError as error:
                if error.errno not in REFUSED:
                    raise
            self._direct = False
        with opened(path) as handle:
            count = _read_all(handle, into, offset, direct=False)
            with suppress(OSError):  # it is advice
                os.posix_fadvise(handle, offset, into.nbytes, os.POSIX_FADV_DONTNEED)
            return count

    def _read_direct(self, handle: int, offset: int, into: memoryview) -> int:
        if into.nbytes % PAGE_BYTES == 0 and _address(into) % PAGE_BYTES == 0:
            return _read_all(handle, into, offset, direct=True)
        if self._block is None:
            self._block = page_memory(self._layout.padded_bytes)
        count = min(_read_all(handle, self._block, offset, direct=True), into.nbytes)
        into[:count] = self._block[:count]
        return count


def _read_all(handle: int, into: memoryview, offset: int, *, direct: bool) -> int:
    done = 0
    while done < into.nbytes:
        count = os.preadv(handle, [into[done:]], offset + done)
        done += count
        if count == 0 or (direct and done % PAGE_BYTES):  # the end of the file, where direct I/O cannot go on
            break
    return done


def _address(buffer: memoryview) -> int:
    return int(np.frombuffer(buffer, np.uint8).ctypes.data)


def _damaged(what: str, frame: Frame) -> DamagedFrameError:
    return DamagedFrameError(f"{what}", "the other frames are not affected; check the disk", Ranges.of([frame.number]))
