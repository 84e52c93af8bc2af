"""The step `histogram`: of every frame the histogram, the exact sums, and percentiles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..stream.model import Block, Plan, Product
from ..stream.tables import Rows
from .histogram import BINS, Histogram, Tallier, Tally
from .row_buffer import RowBuffer
from .step import Arrays, GpuForm, Planned, Setting, Step


class HistogramReducer:
    """Makes the histograms of one block after another.

    Parameters
    ----------
    plan : Plan
    parameters : Histogram
    """

    def __init__(self, plan: Plan, parameters: Histogram) -> None:
        frames = math.prod(plan.blocks.step)
        self._percentiles = parameters.percentiles
        self._tallier = Tallier(parameters.width)
        # Filled, not only asked for: the system hands a page out when it is first written to.
        self._bins = np.full((frames, BINS), 0, np.uint32)
        self._rows = RowBuffer(parameters.table, frames)
        self._block = plan.blocks[0]

    def begin(self, block: Block) -> None:
        """Start a block."""
        self._block = block

    def add(self, at: int, raw: NDArray[np.uint16], level0: NDArray[np.uint16]) -> None:
        """Tally a frame."""
        self._put(at, self._tallier.tally(raw, self._bins[at]))

    def _put(self, at: int, tally: Tally) -> None:
        percentiles = map(tally.percentile, self._percentiles)
        self._rows.put(at, tally.total, tally.squares, tally.variance, *percentiles)

    def finish(self, arrays: Arrays, present: NDArray[np.bool_]) -> Mapping[str, Rows]:
        """Complete the block; the histogram of a frame that never came is 0."""
        there = present.reshape(-1)
        self._bins[: there.size][~there] = 0
        arrays["histogram"] = self._bins[: there.size].reshape(*present.shape, BINS)
        return {"histogram": self._rows.take(self._block.first, 1, there)}


def _plan(parameters: Histogram, setting: Setting) -> Planned:
    plan = setting.plan
    meaning = f"pixels in each bin of {parameters.width} raw counts; the last bin has all that is higher, too"
    attributes = {"first_count": 0, "bin_counts": parameters.width}
    shape = (*plan.shape[:3], BINS)
    product = Product("histogram", "tczb", shape, "uint32", 1, shows="values", meaning=meaning, attributes=attributes)
    return Planned(
        (product,),
        (parameters.table,),
        reducer=lambda: HistogramReducer(plan, parameters),
        on_gpu=GpuForm("histogram", (plan, parameters)),
    )


STEP: Final = Step("histogram", "map", "histogram, sums and percentiles of the raw frame", Histogram, _plan)
