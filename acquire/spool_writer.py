"""The thread that writes a spool: frames behind one another, durable when asked."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..stream.model import Frame
from ..stream.ranges import Ranges
from .durable import sync_folder
from .journal import Journal
from .segment import segment_path, segments_of
from .segment_writer import SegmentWriter
from .spool_account import Place, SpoolAccount
from .spool_errors import SpoolError, SpoolFullError, failure
from .spool_record import RecordLayout, capacity_of

#: Bytes of a disk (at most 2 % of it) that no spool fills: other programs of the instrument write there too.
RESERVE_BYTES = 512 * 2**20
#: A spool is cut into at least so many segments, so that space comes back in small parts.
PARTS = 8
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class SpoolWriter:
    """Writes the segments of a spool; for one thread.

    Parameters
    ----------
    directory : Path
        Of the spool.
    layout : RecordLayout
        Of its records.
    limit_bytes : int
        Bytes that the segments may take.
    account : SpoolAccount
        Where frames are accounted for.
    journal : Journal
        Where it is written down that they are durable.
    left : mapping of int to list of int
        Frames by segment that an earlier process wrote and did not make durable.
    """

    def __init__(
        self,
        directory: Path,
        layout: RecordLayout,
        limit_bytes: int,
        account: SpoolAccount,
        journal: Journal,
        left: dict[int, list[int]],
    ) -> None:
        self._directory = directory
        self._layout = layout
        self._limit_bytes = limit_bytes
        self._account = account
        self._journal = journal
        self._left = left
        self._segment: SegmentWriter | None = None
        self._sequence = max(segments_of(directory), default=0)
        self._unsynced: list[int] = []
        self._synced: list[int] = []
        self._names_synced = True

    def append(self, frame: Frame, pixels: NDArray[np.uint16]) -> None:
        """Write a frame behind the others; see `Spool.append`."""
        segment = self._segment
        if segment is None or segment.full:
            segment = self._next_segment(frame.number)
        try:
            segment.write(frame, pixels)
        except OSError as error:
            raise self._given_up(error, [*self._unsynced, frame.number]) from error
        self._unsynced.append(frame.number)
        self._account.put(Place(frame, self._sequence, segment.written - 1))

    def sync(self) -> Ranges:
        """Make everything durable; see `Spool.sync`."""
        self._sync_left()
        self._sync_segment([])
        if not self._names_synced:
            try:
                sync_folder(self._directory)
            except OSError as error:
                raise self._given_up(error, self._synced) from error
            self._names_synced = True
        durable = self._account.still(self._synced)
        self._journal.keep(durable)
        self._journal.sync()
        self._synced = []
        return durable

    def close(self) -> None:
        """Close the file that is being written; what is not synced may be lost."""
        if self._segment is not None:
            self._segment.close()
            self._account.end(self._sequence, self._segment.nbytes)
            self._segment = None

    def _next_segment(self, number: int) -> SegmentWriter:
        self._sync_segment([number])
        self.close()
        capacity = self._room(number)
        self._sequence += 1
        path = segment_path(self._directory, self._sequence)
        try:
            self._segment = SegmentWriter(path, self._layout, capacity)
        except OSError as error:
            if error.errno in _FULL:
                raise self._full("the disk's end", number) from error
            raise self._failure(error, [number]) from error
        self._names_synced = False
        self._account.begin(self._sequence, path, self._segment.nbytes)
        return self._segment

    def _room(self, number: int) -> int:
        """Give how many records the next segment may have."""
        stride = self._layout.stride
        allowed = (self._limit_bytes - self._account.used_bytes) // stride
        if allowed < 1:
            raise self._full("its limit", number)
        try:
            disk = os.statvfs(self._directory)
        except OSError as error:
            raise self._failure(error, [number]) from error
        reserve = min(RESERVE_BYTES, disk.f_blocks * disk.f_frsize // 50)
        free = (disk.f_bavail * disk.f_frsize - reserve) // stride
        if free < 1:
            raise self._full("the disk's reserve", number)
        return min(capacity_of(self._layout), max(1, self._limit_bytes // PARTS // stride), free, allowed)

    def _sync_segment(self, also: list[int]) -> None:
        if self._segment is None or not self._unsynced:
            return
        try:
            self._segment.sync()
        except OSError as error:
            raise self._given_up(error, [*self._unsynced, *also]) from error
        self._synced += self._unsynced
        self._unsynced = []

    def _sync_left(self) -> None:
        while self._left:
            sequence, numbers = self._left.popitem()
            if not self._account.still(numbers).spans:
                continue
            try:
                _sync_file(segment_path(self._directory, sequence))
            except OSError as error:
                raise self._untrusted(error, numbers) from error
            self._synced += numbers
            self._names_synced = False

    def _given_up(self, error: OSError, numbers: list[int]) -> SpoolError:
        """Trust nothing that was not durable in a segment that failed, and write it no more."""
        raised = self._untrusted(error, numbers)
        self.close()
        return raised

    def _untrusted(self, error: OSError, numbers: list[int]) -> SpoolError:
        """Never report these durable; they can still be read where they are whole, which reading checks."""
        self._unsynced = [n for n in self._unsynced if n not in numbers]
        self._synced = [n for n in self._synced if n not in numbers]
        return self._failure(error, numbers)

    def _failure(self, error: OSError, numbers: Iterable[int]) -> SpoolError:
        return failure(f"write to the spool {self._directory.name}", error, Ranges.of(numbers))

    def _full(self, what: str, number: int) -> SpoolFullError:
        said = f"the spool {self._directory.name} is full: {what} is reached"
        return SpoolFullError(said, "there is room again when the tier has taken frames", Ranges.of([number]))


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
