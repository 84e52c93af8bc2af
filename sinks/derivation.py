"""How far the derived products of a run have come: the shards that are there say so, whoever wrote them and when."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..stream.model import Plan, Product
from .growth import Extent, Growth, visible_shape
from .layout import of_stage, run_files, shard_file
from .runfile import StoredRun
from .tables import DERIVED, columns_from, described_at


class Derivation:
    """The products of a run as far as they may be shown.

    A part of a series may be shown where all before it are there. What is derived only at the end may be shown when all
    of it is there and the run is over.

    Parameters
    ----------
    store, plan, products : Path, Plan, sequence of Product
        What the run makes, and where.
    """

    def __init__(self, store: Path, plan: Plan, products: Sequence[Product]) -> None:
        self.store = store
        self.plan = plan
        self.products = tuple(products)
        # How many leading rows of blocks are known to be there: a long run has very many blocks.
        self._rows = {product.path: 0 for product in of_stage(products, "series")}

    def shapes(self, growth: Growth, extent: Extent, *, over: bool) -> dict[str, tuple[int, ...]]:
        """Give the shape that every array may show, by product path.

        Parameters
        ----------
        growth : Growth
            The committed blocks.
        extent : Extent
            What may be shown of the products of stage ``block``.
        over : bool
            Whether no more blocks are to come.
        """
        return {p.path: self._shape(p, growth, extent, over) for p in self.products}

    def missing(self, growth: Growth, extent: Extent) -> list[str]:
        """Give the paths of the products of a run that is over that were not derived, or not to the end."""
        shapes = self.shapes(growth, extent, over=True)
        return [
            p.path
            for p in of_stage(self.products, "series", "run")
            if shapes[p.path] != (p.shape if p.stage == "run" else visible_shape(p, extent))
        ]

    def _shape(self, product: Product, growth: Growth, extent: Extent, over: bool) -> tuple[int, ...]:
        if product.stage == "run":
            there = over and all(file.exists() for file in run_files(self.store, self.plan, product))
            return product.shape if there else (0, *product.shape[1:])
        if product.stage == "series":
            return visible_shape(product, self._reached(product, growth, extent))
        return visible_shape(product, extent)

    def _reached(self, product: Product, growth: Growth, extent: Extent) -> Extent:
        """Give the part of an extent that a series has come to; blocks that are not committed have no part in it."""
        step = self.plan.blocks.step[0 if extent.axis == "t" else 2]
        rows = self._rows[product.path]
        while rows * step < extent.length and all(
            n not in growth or shard_file(self.store, self.plan, product, self.plan.blocks[n]).exists()
            for n in growth.row(rows)
        ):
            rows += 1
        self._rows[product.path] = rows
        length = min(extent.length, rows * step)
        return Extent(extent.axis, length, extent.stacks and length == extent.length)


def derived_files(store: Path, stored_run: StoredRun) -> list[Path]:
    """Give the files that hold what was derived from committed blocks; of columns of tables, what describes them."""
    plan, products = stored_run.run.plan, stored_run.products
    files = [shard_file(store, plan, p, block) for p in of_stage(products, "series") for block in plan.blocks]
    files += [file for p in of_stage(products, "run") for file in run_files(store, plan, p)]
    for table in stored_run.tables:
        files += [described_at(store, table, column.name) for column in columns_from(store, table, DERIVED)]
    return [file for file in files if file.exists()]
