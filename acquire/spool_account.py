"""What waits in a spool, and where: the only thing that its threads share."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..stream.model import Frame
from ..stream.ranges import Ranges


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame lies.

    Attributes
    ----------
    frame : Frame
        Number, time and checksum.
    segment, slot : int
        Number of the file, and of the record in it, from 0.
    """

    frame: Frame
    segment: int
    slot: int


@dataclass
class _Stored:
    """A segment: where, how large, how many of its frames still wait, and whether more are being written."""

    path: Path
    nbytes: int
    waiting: int = 0
    growing: bool = False


class SpoolAccount:
    """Which frames wait in which segment; may be used by any thread.

    A segment in which nothing waits any more is removed at once, unless it is being written.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[int, Place] = {}
        self._segments: dict[int, _Stored] = {}
        self._doomed: list[_Stored] = []

    def take_up(self, places: Mapping[int, Place], segments: Mapping[int, tuple[Path, int]], spare: set[int]) -> None:
        """Begin with what an earlier process left.

        Parameters
        ----------
        places : mapping
            Of the frames that wait.
        segments : mapping
            Path and size in bytes of every segment, by number.
        spare : set of int
            Segments that are not removed although nothing waits there: they are damaged, and somebody may want to look.
        """
        with self._lock:
            self._places = dict(places)
            self._segments = {number: _Stored(path, nbytes) for number, (path, nbytes) in segments.items()}
            for place in places.values():
                self._segments[place.segment].waiting += 1
            self._doom(self._segments.keys() - spare)
        self.remove_doomed()

    @property
    def frames(self) -> Ranges:
        """Numbers of the frames that wait."""
        with self._lock:
            return Ranges.of(self._places)

    @property
    def used_bytes(self) -> int:
        """Bytes of all segments."""
        with self._lock:
            return sum(s.nbytes for s in (*self._segments.values(), *self._doomed))

    def place(self, number: int) -> Place | None:
        """Give where a frame lies; None where it does not wait here."""
        with self._lock:
            return self._places.get(number)

    def still(self, numbers: Iterable[int]) -> Ranges:
        """Give those of some frames that still wait."""
        with self._lock:
            return Ranges.of(n for n in numbers if n in self._places)

    def within(self, spans: Ranges) -> Ranges:
        """Give the frames that wait and are in a set; quick however large the set is."""
        with self._lock:
            return Ranges.of(n for n in self._places if n in spans)

    def begin(self, segment: int, path: Path, nbytes: int) -> None:
        """Account for a segment that is being written from now on."""
        with self._lock:
            self._segments[segment] = _Stored(path, nbytes, growing=True)

    def put(self, place: Place) -> None:
        """Account for a frame; one that was here before lies at the new place from now on."""
        with self._lock:
            before = self._places.get(place.frame.number)
            self._places[place.frame.number] = place
            self._segments[place.segment].waiting += 1
            if before is not None:
                self._segments[before.segment].waiting -= 1
                self._doom([before.segment])

    def end(self, segment: int, nbytes: int) -> None:
        """Account for a segment that is written no more."""
        with self._lock:
            self._segments[segment].growing = False
            self._segments[segment].nbytes = nbytes
            self._doom([segment])
        self.remove_doomed()

    def take_out(self, numbers: Iterable[int]) -> Ranges:
        """Forget frames; gives those that were there."""
        with self._lock:
            gone = [p for p in (self._places.pop(n, None) for n in numbers) if p is not None]
            for place in gone:
                self._segments[place.segment].waiting -= 1
            self._doom({place.segment for place in gone})
        return Ranges.of(place.frame.number for place in gone)

    def _doom(self, segments: Iterable[int]) -> None:
        for number in list(segments):
            if self._segments[number].waiting == 0 and not self._segments[number].growing:
                self._doomed.append(self._segments.pop(number))

    def remove_doomed(self) -> None:
        """Remove the files in which nothing waits; one that cannot be removed counts as used, and is tried again."""
        with self._lock:
            doomed, self._doomed = self._doomed, []
        for segment in doomed:
            try:
                segment.path.unlink(missing_ok=True)
            except OSError:
                with self._lock:
                    self._doomed.append(segment)
