"""Who is stored and who is lost, when a run is over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..stream.ledger import Ledger
from ..stream.model import Block, Commit, Loss, Plan
from ..stream.ranges import Ranges
from ..stream.tables import Table


def frames_of(commits: Iterable[Commit]) -> Ranges:
    """Give the frames that some commits hold."""
    return Ranges.join(span for commit in commits for span in Ranges.of(f.number for f in commit.frames).spans)


def projection_only(plan: Plan, tables: Iterable[Table], commits: Iterable[Commit]) -> Ranges:
    """Give the frames of some commits of whose pixels only projections were kept, as a table of theirs says."""
    told = [table for table in tables if table.kept]
    spans: list[tuple[int, int]] = []
    for commit in commits if told else ():
        held = frames_of([commit])
        for table in told:
            rows = commit.tables.get(table.name, {})
            skipped = (n for n, kept in zip(rows.get("frame", ()), rows.get(table.kept, ()), strict=False) if not kept)
            spans += (span for n in skipped for span in held.within(int(n), int(n) + plan.shape[2] - 1).spans)
    return Ranges.join(spans)


def unreadable(blocks: Iterable[Block]) -> tuple[Loss, ...]:
    """Give the frames of blocks whose commit record is damaged as lost."""
    return tuple(Loss(b.first, b.first + b.count - 1, "store", "the commit record is damaged") for b in blocks)


def account(plan: Plan, stored: Ranges, *given: Sequence[Loss]) -> Ledger:
    """Draw up the ledger of a run that is over.

    Parameters
    ----------
    plan : Plan
        Says which frames were expected.
    stored : Ranges
        The frames that commit records hold.
    *given : sequence of Loss
        What is known of the others, the most trustworthy first: the first account of a frame stands.

    Returns
    -------
    Ledger
        Every expected frame is in it once. Those of which nothing is known are lost in the store, without a record.
    """
    ledger = Ledger(plan.frames, stored)
    for losses in given:
        ledger = ledger.lose(
            replace(loss, last=min(loss.last, plan.frames - 1)) for loss in losses if loss.first < plan.frames
        )
    return ledger.lose(Loss(first, last, "store", "no commit record") for first, last in ledger.unknown.spans)
