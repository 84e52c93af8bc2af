"""Parts of blocks in, durable shards out: for the products that a worker makes, and with them its commit records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..stream.errors import StoreError
from ..stream.model import Block, Commit, Plan, Product
from ..stream.ranges import Ranges
from .arrays import context
from .commits import DamagedRecordError, read_commit, settle, write_commit
from .durable import sync_above
from .failure import said
from .folds import write_partial
from .layout import array_path, merges, of_stage, part_dtype, region, shard_file
from .runfile import run_file
from .sealfile import is_closed
from .shard_writer import ShardWriter, encoding_bytes
from .shards import left_out

#: Shards of one block that are written at the same time, for each thread that encodes: writing mostly waits.
AT_ONCE = 2
#: Threads that encode for a worker.
THREADS = 2


def writing_bytes(plan: Plan, products: Sequence[Product], threads: int = THREADS) -> int:
    """Give the memory that writing a block takes at most, beside its parts; see `PartsWriter`."""
    block = plan.blocks[0]
    own = [p for p in of_stage(products, "block") if not merges(plan, p)]
    each = (encoding_bytes(plan, p, [s.stop - s.start for s in region(p, block)]) for p in own)
    return sum(sorted(each)[-AT_ONCE * threads :])


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
        self._shards = {p.path: ShardWriter(plan, p, shared) for p in own}
        self._pool = ThreadPoolExecutor(AT_ONCE * threads, thread_name_prefix=f"write-{stage}")

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
        with said(f"write block {block.number} of {self.store}"):
            under_way = [self._pool.submit(self._write_shard, path, block, parts[path]) for path in self._shards]
            wait(under_way)  # the parts are the caller's again when this returns, whatever fails
            stored = sum(shard.result() for shard in under_way)
            return stored + sum(
                write_partial(self.store, self.products[path], block.number, parts[path]) for path in self._folded
            )

    def close(self) -> None:
        """Let go of the threads; the writer is of no use afterwards."""
        self._pool.shutdown()

    def _write_shard(self, path: str, block: Block, part: NDArray[Any]) -> int:
        """Make a block's shard of a product durable, and the way to it, folder by folder; give its bytes."""
        product = self.products[path]
        shard = shard_file(self.store, self.plan, product, block)
        nbytes = self._shards[path].write(shard, part)
        sync_above(shard, self.store / array_path(product))
        return nbytes

    def _check_open(self) -> None:
        # Missing folders would be made again.
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

    def __init__(self, store: Path, plan: Plan, products: Sequence[Product], threads: int = THREADS) -> None:
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
