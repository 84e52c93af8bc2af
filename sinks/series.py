"""What follows the committed blocks of a run: it reads one level of them in their order, and writes what it makes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..stream.model import Block, Plan, Product
from .arrays import context, open_planned
from .durable import sync_above
from .failure import said
from .layout import array_path, of_stage, region, run_shards, shard_file
from .part import read_part
from .shard_writer import ShardWriter
from .writer import PartsWriter


class SeriesReader:
    """Reads the parts that committed blocks have of one level.

    Parameters
    ----------
    store : Path
        Of the run.
    plan : Plan
        The run's plan.
    level : Product
        A level of stage ``block``, in counts.
    """

    def __init__(self, store: Path, plan: Plan, level: Product) -> None:
        if level.dtype != "uint16" or level.stage != "block":
            raise ValueError(f"{level.path} is {level.dtype} of stage {level.stage}, no level in counts")
        self.store = store
        self._plan = plan
        self._level = level
        self._array = open_planned(store, plan, level, context(1))

    def read(self, block: Block) -> NDArray[np.uint16]:
        """Read a block's part, whether readers can see it yet or not.

        Parameters
        ----------
        block : Block
            Committed.

        Returns
        -------
        uint16 (t, c, z, y, x), counts with the pedestal
            0 where the block holds no frame.

        Raises
        ------
        DamagedPartError
            It is not there, or damaged.
        StoreError
            The disk is away; the same call may be repeated.
        """
        what = f"level {self._level.path} of block {block.number}"
        shard = shard_file(self.store, self._plan, self._level, block)
        return read_part(self.store, self._array, shard, region(self._level, block), what)


class SeriesWriter(PartsWriter):
    """Writes the products of the stages ``series`` and ``run``, also into a store that is being sealed.

    A part or a product that is written again is replaced whole, so whoever follows a run may begin anew at any time.

    Parameters
    ----------
    store, plan, products, threads : Path, Plan, sequence of Product, int
        As for `PartsWriter`; `write` takes the parts of the products of stage ``series``.
    """

    def __init__(self, store: Path, plan: Plan, products: Sequence[Product], threads: int = 1) -> None:
        super().__init__(store, plan, products, "series", threads)
        self._shared = context(threads)
        self._of_run = {p.path: p for p in of_stage(products, "run")}

    def write_run_product(self, path: str, array: NDArray[Any]) -> int:
        """Make a product of stage ``run`` durable; readers see it once the run is sealed.

        Parameters
        ----------
        path : str
            Of the product.
        array : ndarray
            All of it.

        Returns
        -------
        int
            Bytes stored.

        Raises
        ------
        ValueError
            There is no such product, or it has another shape or type.
        NoSpaceError, StoreError
            Nothing torn is visible, and the same call may be repeated.
        """
        product = self._of_run.get(path)
        if product is None:
            raise ValueError(f"{path} is no product of stage run")
        if array.shape != product.shape or array.dtype != np.dtype(product.dtype):
            raise ValueError(f"{path} is {array.dtype} {array.shape}, not {product.dtype} {product.shape}")
        self._check_open()
        with said(f"write {path} of {self.store}"):
            shards, stored = ShardWriter(self.plan, product, self._shared), 0
            for file, where in run_shards(self.store, self.plan, product):
                stored += shards.write(file, array[where])
                sync_above(file, self.store / array_path(product))
            return stored
