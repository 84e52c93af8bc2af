"""The tables of a run that are known only when it is over: of its series, and of steps that sum up all their rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..kernels.reduction import Reduction
from ..sinks.commits import intact_commits
from ..sinks.keeper import StoreKeeper
from ..stream.ranges import Ranges
from ..stream.tables import Rows
from .following import RunFollower


def last_tables(keeper: StoreKeeper, reduction: Reduction, follower: RunFollower | None) -> Mapping[str, Rows]:
    """Follow a run to its end, and make these tables.

    Parameters
    ----------
    keeper : StoreKeeper
        Of the run; no block of it will be committed any more.
    reduction : Reduction
    follower : RunFollower or None
        None where the recipe has no series.

    Returns
    -------
    mapping
        Rows by table and column.

    Raises
    ------
    StoreError
        The same call may be repeated.
    """
    committed = Ranges.of(commit.block for commit in intact_commits(Path(keeper.run.store)))
    tables = {} if follower is None else dict(follower.finish(committed))
    if any(step.summary for step in reduction.steps):
        summed = {table.name: table for step in reduction.steps if step.summary for table in step.tables}
        tables |= reduction.summaries({name: keeper.recorded_rows(table) for name, table in summed.items()})
    return tables
