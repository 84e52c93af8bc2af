"""What the head needs for runs: known before one is opened, so that none is begun that could not be sealed."""

from __future__ import annotations

from collections.abc import Iterable

from ..stream.errors import MemoryRefusedError
from ..stream.model import Plan
from ..stream.sharing import mib

#: While the table of frames is written, bytes a frame: 37 in its columns, the rest for encoding one of them.
FRAME_BYTES = 64
#: What is known of a block until it is shown, and while its run is sealed.
BLOCK_BYTES = 250
#: Account, ledger and store of an open run.
RUN_BYTES = 2 * 2**20


def seal_bytes(plan: Plan) -> int:
    """Give what sealing a run takes for a moment, bytes; one run is sealed at a time."""
    return FRAME_BYTES * plan.frames + BLOCK_BYTES * len(plan.blocks)


def check_memory(plan: Plan, followed_bytes: int, others: Iterable[Plan], used_bytes: int, limit_bytes: int) -> None:
    """See whether the head can open one more run, and seal each of them later.

    Parameters
    ----------
    plan : Plan
        Of the new run.
    followed_bytes : int
        What following its series takes.
    others : iterable of Plan
        Of the open runs.
    used_bytes : int
        Resident now.
    limit_bytes : int
        What may be.

    Raises
    ------
    MemoryRefusedError
        It would take more.
    """
    need = used_bytes + RUN_BYTES + followed_bytes + max(map(seal_bytes, (plan, *others)))
    if need > limit_bytes:
        what = f"with this run the head needs {mib(need)} MiB of memory, it may use {mib(limit_bytes)} MiB"
        less = (
            "let the series of the recipe follow a coarser level" if followed_bytes > need // 2 else "plan fewer frames"
        )
        raise MemoryRefusedError(what, f"raise memory_mib by at least {mib(need - limit_bytes)}, or {less}")
