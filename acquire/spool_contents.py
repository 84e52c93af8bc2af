"""What lies in a spool's directory, read without changing anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..stream.direct_io import page_memory
from ..stream.model import Loss
from ..stream.ranges import Ranges
from .journal_facts import Facts, read_facts
from .segment import Scan, scan, segment_path, segments_of
from .segment_reader import SegmentReader
from .spool_account import Place
from .spool_errors import DamagedFrameError
from .spool_opening import SpoolOpening, read_opening
from .spool_record import RecordLayout, capacity_of

#: Where the ledger says that such a frame was lost.
WHERE = "spool"
DAMAGED = "its record on the instrument's disk is damaged or gone"


@dataclass(frozen=True)
class Contents:
    """What a spool holds.

    Attributes
    ----------
    begun : SpoolOpening
        What was known when it was made.
    facts : Facts
        What its journal says.
    segments : dict of int to Scan
        What the headers of its files say, by number of the file.
    places : dict of int to Place
        Where the frames lie that wait, by frame number. Not all need be durable: see ``facts.kept``.
    """

    begun: SpoolOpening
    facts: Facts
    segments: dict[int, Scan]
    places: dict[int, Place]

    @property
    def layout(self) -> RecordLayout:
        """How the records are laid out."""
        return layout_of(self.begun)

    @property
    def kept(self) -> Ranges:
        """Frames that were durable here and are not durable at the tier."""
        return Ranges.join(self.facts.kept) - Ranges.join(self.facts.forgotten)

    @property
    def damaged(self) -> tuple[Loss, ...]:
        """Frames that were durable here and are not found any more; those known as lost before are not repeated."""
        known = Ranges.join((k.first, k.last) for k in self.facts.losses)
        return tuple(Loss(a, b, WHERE, DAMAGED) for a, b in (self.kept - known - Ranges.of(self.places)).spans)

    @property
    def nbytes(self) -> int:
        """Bytes of all segments."""
        return sum(segment.nbytes for segment in self.segments.values())


def layout_of(begun: SpoolOpening) -> RecordLayout:
    """Give how the records of a spool are laid out."""
    return RecordLayout(begun.opening.plan.frame_bytes, begun.key)


def read_contents(directory: Path) -> Contents:
    """Read what lies in a spool; damage costs what it hit.

    Raises
    ------
    SpoolError
        It is no spool, or its beginning is damaged.
    OSError
        It cannot be read.
    """
    begun = read_opening(directory)
    facts = read_facts(directory)
    layout = layout_of(begun)
    scans = {n: scan(path, layout, capacity_of(layout)) for n, path in segments_of(directory).items()}
    gone = Ranges.join([*facts.forgotten, *((k.first, k.last) for k in facts.losses)])
    found = (Place(f, n, slot) for n, read in scans.items() for slot, f in read.frames.items())
    places = {p.frame.number: p for p in found if p.frame.number not in gone}
    return Contents(begun, facts, scans, places)


def without_torn(contents: Contents, directory: Path) -> dict[int, Place]:
    """Give the places of the frames that are whole as far as is known.

    What was durable is only read when it is needed. What was not yet durable when its process ended may be torn: it is
    read now, and left out without a word where it is not whole.

    Raises
    ------
    SpoolError
        A file cannot be read for another reason than damage.
    """
    kept = contents.kept
    reader = SegmentReader(contents.layout)
    into = page_memory(contents.layout.padded_bytes)[: contents.layout.frame_bytes]
    return {n: p for n, p in contents.places.items() if n in kept or _is_whole(p, directory, reader, into)}


def _is_whole(place: Place, directory: Path, reader: SegmentReader, into: memoryview) -> bool:
    try:
        reader.read(segment_path(directory, place.segment), place.slot, place.frame, into)
    except DamagedFrameError:
        return False
    return True
