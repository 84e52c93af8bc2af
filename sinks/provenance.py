"""``provenance.json`` in a store: what made its data, where and how, in full; the catalogue has only the outline."""

from __future__ import annotations

import platform
import socket
from collections.abc import Collection, Mapping
from pathlib import Path

from ..stream.ledger import Ledger
from .durable import json_bytes, write_durably
from .runfile import StoredRun, plan_to_json

NAME = "provenance.json"


def write_provenance(stored: StoredRun, ledger: Ledger, devices: Mapping[str, Collection[str]]) -> None:
    """Say what made the data of a store, durably.

    Parameters
    ----------
    stored : StoredRun
        Description of the store.
    ledger : Ledger
        Of the run, which is over.
    devices : mapping
        What each process reduced on, by its name, as the commit records say.
    """
    run = stored.run
    content = {
        "run": {
            "id": run.id,
            "name": run.name,
            "investigation": run.investigation,
            "visit": run.visit,
            "instrument": run.instrument,
            "technique": run.technique,
            "opened_ns": run.opened_ns,
        },
        "plan": plan_to_json(run.plan),
        "recipe": run.recipe,
        "maps": dict(stored.maps),
        "keep_raw": run.keep_raw,
        "software": dict(stored.software),
        "sealed_on": {"host": socket.gethostname(), "system": platform.platform(), "machine": platform.machine()},
        "devices": {worker: sorted(used) for worker, used in sorted(devices.items())},
        "frames": {
            "status": ledger.status,
            "expected": ledger.expected,
            "stored": len(ledger.stored),
            "lost": len(ledger.lost),
        },
    }
    write_durably(provenance_file(Path(run.store)), json_bytes(content))


def provenance_file(store: Path) -> Path:
    """Give the place of the file in a store."""
    return store / NAME
