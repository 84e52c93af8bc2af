"""Following a run: its committed images read in their order, and what its series make of them written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from ..kernels.following import Follower, plan_follower
from ..kernels.reduction import Reduction
from ..sinks.commits import DamagedRecordError, read_commit
from ..sinks.failure import said
from ..sinks.layout import of_stage
from ..sinks.part import DamagedPartError
from ..sinks.recompute import held_frames
from ..sinks.series import SeriesReader, SeriesWriter
from ..stream.model import Block, Plan
from ..stream.ranges import Ranges
from ..stream.tables import Rows, Table

#: Rows of so many time points are kept apart before they are joined.
PARTS = 1000

log = structlog.get_logger()


@dataclass(frozen=True)
class _Part:
    """What the series made of a block, not yet written."""

    block: Block
    arrays: Mapping[str, NDArray[Any]]


class RunFollower:
    """Hands the committed images of a run to its series, and writes what they make.

    The order of the images is that of time, whoever reduced them; so are the results. Not for several threads at once.

    Parameters
    ----------
    store : Path
    reduction : Reduction
        With at least one series.
    """

    def __init__(self, store: Path, reduction: Reduction) -> None:
        plan = reduction.plan
        self._store, self._plan = store, plan
        self._follower = Follower(reduction)
        level = next(p for p in reduction.products if p.path == self._follower.level)
        self._level_yx = level.shape[-2:]
        self._series = of_stage(reduction.products, "series")
        self._reader = SeriesReader(store, plan, level)
        self._writer = SeriesWriter(store, plan, reduction.products)
        self._row = 0
        self._unwritten: list[_Part] = []
        self._rows: list[Mapping[str, Rows]] = []
        self._final: dict[str, NDArray[Any]] | None = None

    def advance(self, committed: Ranges, going_on: Callable[[], bool]) -> bool:
        """Take the time points that are whole.

        Parameters
        ----------
        committed : Ranges
            Durable blocks.
        going_on : callable
            Asked before each row of blocks.

        Returns
        -------
        bool
            Whether there are more that are whole.

        Raises
        ------
        StoreError
            The same call may be repeated.
        """
        self._write()
        while self._whole(committed):
            if not going_on():
                return True
            self._take(committed)
        return False

    def finish(
        self, committed: Ranges, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> Mapping[str, Rows]:
        """Take what is left, frames that are missing as lost, and write what belongs to the whole run.

        Parameters
        ----------
        committed : Ranges
            All blocks that there will be.
        progress : callable
            Called with (time points taken, time points in all).

        Returns
        -------
        mapping
            Rows of the tables of the series, by table and column.

        Raises
        ------
        StoreError
            The same call may be repeated.
        """
        self._write()
        self._tell(progress)
        while self._final is None and self._any_left(committed):
            self._take(committed)
            self._tell(progress)
        if self._final is None:
            self._final = self._follower.finish()
        while self._final:
            path = next(iter(self._final))
            self._writer.write_run_product(path, self._final[path])
            del self._final[path]
        return _joined(self._rows)

    def _tell(self, progress: Callable[[int, int], None]) -> None:
        total = self._plan.shape[0]
        progress(min(self._row * self._plan.blocks.step[0], total), total)

    def _whole(self, committed: Ranges) -> bool:
        return self._row < self._plan.blocks.grid[0] and all(n in committed for n in self._plan.blocks.row(self._row))

    def _any_left(self, committed: Ranges) -> bool:
        blocks = self._plan.blocks
        return self._row < blocks.grid[0] and any(last >= blocks.row(self._row)[0] for _, last in committed.spans)

    def _take(self, committed: Ranges) -> None:
        blocks = [self._plan.blocks[n] for n in self._plan.blocks.row(self._row)]
        images, present = self._read([b for b in blocks if b.number in committed], blocks[0])
        made = {p.path: np.empty((*present.shape, *p.shape[-2:]), p.dtype) for p in self._series}
        first = blocks[0].origin[0]
        for k, (image, there) in enumerate(zip(images, present, strict=True)):
            arrays, rows = self._follower.take(first + k, image, there)
            for path, array in arrays.items():
                made[path][k] = array
            self._rows.append(rows)
        if len(self._rows) >= PARTS:  # an array costs a hundred bytes beside what it holds, and a run has many
            self._rows = [_joined(self._rows)]
        self._unwritten = [_Part(b, _cut(made, b)) for b in blocks if b.number in committed]
        self._row += 1
        self._write()

    def _read(self, blocks: list[Block], corner: Block) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
        extent = (corner.extent[0], *self._plan.shape[1:3])
        images, present = np.zeros((*extent, *self._level_yx), np.uint16), np.zeros(extent, bool)
        for block in blocks:
            try:
                held, image = self._held(block), self._reader.read(block)
            except (DamagedRecordError, DamagedPartError) as error:  # or one block would keep its run open for ever
                log.warning("block is followed as lost", run=str(self._store), block=block.number, why=str(error))
                continue
            present[_place(block)], images[_place(block)] = held, image
        return images, present

    def _held(self, block: Block) -> NDArray[np.bool_]:
        with said(f"read the commit record of block {block.number} of {self._store}"):
            return held_frames(block, read_commit(self._store, block.number))

    def _write(self) -> None:
        while self._unwritten:
            self._writer.write(self._unwritten[0].block, self._unwritten[0].arrays)
            del self._unwritten[0]


def row_bytes(plan: Plan, reduction: Reduction) -> int:
    """Give what following a run holds at most: a row of blocks, what is made of it, and what the series keep."""
    if not reduction.series:
        return 0
    level = next(p for p in reduction.products if p.path == reduction.series[0].level)
    frames = plan.blocks.step[0] * plan.shape[1] * plan.shape[2]
    made = [level, *of_stage(reduction.products, "series")]
    # Twice what is made: the parts that are written are copies of it where a block is not a whole row.
    row = sum(2 * frames * int(np.prod(p.shape[-2:])) * np.dtype(p.dtype).itemsize for p in made)
    return row + plan_follower(reduction.series).held_bytes


def rows_bytes(plan: Plan, reduction: Reduction) -> int:
    """Give what the rows of the series take at most, that stay until the run is sealed."""
    return sum(table_bytes(t, plan.frames * step.rows_per_image) for step in reduction.series for t in step.tables)


def table_bytes(table: Table, rows: int) -> int:
    """Give what rows of a table take."""
    return rows * sum(np.dtype(column.dtype).itemsize for column in table.columns)


def _place(block: Block) -> tuple[slice, slice, slice]:
    """Give where a block lies in its row."""
    (_, c, z), (t_count, c_count, z_count) = block.origin, block.extent
    return slice(0, t_count), slice(c, c + c_count), slice(z, z + z_count)


def _cut(made: Mapping[str, NDArray[Any]], block: Block) -> dict[str, NDArray[Any]]:
    return {path: np.ascontiguousarray(array[_place(block)]) for path, array in made.items()}


def _joined(parts: Iterable[Mapping[str, Rows]]) -> dict[str, Rows]:
    """Join rows of time points in their order, by table and column."""
    found: dict[str, list[Rows]] = {}
    for tables in parts:
        for name, rows in tables.items():
            found.setdefault(name, []).append(rows)
    return {name: {c: np.concatenate([rows[c] for rows in part]) for c in part[0]} for name, part in found.items()}
