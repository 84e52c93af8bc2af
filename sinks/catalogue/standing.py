"""How a run stands in the catalogue, for page and command line: a decision without I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from .investigations import LOCAL
from .outbox import Entry, Registered

State = Literal["local", "queued", "registered", "complete", "parked"]
UNTOLD = "the catalogue was never told of this run"
RECONCILE = "octostream catalogue reconcile registers it"


@dataclass(frozen=True)
class Standing:
    """What the catalogue has of a run, and what it is still to be told.

    Attributes
    ----------
    state : str
        ``"local"``: the catalogue knows nothing of the run, and nothing is on its way; ``"queued"``: it knows nothing
        yet; ``"registered"``: it has the run, which is not complete there; ``"complete"``; ``"parked"``: it will learn
        no more before a person has seen to it.
    datasets : mapping
        Ids in ICAT by what they hold: ``"raw"``, ``"reduced"``; empty where nothing is registered.
    waiting : int
        Entries of the run that are not delivered, parked ones among them.
    why, remedy : str
        Of what stands in the way, also where it is tried again; empty where nothing does.
    next_try_ns : int or None
        Wall clock before when the first of them is not tried; 0 for at once, None where nothing is tried.
    lag_s : float or None
        From the last frame to completeness in ICAT, seconds; None where the run is not complete there.
    """

    state: State
    datasets: Mapping[str, int] = field(default_factory=dict)
    waiting: int = 0
    why: str = ""
    remedy: str = ""
    next_try_ns: int | None = None
    lag_s: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Give JSON types."""
        return asdict(self)


def standing(investigation: str, entries: Sequence[Entry], registered: Registered | None) -> Standing:
    """Tell how a run stands.

    Parameters
    ----------
    investigation : str
        Of the run.
    entries : sequence of Entry
        Of the run, oldest first: each waits for those before it.
    registered : Registered or None
        What the catalogue is known to have of it.
    """
    datasets = registered.datasets if registered else {}
    if entries:
        first = entries[0]
        state: State = "registered" if registered else "queued"
        parked = next((entry for entry in entries if entry.state == "parked"), None)
        if parked is not None:
            return Standing("parked", datasets, len(entries), parked.reason, parked.remedy)
        return Standing(state, datasets, len(entries), first.reason, first.remedy, first.due_ns)
    if registered is None:
        return Standing("local") if investigation == LOCAL else Standing("local", why=UNTOLD, remedy=RECONCILE)
    return Standing("complete" if registered.complete else "registered", datasets, lag_s=registered.lag_s)
