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
        kept = list(self.losses)
        for loss in losses:
            known = self.stored | Ranges.join((k.first, k.last) for k in kept)
            kept.extend(_without([loss], known))
        return replace(self, losses=tuple(sorted(kept, key=lambda k: k.first)))

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

    def to_json(self) -> dict[str, Any]:
        """Give the ledger as JSON types: counts, stored ranges, losses with where and why."""
        return {
            "frames_expected": self.expected,
            "frames_stored": len(self.stored),
            "frames_lost": len(self.lost),
            "stored": [list(span) for span in self.stored.spans],
            "lost": [{"first": k.first, "last": k.last, "where": k.where, "why": k.why} for k in self.losses],
        }


def _without(losses: Iterable[Loss], known: Ranges) -> Iterable[Loss]:
    for loss in losses:
        for first, last in (Ranges(((loss.first, loss.last),)) - known).spans:
            yield replace(loss, first=first, last=last)
