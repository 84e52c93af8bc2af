"""The tables of a run that are known only when it is over: of its series, and of steps that sum up all their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import structlog

from ..kernels.reduction import Reduction
from ..kernels.step import Planned
from ..sinks.keeper import StoreKeeper
from ..sinks.recorded import Recorded
from ..sinks.tables import check_rows
from ..stream.errors import StoreError
from ..stream.ranges import Ranges
from ..stream.tables import Derived, Rows
from .following import RunFollower

#: Follows a run to its end, given all blocks that there will be, and gives the rows of its series.
Follow = Callable[[Ranges], Mapping[str, Rows]]

log = structlog.get_logger()


def last_tables(
    keeper: StoreKeeper,
    reduction: Reduction,
    follow: Follow | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Derived:
    """Follow a run to its end, and make these tables; what fails costs its own tables and nothing else.

    Parameters
    ----------
    keeper : StoreKeeper
        Of the run; no block of it will be committed any more.
    reduction : Reduction
    follow : callable, optional
        Goes on where a run was followed before; without, it is followed from its beginning.
    progress : callable
        Called with (time points followed, time points in all) where it is followed from its beginning.

    Returns
    -------
    mapping
        Rows by table and column; None for the tables that a step failed to make.

    Raises
    ------
    StoreError
        The same call may be repeated.
    """
    summing = [step for step in reduction.steps if step.summary]
    if not (reduction.series or summing):
        return {}
    making = _Making(keeper, keeper.recorded({table.name for step in summing for table in step.tables}))
    if reduction.series:
        own = [table.name for step in reduction.series for table in step.tables]
        begin = follow or (lambda blocks: RunFollower(Path(keeper.run.store), reduction).finish(blocks, progress))
        making.make(own, lambda: begin(making.recorded.blocks))
    for step in summing:
        making.make(making.not_recorded(step), partial(step.sum_up, making.recorded.rows))
    return making.made


class _Making:
    """Tables on their way to a seal, which must find nothing wrong with them."""

    def __init__(self, keeper: StoreKeeper, recorded: Recorded) -> None:
        self.recorded = recorded
        self.made: dict[str, Rows | None] = {}
        self._run = keeper.run.id
        self._tables = {table.name: table for table in keeper.tables}

    def not_recorded(self, step: Planned) -> list[str]:
        """Give the tables of a step of which the blocks have no rows, or not all columns."""
        rows = self.recorded.rows
        names = {t.name: {column.name for column in t.columns} for t in step.tables if t.name in rows}
        return [n for n, columns in names.items() if not self.recorded.counts[n] or columns - rows[n].keys()]

    def make(self, names: Iterable[str], work: Callable[[], Mapping[str, Rows]]) -> None:
        """Make some tables."""
        try:
            made = dict(work())
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - a reduction that fails must not keep a run from being sealed
            self._give_up(names, error)
            return
        for name, rows in made.items():
            try:
                check_rows(self._tables[name], self.recorded.counts[name], rows)
                self.made[name] = rows
            except Exception as error:  # noqa: BLE001 - nor may what it gives, whatever that is
                self._give_up([name], error)

    def _give_up(self, names: Iterable[str], error: Exception) -> None:
        self.made |= dict.fromkeys(name for name in names if name in self._tables)
        log.error("tables of a run cannot be derived", run=self._run, tables=list(names), why=repr(error))
