"""Verifying a store: recompute what can be recomputed, name every missing or damaged frame."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..stream.ledger import Status
from ..stream.model import Loss
from .account import frames_of, projection_only
from .failure import said
from .runfile import read_run
from .verify_store import Progress, examine


@dataclass(frozen=True)
class VerifyReport:
    """What a verification found.

    Attributes
    ----------
    ok : bool
        No problem: everything that the ledger calls stored is there and right. A run with lost frames may be ok; see
        ``status`` and ``frames_lost``.
    status : str
        ``complete``, ``incomplete``, or ``recording`` where the run was never sealed.
    frames_expected, frames_stored, frames_lost : int
        By the commit records and the ledger.
    frames_projection_only : int
        Those of the stored ones of whose pixels only projections were kept, by the commit records.
    projection_only : tuple of (int, int)
        Their numbers, inclusive ranges.
    checks : tuple of str
        What was compared.
    losses : tuple of Loss
        Frames that the ledger calls lost, with where and why.
    problems : tuple of str
        One line each, naming frames or files.
    """

    ok: bool
    status: Status
    frames_expected: int
    frames_stored: int
    frames_lost: int
    frames_projection_only: int
    projection_only: tuple[tuple[int, int], ...]
    checks: tuple[str, ...]
    losses: tuple[Loss, ...]
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Give the report as JSON types."""
        return asdict(self)


def verify(store: Path, progress: Progress | None = None) -> VerifyReport:
    """Check a store against itself.

    Parameters
    ----------
    store : Path
        Any octostream store, sealed or not; it is only read.
    progress : callable, optional
        Called with (blocks done, blocks in all).

    Returns
    -------
    VerifyReport
        Damage is in the report, not raised.

    Raises
    ------
    StoreError
        There is no octostream store, or the system does not let it be read.
    """
    stored_run = read_run(store)
    with said(f"read {store}"):
        found = examine(store, stored_run, progress)
    ledger = found.ledger
    skipped = projection_only(stored_run.run.plan, stored_run.tables, found.commits.values())
    return VerifyReport(
        ok=not found.problems,
        status=ledger.status if ledger else "recording",
        frames_expected=stored_run.run.plan.frames,
        frames_stored=len(frames_of(found.commits.values())),
        frames_lost=len(ledger.lost) if ledger else 0,
        frames_projection_only=len(skipped),
        projection_only=skipped.spans,
        checks=found.checks,
        losses=ledger.losses if ledger else (),
        problems=tuple(dict.fromkeys(problem.text for problem in found.problems)),
    )
