"""Comparing the registry with ICAT, and telling ICAT again what it lacks or has wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ...stream.report import RunReport
from ..registry import Registry
from .audit import audit
from .comparing import differences
from .datafiles import files_of
from .description import Part, parts
from .facts import RunFacts
from .intent import Intent, Kind
from .inventory import Inventory, ledger_digest, take_inventory
from .investigations import LOCAL
from .lookup import Lookup
from .outbox import Outbox
from .standing import UNTOLD

_KIND: dict[str, Kind] = {"recording": "grown", "complete": "sealed", "incomplete": "failed"}

State = Literal["as it should be", "told again", "to be told again", "waits", "parked", "for a person"]


@dataclass(frozen=True)
class Reconciled:
    """What became of one run.

    Attributes
    ----------
    run, name : str
    state : str
        ``"told again"``: an entry was written, which the service delivers; ``"to be told again"``: it would have been,
        but this is a dry run; ``"waits"``, ``"parked"``: entries of it wait already, so it was not compared.
    why : tuple of str
        What is wrong in ICAT.
    """

    run: str
    name: str
    state: State
    why: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class Reconciliation:
    """Goes through the registry.

    Attributes
    ----------
    registry : Registry
    outbox : Outbox
    lookup : Lookup
        By the service's account.
    facts_of : callable
        Gives what is to be said of a run that the catalogue never heard of, from its store; None where that is gone.
    raw_shards : bool
        Of the settings.
    now_ns : callable
        Wall clock.
    """

    registry: Registry
    outbox: Outbox
    lookup: Lookup
    facts_of: Callable[[RunReport], RunFacts | None]
    raw_shards: bool
    now_ns: Callable[[], int]

    def run(self, *, dry: bool) -> Iterator[Reconciled]:
        """Compare run after run, newest first; those of no investigation in ICAT are left out.

        Parameters
        ----------
        dry : bool
            Whether nothing is written.

        Raises
        ------
        StoreError
            The registry cannot be read or written.
        Exception
            As `Registration.deliver`.
        """
        for report in self.registry.all():
            if report.investigation != LOCAL:
                yield self._reconcile(report, dry=dry)

    def _reconcile(self, report: RunReport, *, dry: bool) -> Reconciled:
        if entries := self.outbox.entries(report.id):
            parked = next((e for e in entries if e.state == "parked"), None)
            waiting = parked or entries[0]
            return _of(report, "parked" if parked else "waits", [waiting.reason] if waiting.reason else [])
        told = self.outbox.facts(report.id)
        facts = told.at(report) if told else self.facts_of(report)
        if facts is None:
            return _of(
                report, "for a person", [UNTOLD, f"its store {report.store} is gone, or not in the data directory"]
            )
        inventory = self._inventory(facts)
        files: dict[Part, int] = {
            part: len(files_of(facts, part, inventory, raw_shards=self.raw_shards)) for part in parts(facts)
        }
        found = audit(self.lookup, facts)
        wrong = differences(facts, report.status, inventory.ledger_digest, files, found)
        why = [*([] if told else [UNTOLD]), *(difference.text for difference in wrong)]
        if any(not difference.mendable for difference in wrong):
            return _of(report, "for a person", why)
        if not why:
            return _of(report, "as it should be", ())
        return _of(report, "to be told again" if dry else self._tell(facts, report), why)

    def _inventory(self, facts: RunFacts) -> Inventory:
        """Look through a store where its shards are files in ICAT; else its ledger is enough."""
        store = Path(facts.store)
        if self.raw_shards and facts.keep_raw:
            return take_inventory(store)
        return Inventory({}, (), ledger_digest(store))

    def _tell(self, facts: RunFacts, report: RunReport) -> State:
        intent = Intent(_KIND[report.status], facts)
        return "told again" if self.outbox.write_if_quiet(intent, report.status, self.now_ns()) else "waits"


def _of(report: RunReport, state: State, why: Sequence[str]) -> Reconciled:
    return Reconciled(report.id, report.name, state, tuple(why))
