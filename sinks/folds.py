"""Parts of projections that wait for the rest of their stack, and their merging."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
from numpy.typing import NDArray

from ..stream.model import Plan, Product
from .commits import read_commit
from .durable import remove_durably, sync_above, write_durably
from .growth import Growth
from .layout import array_path, merges, partial_file, partial_folder, shard_file
from .recompute import MERGED, mean_of
from .shard_writer import ShardWriter


def write_partial(store: Path, product: Product, block: int, part: NDArray[Any]) -> int:
    """Keep a block's part until its stack is whole; durable at return.

    Returns
    -------
    int
        Bytes written.
    """
    buffer = io.BytesIO()
    np.save(buffer, part, allow_pickle=False)
    data = buffer.getvalue()
    write_durably(partial_file(store, product, block), data)
    return len(data)


def read_partial(store: Path, product: Product, block: int) -> NDArray[Any] | None:
    """Read a block's part that waits for its stack; None where it is missing or damaged."""
    try:
        return np.load(partial_file(store, product, block), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None


def merged(product: Product, parts: Iterable[NDArray[Any]], frames: int) -> NDArray[Any]:
    """Merge the parts of a stack.

    Parameters
    ----------
    product : Product
        Its ``fold`` says how.
    parts : iterable of ndarray
        Of the blocks that there are, at least one; sums, where the fold is ``mean``.
    frames : int
        That the sums hold together.
    """
    joined = reduce(MERGED[product.fold], parts)
    return mean_of(joined, frames) if product.fold == "mean" else joined


class Merger:
    """Merges the parts of stacks that span several blocks.

    Merging again gives the same bytes, so a crash in between does no harm.

    Parameters
    ----------
    store, plan, products : Path, Plan, sequence of Product
        Where, and what the run makes; products whose parts do not merge are passed over.
    shared : tensorstore.Context
        Resources.
    """

    def __init__(self, store: Path, plan: Plan, products: Sequence[Product], shared: ts.Context) -> None:
        self.store = store
        self.plan = plan
        self._shards = [(p, ShardWriter(plan, p, shared)) for p in products if merges(plan, p)]

    def merge_whole(self, growth: Growth, stacks: Iterable[tuple[int, int]]) -> None:
        """Merge those of some stacks (t, c) that are whole and not yet merged."""
        for t, c in stacks:
            numbers = self.plan.blocks.of_stack(t, c)
            if all(number in growth for number in numbers):
                for product, shards in self._shards:
                    if not shard_file(self.store, self.plan, product, self.plan.blocks[numbers[0]]).exists():
                        self._merge(product, shards, numbers)

    def merge_all(self, growth: Growth) -> None:
        """Merge what there is of every stack, whole or cut short."""
        for stack in self._stacks():
            numbers = [n for n in stack if n in growth]
            for product, shards in self._shards:
                self._merge(product, shards, numbers)

    def forget_parts(self, growth: Growth, *, keep_unfinished: bool) -> None:
        """Remove the parts that are merged; those of stacks that are not whole may be kept for frames still to come."""
        if not keep_unfinished:
            with suppress(FileNotFoundError):
                shutil.rmtree(partial_folder(self.store))
            return
        for numbers in self._stacks():
            if all(n in growth for n in numbers):
                for product, _ in self._shards:
                    for n in numbers:
                        partial_file(self.store, product, n).unlink(missing_ok=True)

    def forget_unfinished(self, growth: Growth) -> None:
        """Remove what was merged of stacks that are not whole: more of them is to come."""
        for numbers in self._stacks():
            if not all(n in growth for n in numbers):
                for product, _ in self._shards:
                    # Synced, or a power cut brings it back, and it would pass for the projection of the whole stack.
                    remove_durably(shard_file(self.store, self.plan, product, self.plan.blocks[numbers[0]]))

    def _stacks(self) -> Iterator[Sequence[int]]:
        if self._shards:
            for t in range(self.plan.shape[0]):
                for c in range(self.plan.shape[1]):
                    yield self.plan.blocks.of_stack(t, c)

    def _merge(self, product: Product, shards: ShardWriter, numbers: Sequence[int]) -> None:
        # Where a part is missing an earlier seal has merged them all and was removing them: those left are not all.
        files = [partial_file(self.store, product, n) for n in numbers]
        if files and all(file.exists() for file in files):
            parts = (np.load(file, allow_pickle=False) for file in files)
            frames = sum(len(read_commit(self.store, n).frames) for n in numbers) if product.fold == "mean" else 0
            whole = merged(product, parts, frames)
            first = self.plan.blocks[numbers[0]]
            file = shard_file(self.store, self.plan, product, first)
            shards.write(file, whole)
            sync_above(file, self.store / array_path(product))
