"""What the head needs for runs: known before one is opened, so that none is begun that could not be sealed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ..kernels.reduction import Reduction
from ..stream.errors import MemoryRefusedError
from ..stream.model import Plan
from ..stream.sharing import mib
from .following import row_bytes, rows_bytes, table_bytes

#: While the table of frames is written, bytes a frame: 37 in its columns, the rest for encoding one of them.
FRAME_BYTES = 64
#: What is known of a block until it is shown, and while its run is sealed.
BLOCK_BYTES = 250
#: Account, ledger and store of an open run.
RUN_BYTES = 2 * 2**20


@dataclass(frozen=True)
class HeadNeed:
    """What the head needs for a run.

    Attributes
    ----------
    open_bytes : int
        While it is open: account, ledger and store; what follows it; the rows of its series, all that there may be.
    series_bytes : int
        How much of that its series keep, and a row of blocks with what is made of it.
    rows_bytes : int
        How much of that are rows; as many are put together when it is sealed.
    seal_bytes : int
        For a moment when it is sealed, one run at a time: the table of frames, tables that are put together.
    """

    open_bytes: int
    series_bytes: int
    rows_bytes: int
    seal_bytes: int


def head_need(plan: Plan, reduction: Reduction) -> HeadNeed:
    """Give what the head needs for a run, at most."""
    rows = rows_bytes(plan, reduction)
    series = row_bytes(plan, reduction)
    summed = [table for step in reduction.steps if step.summary for table in step.tables]
    # Twice, for those of blocks are put together from parts; those of series lie there, and are put together once more.
    tables = rows + 2 * sum(table_bytes(table, plan.frames) for table in summed)
    seal = FRAME_BYTES * plan.frames + BLOCK_BYTES * len(plan.blocks) + tables
    return HeadNeed(RUN_BYTES + series + rows, series, rows, seal)


def check_memory(need: HeadNeed, others: Collection[HeadNeed], used_bytes: int, idle_bytes: int, limit: int) -> None:
    """See whether the head can open one more run, and seal each of them later.

    Parameters
    ----------
    need : HeadNeed
        Of the new run.
    others : collection of HeadNeed
        Of the open runs; they may take more than they do now.
    used_bytes : int
        Resident now.
    idle_bytes : int
        Resident without a run.
    limit : int
        What may be, bytes.

    Raises
    ------
    MemoryRefusedError
        It would take more.
    """
    held = max(used_bytes, idle_bytes + sum(other.open_bytes for other in others))
    whole = held + need.open_bytes + max(each.seal_bytes for each in (need, *others))
    if whole > limit:
        what = f"with this run the head needs {mib(whole)} MiB of memory, it may use {mib(limit)} MiB"
        raise MemoryRefusedError(what, f"raise memory_mib by at least {mib(whole - limit)}, or {_less(need)}")


def _less(need: HeadNeed) -> str:
    rows = 2 * need.rows_bytes
    parts = {
        "plan fewer frames": need.open_bytes + need.seal_bytes - need.series_bytes - rows,
        "let the series of the recipe follow a coarser level": need.series_bytes,
        "plan fewer frames, or let the series make fewer rows (events.most)": rows,
    }
    return max(parts, key=lambda remedy: parts[remedy])
