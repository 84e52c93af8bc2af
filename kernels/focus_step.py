"""The step `focus`: how sharp every raw frame is, and how that changes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..stream.model import Block, Plan
from ..stream.tables import Rows
from .focus import TABLE, Focus, FocusMeter
from .focus_trend import TREND, focus_trend
from .row_buffer import RowBuffer
from .step import Arrays, GpuForm, Planned, Setting, Step


class FocusReducer:
    """Measures the frames of one block after another.

    Parameters
    ----------
    plan : Plan
    parameters : Focus
    """

    def __init__(self, plan: Plan, parameters: Focus) -> None:
        self._meter = FocusMeter(plan.frame_shape, parameters)
        self._rows = RowBuffer(TABLE, math.prod(plan.blocks.step))
        self._block = plan.blocks[0]

    def begin(self, block: Block) -> None:
        """Start a block."""
        self._block = block

    def add(self, at: int, raw: NDArray[np.uint16], level0: NDArray[np.uint16]) -> None:
        """Measure a frame."""
        self._rows.put(at, *self._meter.measure(raw))

    def finish(self, arrays: Arrays, present: NDArray[np.bool_]) -> Mapping[str, Rows]:
        """Give the rows of the frames that came."""
        return {TABLE.name: self._rows.take(self._block.first, 1, present.reshape(-1))}


def _plan(parameters: Focus, setting: Setting) -> Planned:
    plan = setting.plan

    def summary(tables: Mapping[str, Rows]) -> Mapping[str, Rows]:
        return {TREND.name: focus_trend(tables[TABLE.name], plan.shape[1] * plan.shape[2], parameters.window)}

    return Planned(
        (),
        (TABLE, TREND),
        reducer=lambda: FocusReducer(plan, parameters),
        on_gpu=GpuForm("focus", (plan, parameters)),
        summary=summary,
    )


STEP: Final = Step("focus", "map", "how sharp the raw frame is, with the trend of a run", Focus, _plan)
