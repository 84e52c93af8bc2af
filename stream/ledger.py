"""The account of a run: every frame number is stored, or lost with where and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .model import Loss
from .ranges import Ranges

Status = Literal["recording", "complete", "incomplete"]


@dataclass(frozen=True)
class Ledger:
    """What became of every frame of a run.

    Attributes
    ----------
    expected : int
        Frames that the plan asks for.
    stored : Ranges
        Frame numbers that are durable in the store.
    losses : tuple of Loss
        Frame numbers that never will be, disjoint from each other and from ``stored``.
    """

    expected: int
    stored: Ranges = field(default_factory=Ranges)
    losses: tuple[Loss, ...] = ()

    def store(self, numbers: Ranges) -> Ledger:
        """Account for frames that became durable; what is stored is no longer lost."""
        stored = self.stored | numbers
        return replace(self, stored=stored, losses=tuple(_without(self.losses, stored)))

    def lose(self, losses: Iterable[Loss]) -> Ledger:
        """Account for lost frames; the first account of a frame stands, and a stored frame stays stored."""
        known = self.stored | self.lost
        fresh: list[Loss] = []
        for loss in losses:
            pieces = [replace(loss, first=a, last=b) for a, b in known.outside(loss.first, loss.last)]
            if pieces:
                fresh += pieces
                known |= Ranges(((loss.first, loss.last),))
        if not fresh:
            return self
        return replace(self, losses=joined(sorted((*self.losses, *fresh), key=lambda k: k.first)))

    @property
    def lost(self) -> Ranges:
        """Frame numbers that are lost."""
        return Ranges.join((k.first, k.last) for k in self.losses)

    @property
    def unknown(self) -> Ranges:
        """Frame numbers of which nothing is known yet."""
        return Ranges.join([(0, self.expected - 1)] if self.expected else []) - self.stored - self.lost

    @property
    def status(self) -> Status:
        """``complete`` only when every expected frame is stored; ``recording`` while any is unaccounted for."""
        if self.unknown.spans:
            return "recording"
        return "incomplete" if self.losses else "complete"

    def to_json(self, most: int | None = None) -> dict[str, Any]:
        """Give the ledger as JSON types: counts, stored ranges, losses with where and why.

        Parameters
        ----------
        most : int, optional
            Entries of each list at most, for a message; all where not given. The counts are always of everything.
        """
        lost = [{"first": k.first, "last": k.last, "where": k.where, "why": k.why} for k in self.losses[:most]]
        return {
            "frames_expected": self.expected,
            "frames_stored": len(self.stored),
            "frames_lost": len(self.lost),
            "stored": [list(span) for span in self.stored.spans[:most]],
            "lost": lost,
        }


def joined(losses: Iterable[Loss]) -> tuple[Loss, ...]:
    """Join neighbours that were lost at the same place for the same reason; they come in order."""
    kept: list[Loss] = []
    for loss in losses:
        last = kept[-1] if kept else None
        if last and (last.where, last.why, last.last + 1) == (loss.where, loss.why, loss.first):
            kept[-1] = replace(last, last=loss.last)
        else:
            kept.append(loss)
    return tuple(kept)


def _without(losses: Iterable[Loss], known: Ranges) -> Iterable[Loss]:
    for loss in losses:
        for first, last in known.outside(loss.first, loss.last):
            yield replace(loss, first=first, last=last)
