"""The contest: every contestant in turn, several times, on an otherwise idle disk."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ..sinks.disk import check_space
from .contestant import Contestant
from .measurement import Measurement, Result

#: Free space that is left alone, bytes.
RESERVE_BYTES = 2**30

Hear = Callable[[int, str, Measurement], None]


def hold(
    contestants: Sequence[Contestant], data: Path, seconds: float, runs: int, need_bytes: int, hear: Hear
) -> list[Result]:
    """Let all contestants work in turn; each store is removed before the next is made.

    The turns are interleaved, and each run starts with another contestant: what slows the machine down for a while
    slows no contestant alone.

    Parameters
    ----------
    contestants : sequence of Contestant
        Those that are missing are left out.
    data : Path
        An existing folder on the disk to be measured.
    seconds : float
        For each contestant and run.
    runs : int
        How often.
    need_bytes : int
        Space that one run may take.
    hear : callable
        Called with run number, name and measurement after each.

    Returns
    -------
    list of Result
        In the order of the contestants.

    Raises
    ------
    NoSpaceError
        The disk is too full; nothing was written then.
    OctostreamError
        A contestant failed.
    """
    present = [c for c in contestants if not c.missing]
    taken: dict[str, list[Measurement]] = {c.name: [] for c in contestants}
    for run in range(runs):
        for contestant in turned(present, run):
            measured = _one(contestant, data, seconds, need_bytes)
            taken[contestant.name].append(measured)
            hear(run, contestant.name, measured)
    return [Result(c.name, c.what, c.missing, tuple(taken[c.name])) for c in contestants]


def turned(contestants: Sequence[Contestant], run: int) -> list[Contestant]:
    """Give the contestants in the order of a run."""
    start = run % len(contestants)
    return [*contestants[start:], *contestants[:start]]


def _one(contestant: Contestant, data: Path, seconds: float, need_bytes: int) -> Measurement:
    check_space(data, need_bytes, RESERVE_BYTES)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=data))
    try:
        return contestant.run(folder, seconds)
    finally:
        shutil.rmtree(folder)
