"""The worker process: puts kernels, sinks and the worker of ``stream`` together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..kernels.recipe import Recipe
from ..kernels.reduction import plan_reduction
from ..sinks.commits import intact_commits, settle
from ..sinks.disk import check_space, free_bytes, reserve_of
from ..sinks.failure import said
from ..sinks.runfile import load_run
from ..sinks.writer import StoreWriter
from ..stream.model import Block, Commit
from ..stream.ranges import Ranges
from ..stream.tools import Prepared, Writer
from .tokens import read_token

#: One block fills, one is written, one is between: more only costs memory.
SLOTS = 3


@dataclass(frozen=True)
class ReservingWriter:
    """Writes only while the disk has more than its reserve: a disk that is full to the last byte breaks other things.

    Attributes
    ----------
    inner : Writer
        Does the writing.
    data : Path
        On the disk that is watched.
    reserve_bytes : int
        What stays free.
    """

    inner: Writer
    data: Path
    reserve_bytes: int

    def write(self, block: Block, parts: Mapping[str, NDArray[np.uint16]]) -> int:
        """Write, or raise ``NoSpaceError``."""
        need = sum(p.nbytes for p in parts.values())
        check_space(self.data, need, reserve_of(free_bytes(self.data)[1], self.reserve_bytes))
        return self.inner.write(block, parts)

    def committed(self, block: int) -> Commit | None:
        """Give a block's commit record, if there is a whole one."""
        return self.inner.committed(block)

    def commit(self, commit: Commit) -> None:
        """Write the commit record."""
        self.inner.commit(commit)

    def close(self) -> None:
        """Free what is held."""
        self.inner.close()


@dataclass(frozen=True)
class PrepareOnDisk:
    """Makes runs ready from their stores.

    Attributes
    ----------
    reserve_bytes : int
        Disk that is never filled.
    """

    reserve_bytes: int

    def __call__(self, store: str) -> Prepared:
        """Read the run, plan its reduction, allocate its buffers, open its arrays."""
        path = Path(store)
        run, products, maps = load_run(path)
        reduction = plan_reduction(Recipe.from_json(run.recipe), run.plan, maps, keep_raw=run.keep_raw)
        writer = ReservingWriter(StoreWriter(path, run.plan, products), path, self.reserve_bytes)
        reducers = tuple(reduction.reducer() for _ in range(min(SLOTS, len(run.plan.blocks))))
        with said(f"read the commit records of {store}"):
            settle(path)
            committed = Ranges.of(commit.block for commit in intact_commits(path))
        return Prepared(run, read_token(path), committed, reducers, writer)
