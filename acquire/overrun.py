"""What becomes of frames when the source is faster than the tier takes them: the decisions, without any I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from ..stream.model import Plan

#: ``block``: the source waits. ``spool``: frames go to the instrument's disk; the newest are lost when that is full
#: too. ``drop``: the newest are lost.
Overrun = Literal["block", "spool", "drop"]

#: A ring with fewer free slots than this, or than a quarter of it, is relieved by the spool. While a run goes well two
#: blocks are on their way and a third of the ring is free; the reserve bridges the moments when a disk stands still.
LEAST_FREE = 8


def overrun_of(plan: Plan) -> Overrun:
    """Give the policy of a run that names none: what has a rate is a camera and cannot wait."""
    return "block" if plan.rate_hz is None else "spool"


def to_spool(
    numbers: Iterable[int], is_under_way: Callable[[int], bool], free: int, capacity: int, *, away: bool = False
) -> list[int]:
    """Choose the frames that shall leave the ring for the spool.

    Parameters
    ----------
    numbers : iterable of int
        Frames in the ring that are not on their way to the spool, oldest first.
    is_under_way : callable
        Tells whether a frame is with a worker that answers: then its slot comes back by itself, as a rule.
    free : int
        Slots that are free, or will be when the spool has written what it has.
    capacity : int
        Slots of the ring.
    away : bool
        The tier gives no slot back: half of the ring is kept free then, for when the instrument's own disk is slow.

    Returns
    -------
    list of int
        Frame numbers in the order in which they shall be written: those that wait for the tier, as many as bring the
        ring back to its reserve; others only where half of that is gone (a worker may take long over a block).
    """
    low = capacity // 2 if away else min(max(LEAST_FREE, capacity // 4), capacity // 2)
    if free >= low:
        return []
    sent: list[int] = []
    unsent: list[int] = []
    for number in numbers:
        (sent if is_under_way(number) else unsent).append(number)
        if len(unsent) == low - free:
            break
    missing = low // 2 - free - len(unsent)
    return [*unsent, *sent[: max(0, missing)]]
