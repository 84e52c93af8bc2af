"""``provenance.json`` in a store: what made its data, where and how, in full; the catalogue has only the outline."""

from __future__ import annotations

import json
import platform
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..stream.ledger import Ledger
from .durable import json_bytes, write_durably
from .runfile import StoredRun, plan_to_json

NAME = "provenance.json"


def write_provenance(stored: StoredRun, ledger: Ledger, devices: Mapping[str, str]) -> None:
    """Say what made the data of a store, durably.

    Parameters
    ----------
    stored : StoredRun
        Description of the store.
    ledger : Ledger
        Of the run, which is over.
    devices : mapping
        What each process reduced on, by its name. What an earlier end of the run knew of others stays.
    """
    run, file = stored.run, provenance_file(Path(stored.run.store))
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
        "devices": {**_devices_known(file), **devices},
        "frames": {
            "status": ledger.status,
            "expected": ledger.expected,
            "stored": len(ledger.stored),
            "lost": len(ledger.lost),
        },
    }
    write_durably(file, json_bytes(content))


def provenance_file(store: Path) -> Path:
    """Give the place of the file in a store."""
    return store / NAME


def _devices_known(file: Path) -> dict[str, Any]:
    """Give what an earlier end of the run said; a damaged file says nothing, the run is described without it."""
    try:
        return dict(json.loads(file.read_bytes())["devices"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
