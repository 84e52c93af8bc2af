"""Parts of blocks in, durable shards out: for the products that a worker makes, and with them its commit records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from tensorstore import TensorStore

from ..stream.errors import StoreError
from ..stream.model import Block, Commit, Plan, Product
from ..stream.ranges import Ranges
from .arrays import context, open_planned, write_whole
from .commits import DamagedRecordError, read_commit, settle, write_commit
from .durable import sync_above
from .failure import said
from .folds import write_partial
from .layout import array_path, merges, of_stage, part_dtype, region, shard_file
from .runfile import run_file
from .sealfile import is_closed
from .shards import is_bare, left_out, write_bare

#: Parts of a block are encoded at the same time up to so many bytes together: encoding takes as much again in memory.
GROUP_BYTES = 128 * 2**20


def write_groups(sizes: Sequence[int]) -> list[list[int]]:
    """Cut the parts of a block, in their order, into those that are encoded at the same time.

    Parameters
    ----------
    sizes : sequence of int
        Bytes of each part.

    Returns
    -------
    list of list of int
        The same sizes; no group is above ``GROUP_BYTES`` unless a single part is.
    """
    groups: list[list[int]] = []
    for size in sizes:
        if groups and sum(groups[-1]) + size <= GROUP_BYTES:
            groups[-1].append(size)
        else:
            groups.append([size])
    return groups


class PartsWriter:
    """Writes the parts that blocks have of the products of one stage.

    Parameters
    ----------
    store : Path
        A store that `StoreKeeper.create` made.
    plan : Plan
        The run's plan.
    products : sequence of Product
        All that the run makes; those of other stages are passed over.
    stage : str
        ``block`` or ``series``.
    threads : int
        How many threads encode at the same time.
    """

    def __init__(self, store: Path, plan: Plan, products: Sequence[Product], stage: str, threads: int) -> None:
        self.store = store
        self.plan = plan
        self.products = {p.path: p for p in of_stage(products, stage)}
        self._folded = {p.path for p in self.products.values() if merges(plan, p)}
        shared = context(threads)
        own = [p for p in self.products.values() if p.path not in self._folded]
        self._arrays = {p.path: open_planned(store, plan, p, shared) for p in own}

    def write(self, block: Block, parts: Mapping[str, NDArray[Any]]) -> int:
        """Make the products of a block durable; see `sinks.sink.Sink.write`.

        Raises
        ------
        ValueError
            A part is missing, unknown, or has not the shape or type of its product.
        NoSpaceError, StoreError
            Nothing torn is visible, and the same call may be repeated.
        """
        self._check_parts(block, parts)
        self._check_open()
        bare = [p for p in self._arrays if is_bare(self.products[p], parts[p])]
        full = [p for p in self._arrays if p not in bare]
        paths = iter(full)
        with said(f"write block {block.number} of {self.store}"):
            for group in write_groups([parts[path].nbytes for path in full]):
                write_whole([self._part(path, block, parts) for path in islice(paths, len(group))])
            for product in (self.products[path] for path in bare):
                write_bare(shard_file(self.store, self.plan, product, block), self.plan, product)
            stored = sum(self._keep_shard(self.products[path], block) for path in self._arrays)
            return stored + sum(
                write_partial(self.store, self.products[path], block.number, parts[path]) for path in self._folded
            )

    def close(self) -> None:
        """Let go of the arrays; the writer is of no use afterwards."""
        self._arrays = {}

    def _keep_shard(self, product: Product, block: Block) -> int:
        """Make the way to a block's shard durable, folder by folder; give the shard's bytes."""
        shard = shard_file(self.store, self.plan, product, block)
        sync_above(shard, self.store / array_path(product))
        return shard.stat().st_size

    def _part(
        self, path: str, block: Block, parts: Mapping[str, NDArray[Any]]
    ) -> tuple[TensorStore, tuple[slice, ...], NDArray[Any]]:
        return self._arrays[path], region(self.products[path], block), parts[path]

    def _check_open(self) -> None:
        # tensorstore would make missing folders again.
        with said(f"look into {self.store}"):
            there = run_file(self.store).exists()
        if not there:
            raise StoreError(f"the store {self.store} is gone", "check that nobody moved or removed it")

    def _check_parts(self, block: Block, parts: Mapping[str, NDArray[Any]]) -> None:
        if parts.keys() != self.products.keys():
            raise ValueError(f"parts of {sorted(parts)} for products {sorted(self.products)}")
        for path, part in parts.items():
            product = self.products[path]
            shape = tuple(s.stop - s.start for s in region(product, block))
            dtype = part_dtype(self.plan, product)
            if part.shape != shape or part.dtype != dtype:
                raise ValueError(f"part of {path} is {part.dtype} {part.shape}, not {dtype} {shape}")


class StoreWriter(PartsWriter):
    """Writes what a worker makes of blocks, and their commit records; not into a store that is sealed.

    Parameters
    ----------
    store, plan, products, threads : Path, Plan, sequence of Product, int
        As for `PartsWriter`; it writes the products of stage ``block``.
    """

    def __init__(self, store: Path, plan: Plan, products: Sequence[Product], threads: int = 2) -> None:
        super().__init__(store, plan, products, "block", threads)

    def committed(self, block: int) -> Commit | None:
        """Give the commit record of a block; see `sinks.sink.Sink.committed`.

        Raises
        ------
        StoreError
            It cannot be read.
        """
        with said(f"read the commit record of block {block} of {self.store}"):
            try:
                commit = read_commit(self.store, block)
            except (FileNotFoundError, DamagedRecordError):
                return None
            settle(self.store)
            return commit

    def commit(self, commit: Commit) -> None:
        """Make a block's commit record durable; see `sinks.sink.Sink.commit`.

        Raises
        ------
        NoSpaceError, StoreError
            The block is not committed.
        """
        self._check_open()
        with said(f"write the commit record of block {commit.block} of {self.store}"):
            write_commit(self.store, replace(commit, left_out=self._left_out(self.plan.blocks[commit.block])))

    def _left_out(self, block: Block) -> dict[str, Ranges]:
        sparse = [product for product in self.products.values() if product.sparse]
        return {p.path: left_out(shard_file(self.store, self.plan, p, block), self.plan, p) for p in sparse}

    def _check_open(self) -> None:
        super()._check_open()
        # A late worker could write into a sealed store.
        if is_closed(self.store):
            raise StoreError(f"the store {self.store} is sealed", "start a new run")
