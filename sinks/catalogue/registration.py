"""Registering runs: what each intent means in ICAT; every step may be repeated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...stream.clock import wall_ns
from . import description as d
from .datasets import Datasets
from .intent import Intent, Kind
from .inventory import take_inventory
from .lookup import Lookup
from .outbox import Registered
from .provenance import Provenance
from .settings import CatalogueSettings

_STATUS: dict[Kind, str] = {"opened": "recording", "grown": "recording", "sealed": "complete", "failed": "incomplete"}


class Registration:
    """Registers runs in one ICAT.

    Parameters
    ----------
    client : icat.Client
        Logged in.
    settings : CatalogueSettings
    now_ns : callable
        Wall clock.
    """

    def __init__(self, client: Any, settings: CatalogueSettings, now_ns: Callable[[], int] = wall_ns) -> None:
        self.lookup = Lookup(client, settings.facility)
        self._datasets = Datasets(self.lookup, settings)
        self._provenance = Provenance(self.lookup)
        self._now_ns = now_ns

    def deliver(self, intent: Intent) -> Registered | None:
        """Let ICAT have what an intent says.

        Everything there is made so that it is known again: a call whose answer was lost is found done when it is
        repeated. A run becomes complete by its last calls, when all the rest is there.

        Returns
        -------
        Registered or None
            What ICAT has now; None for nothing any more.

        Raises
        ------
        Exception
            Whatever python-icat, suds or the network raise, or ParkedError; see `judge`.
        """
        facts, status = intent.facts, _STATUS.get(intent.kind)
        if status is None:
            self._datasets.remove(facts)
            return None
        datasets: dict[d.Part, Any] = {
            part: self._datasets.ensure(facts, part, status, whole=intent.kind != "opened") for part in d.parts(facts)
        }
        if intent.kind != "opened":
            self._bring_up_to_date(intent, status, datasets)
        complete = intent.kind == "sealed"
        now = self._now_ns()
        lag_s = (now - (facts.last_frame_ns or facts.ended_ns)) / 1e9 if complete else None
        return Registered({str(part): dataset.id for part, dataset in datasets.items()}, complete, now, lag_s)

    def _bring_up_to_date(self, intent: Intent, status: str, datasets: dict[d.Part, Any]) -> None:
        facts, over = intent.facts, intent.kind in ("sealed", "failed")
        inventory = take_inventory(Path(facts.store))
        for part, dataset in datasets.items():
            self._datasets.describe(dataset, d.parameters(facts, part, status, inventory.ledger_digest))
            if over:
                self._datasets.files(dataset, facts, part, inventory)
        if over:
            self._provenance.ensure(facts, datasets)
        for part, dataset in datasets.items():
            self._datasets.update(dataset, facts, inventory.sizes.get(part), complete=intent.kind == "sealed")
