"""How all runs stand in the catalogue, read beside a running service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...stream.report import RunReport
from ..registry import Registry
from .outbox import Entry, Outbox
from .standing import Standing, standing


@dataclass(frozen=True)
class Listed:
    """A run and how it stands.

    Attributes
    ----------
    run, name, investigation, visit : str
    status : str
        ``recording``, ``complete`` or ``incomplete``; ``removed`` for one that never began.
    standing : Standing
    """

    run: str
    name: str
    investigation: str
    visit: str
    status: str
    standing: Standing

    def to_json(self) -> dict[str, Any]:
        """Give JSON types."""
        named = {name: getattr(self, name) for name in ("run", "name", "investigation", "visit", "status")}
        return {**named, **self.standing.to_json()}


@dataclass(frozen=True)
class Overview:
    """The catalogue's side of a data directory.

    Attributes
    ----------
    queued, parked : int
        Entries that wait: to be tried, and for a person.
    oldest_ns : int or None
        Wall clock when the oldest of them was written; None where none waits.
    runs : sequence of Listed
        Newest first; those that only the outbox knows come first.
    """

    queued: int
    parked: int
    oldest_ns: int | None
    runs: Sequence[Listed]


def overview(registry: Registry, outbox: Outbox, limit: int = 100, run: str = "") -> Overview:
    """Look at the runs, and at what waits.

    Parameters
    ----------
    registry : Registry
    outbox : Outbox
    limit : int
        At most so many runs of the registry.
    run : str
        Only this one; empty for all.

    Raises
    ------
    StoreError
        The file cannot be read.
    """
    waiting: dict[str, list[Entry]] = {}
    for entry in outbox.entries(run):
        waiting.setdefault(entry.intent.facts.run, []).append(entry)
    entries = [entry for of_run in waiting.values() for entry in of_run]
    known = [found for found in [registry.get(run)] if found] if run else registry.list(limit)
    listed = [_gone(of_run, outbox) for id_, of_run in waiting.items() if registry.get(id_) is None]
    listed += [_listed(report, waiting.get(report.id, ()), outbox) for report in known]
    parked = sum(entry.state == "parked" for entry in entries)
    oldest = min((entry.written_ns for entry in entries), default=None)
    return Overview(len(entries) - parked, parked, oldest, listed)


def _listed(report: RunReport, entries: Sequence[Entry], outbox: Outbox) -> Listed:
    stands = standing(report.investigation, entries, outbox.registered(report.id))
    return Listed(report.id, report.name, report.investigation, report.visit, report.status, stands)


def _gone(entries: Sequence[Entry], outbox: Outbox) -> Listed:
    """Give a run that the registry has no more, but the catalogue has, or is to hear of."""
    facts = entries[0].intent.facts
    stands = standing(facts.investigation, entries, outbox.registered(facts.run))
    return Listed(facts.run, facts.name, facts.investigation, facts.visit, "removed", stands)
