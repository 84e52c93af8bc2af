"""The marks of a finished run in its store: closed to writers, and the ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..stream.errors import StoreError
from ..stream.ledger import Ledger
from ..stream.model import Loss
from ..stream.ranges import Ranges
from .checked import check_digest, with_digest
from .durable import json_bytes, sync, write_durably
from .failure import failure, said
from .layout import DOT_FOLDER

_KEYS = {"status", "frames_expected", "frames_stored", "frames_lost", "stored", "lost"}


def ledger_file(store: Path) -> Path:
    """Give the path of the ledger of a sealed run."""
    return store / DOT_FOLDER / "ledger.json"


def close_to_writers(store: Path) -> None:
    """Make every later write fail, before the account is drawn up."""
    # Also where it is there already: an earlier try may have failed between its name and the sync of its name.
    write_durably(_mark(store), b"")


def open_to_writers(store: Path) -> None:
    """Take the marks of the end away; the ledger first, for the account is drawn up anew. Durable at return."""
    for mark in (ledger_file(store), _mark(store)):
        mark.unlink(missing_ok=True)
    sync(store / DOT_FOLDER)


def is_closed(store: Path) -> bool:
    """Tell whether the run is over and nothing may be written any more.

    Raises
    ------
    StoreError
        The disk does not say.
    """
    with said(f"look into {store}"):
        return _mark(store).exists()


def write_ledger(store: Path, ledger: Ledger) -> None:
    """Make the ledger of a sealed run durable."""
    write_durably(ledger_file(store), json_bytes(with_digest({"status": ledger.status, **ledger.to_json()})))


def read_sealed_ledger(store: Path) -> Ledger | None:
    """Read the ledger of a sealed run; None where there is none yet.

    Raises
    ------
    StoreError
        It is damaged.
    """
    file = ledger_file(store)
    try:
        content = json.loads(file.read_bytes())
        check_digest(content, _KEYS)
        return ledger_from_json(content)
    except FileNotFoundError:
        return None
    except OSError as cause:
        raise failure(f"read {file}", cause) from cause
    except (ValueError, KeyError, TypeError, AttributeError) as cause:
        raise StoreError(f"{file} is damaged", "seal the run again: its commit records say what is stored") from cause


def salvage_ledger(store: Path) -> Ledger | None:
    """Give what can still be read of a damaged ledger: who was lost and why is written nowhere else.

    Returns
    -------
    Ledger or None
        Its frames may be wrong; the commit records say what is stored.
    """
    try:
        ledger = ledger_from_json(json.loads(ledger_file(store).read_bytes()))
        told = (*ledger.stored.spans, *ledger.projection_only.spans, *((k.first, k.last) for k in ledger.losses))
        texts = [text for k in ledger.losses for text in (k.where, k.why)]
        sound = all(0 <= first <= last for first, last in told) and all(isinstance(t, str) for t in texts)
        return ledger if sound and ledger.expected > 0 else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def ledger_from_json(data: Mapping[str, Any]) -> Ledger:
    """Read what `Ledger.to_json` gave."""
    return Ledger(
        data["frames_expected"],
        Ranges.join((first, last) for first, last in data["stored"]),
        tuple(Loss(**loss) for loss in data["lost"]),
        # Ledgers of a time when every stored frame was kept whole do not say so.
        Ranges.join((first, last) for first, last in data.get("projection_only", ())),
    )


def _mark(store: Path) -> Path:
    return store / DOT_FOLDER / "closed"
