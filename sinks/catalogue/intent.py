"""What the catalogue is to be told of a run; written before anybody is told that the run is there, delivered later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .facts import RunFacts

Kind = Literal["opened", "grown", "sealed", "failed", "removed"]


@dataclass(frozen=True)
class Intent:
    """One thing that the catalogue is to be told.

    Attributes
    ----------
    kind : str
        ``"opened"``, the run is there; ``"grown"``, more of it is committed, or it goes on after an early end;
        ``"sealed"``, it is complete; ``"failed"``, it is over and not complete; ``"removed"``, it never began.
    facts : RunFacts
        All that is known of the run at that moment: the store may be gone when this is delivered.
    """

    kind: Kind
    facts: RunFacts


def superseded(kind: Kind) -> tuple[Kind, ...]:
    """Give the kinds of earlier intents of the same run that need not be delivered once this one is written.

    Each intent holds all that is known, so the last of its sort is enough: a run has at most one entry a kind, and the
    queue grows with the runs, never with their length.
    """
    match kind:
        case "opened" | "grown":
            return (kind,)
        case "sealed" | "failed":
            return ("grown", "sealed", "failed")
        case "removed":
            return ("opened", "grown", "sealed", "failed", "removed")
