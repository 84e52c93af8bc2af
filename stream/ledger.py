"""The account of a run: every frame number is stored, or lost with where and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import pairwise
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
    projection_only : Ranges
        Those of ``stored`` of whose pixels only projections were kept, as the recipe asks for; known from the commit
        records.
    """

    expected: int
    stored: Ranges = field(default_factory=Ranges)
    losses: tuple[Loss, ...] = ()
    projection_only: Ranges = field(default_factory=Ranges)

    def store(self, numbers: Ranges) -> Ledger:
        """Account for frames that became durable; what is stored is no longer lost."""
        stored = self.stored | numbers
        return replace(self, stored=stored, losses=tuple(_without(self.losses, stored)))

    def lose(self, losses: Iterable[Loss]) -> Ledger:
        """Account for lost frames; the first account of a frame stands, and a stored frame stays stored."""
        known = self.stored | self.lost
        fresh = [replace(k, first=a, last=b) for k in _once(losses) for a, b in known.outside(k.first, k.last)]
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
            "frames_projection_only": len(self.projection_only),
            "stored": [list(span) for span in self.stored.spans[:most]],
            "projection_only": [list(span) for span in self.projection_only.spans[:most]],
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


def _once(losses: Iterable[Loss]) -> list[Loss]:
    """Cut losses so that none names a frame that an earlier one names; quick for many, however they overlap."""
    told = list(losses)
    edges = sorted({edge for loss in told for edge in (loss.first, loss.last + 1)})
    waiting = sorted(range(len(told)), key=lambda k: told[k].first, reverse=True)
    open_here: list[int] = []
    once: list[Loss] = []
    for first, after in pairwise(edges):
        while waiting and told[waiting[-1]].first <= first:
            heappush(open_here, waiting.pop())
        while open_here and told[open_here[0]].last < first:
            heappop(open_here)
        if open_here:
            once.append(replace(told[open_here[0]], first=first, last=after - 1))
    return once


def _without(losses: Iterable[Loss], known: Ranges) -> Iterable[Loss]:
    for loss in losses:
        for first, last in known.outside(loss.first, loss.last):
            yield replace(loss, first=first, last=last)
