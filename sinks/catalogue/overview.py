"""How all runs stand in the catalogue, read beside a running service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..registry import Registry
from .outbox import Outbox
from .reading import CatalogueReader
from .standing import Standing


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


def overview(registry: Registry, outbox: Outbox, reader: CatalogueReader, limit: int = 100, run: str = "") -> Overview:
    """Look at the runs, and at what waits.

    Parameters
    ----------
    registry : Registry
    outbox : Outbox
    reader : CatalogueReader
    limit : int
        At most so many runs of the registry.
    run : str
        Only this one; empty for all.

    Raises
    ------
    StoreError
        The file cannot be read.
    """
    entries = outbox.entries(run)
    known = [found for found in [registry.get(run)] if found] if run else registry.list(limit)
    # The registry has those no more that the catalogue is to forget.
    gone = {e.intent.facts.run: e.intent.facts for e in entries if e.intent.kind == "removed"}
    stands = reader.standings(
        {of.run: of.investigation for of in gone.values()} | {r.id: r.investigation for r in known}
    )
    listed = [
        Listed(of.run, of.name, of.investigation, of.visit, "removed", stands[of.run]) for of in gone.values()
    ] + [Listed(r.id, r.name, r.investigation, r.visit, r.status, stands[r.id]) for r in known]
    parked = sum(entry.state == "parked" for entry in entries)
    oldest = min((entry.written_ns for entry in entries), default=None)
    return Overview(len(entries) - parked, parked, oldest, listed)
