"""The step `keep`: stacks with little to see keep only their projections, and a table says which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..stream.errors import RecipeError
from ..stream.model import Block, Plan, Product
from ..stream.tables import Column, Rows, Table
from .histogram import BINS
from .keep import Keep, PlaneBins, StackMeter
from .row_buffer import RowBuffer
from .step import Arrays, Planned, Setting, Step

#: What is decided about every stack.
TABLE: Final = Table(
    "keep",
    (
        Column("frame", "int64", "", "number of the first frame of the stack"),
        Column("metric", "float32", "", "what it was judged by: keep.metric of the recipe, of the frames that came"),
        Column("kept", "uint8", "", "1 where it is stored whole, 0 where only its projections are"),
    ),
    "which stacks are stored whole",
    kept="kept",
)


class KeepReducer:
    """Judges the stacks of one block after another, and empties those that are skipped.

    Parameters
    ----------
    plan : Plan
    paths : tuple of str
        Products that are emptied.
    parameters : Keep
    pedestal : float, counts
    """

    def __init__(self, plan: Plan, paths: tuple[str, ...], parameters: Keep, pedestal: float) -> None:
        t, c, self._z = plan.blocks.step
        self._block, self._paths, self._parameters = plan.blocks[0], paths, parameters
        planes = PlaneBins()
        self._meters = [StackMeter(parameters.metric, pedestal, planes) for _ in range(t * c)]
        self._rows = RowBuffer(TABLE, t * c)

    def begin(self, block: Block) -> None:
        """Start a block."""
        self._block = block
        for meter in self._meters:
            meter.clear()

    def add(self, at: int, raw: NDArray[np.uint16], level0: NDArray[np.uint16]) -> None:
        """Measure a frame."""
        self._meters[at // self._z].add(level0)

    def finish(self, arrays: Arrays, present: NDArray[np.bool_]) -> Mapping[str, Rows]:
        """Decide, and empty what is skipped."""
        there = np.asarray(present.any(axis=2))
        for t, c in np.argwhere(there).tolist():
            stack = t * present.shape[1] + c
            metric = self._meters[stack].metric()
            kept = self._is_kept(self._block.origin[0] + t, metric)
            self._rows.put(stack, metric, kept)
            for path in () if kept else self._paths:
                arrays[path][t, c] = 0
        return {TABLE.name: self._rows.take(self._block.first, self._z, there.reshape(-1))}

    def _is_kept(self, t: int, metric: float) -> bool:
        every = self._parameters.every
        return metric >= self._parameters.threshold or (every > 0 and t % every == 0)


def _plan(parameters: Keep, setting: Setting) -> Planned:
    if not any(product.path.startswith("projections/") for product in setting.products):
        what = "keep leaves only projections of the stacks that it skips, and the recipe makes none"
        raise RecipeError(what, "add the step projections, or leave keep out")
    changed = tuple(_changed(product) for product in setting.products if _is_emptied(product))
    paths = tuple(product.path for product in changed)
    unproven = tuple(replace(product, follows="") for product in setting.products if product.follows == "level 0")
    return Planned(
        (*changed, *unproven),
        (TABLE,),
        reducer=lambda: KeepReducer(setting.plan, paths, parameters, setting.pedestal),
        changes=True,
        held_bytes=4
        * BINS
        * setting.plan.blocks.step[0]
        * setting.plan.blocks.step[1]
        * (parameters.metric == "entropy"),
    )


def _is_emptied(product: Product) -> bool:
    return product.path.isdigit() or product.path.startswith("labels/")


def _changed(product: Product) -> Product:
    told = "stacks that the table keep says are not kept are 0"
    return replace(product, attributes={**product.attributes, "skipped": told}, sparse=True)


STEP: Final = Step(
    "keep", "stack", "stacks with little to see keep only their projections", Keep, _plan, whole_stacks=True
)
