"""The lane: what one pass over each raw frame makes of a block, and the buffers it makes it in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..stream.model import FrameStats, Plan, Product
from . import saturation
from .binning import Cells, plan_cells
from .block_arrays import by_frame
from .calibrate import Calibration, plan_calibration
from .constants import Constants
from .fused import reduce_frame
from .hot_pixels import HotCells, plan_hot_cells
from .lane_steps import LANE
from .narrow import Narrow, plan_narrow
from .pyramid import halve, level_shapes
from .recipe import Recipe
from .saturation import saturation_product
from .step import Arrays
from .views import ViewPlan, Views, plan_views


@dataclass(frozen=True)
class LanePlan:
    """The point-wise steps of a recipe made ready for a plan.

    Attributes
    ----------
    parts : tuple of str
        Steps that the pass does, in the order in which they act; statistics always.
    products : tuple of Product
        Levels ``"0"``, ``"1"``, …, then projections, then ``raw/0`` if the frames are kept.
    frame_shape : tuple of int
        Raw frame (y, x), pixels.
    step : tuple of int
        Full block (t, c, z), frames.
    cells : Cells
    pedestal : float, counts
    levels : tuple of (int, int)
        Size (y, x) of every pyramid level.
    calibration : Calibration
    narrow : Narrow
        The same, as far as it can be done in 32 bits.
    hot : HotCells
    views : ViewPlan
        Projections.
    saturation : int, counts
        From here on a raw pixel is marked; 0 if nobody asked for the mask.
    constants : Constants
        What all this was made from.
    """

    parts: tuple[str, ...]
    products: tuple[Product, ...]
    frame_shape: tuple[int, int]
    step: tuple[int, int, int]
    cells: Cells
    pedestal: float
    levels: tuple[tuple[int, int], ...]
    calibration: Calibration
    narrow: Narrow
    hot: HotCells
    views: ViewPlan
    saturation: int
    constants: Constants

    @property
    def factor(self) -> int:
        """Binning: side of a cell, raw pixels."""
        return self.cells.factor

    @property
    def keep_raw(self) -> bool:
        """Whether the frames as they came are a product."""
        return self.products[-1].path == "raw/0"


def plan_lane(recipe: Recipe, plan: Plan, maps: Mapping[str, NDArray[Any]], *, keep_raw: bool) -> LanePlan:
    """Work out what the pass over the raw frame makes of a plan.

    Raises
    ------
    RecipeError
        If a map is missing, is another than the recipe names, or does not fit the frames.
    """
    constants = Constants.of(recipe, plan.frame_shape, maps)
    offset, gain, factor = constants.offset, constants.gain, constants.factor
    height, width = plan.frame_shape
    cells = plan_cells(plan.frame_shape, factor, constants.mode)
    levels = level_shapes((math.ceil(height / factor), math.ceil(width / factor)), constants.until)
    views = plan_views(plan, levels[0], factor, constants.along, constants.modes)
    level = constants.saturation
    labels = (saturation_product(plan, levels[0], factor, level),) if level else ()
    return LanePlan(
        parts=tuple(step.name for step in LANE if step.name in (*recipe.steps, "statistics")),
        products=(*_levels(plan, levels, factor), *views.products, *labels, *_raw(plan, keep_raw)),
        frame_shape=plan.frame_shape,
        step=plan.blocks.step,
        cells=cells,
        pedestal=constants.pedestal,
        levels=levels,
        calibration=plan_calibration(offset, gain, plan.frame_shape, cells),
        narrow=plan_narrow(offset, gain, constants.pedestal, plan.frame_shape, cells),
        hot=plan_hot_cells(constants.hot_pixels, offset, gain, plan.frame_shape, cells),
        views=views,
        saturation=level,
        constants=constants,
    )


def _levels(plan: Plan, levels: tuple[tuple[int, int], ...], factor: int) -> Iterator[Product]:
    for k, size in enumerate(levels):
        shape, follows = (*plan.shape[:3], *size), "halved" if k else ""
        yield Product(f"{k}", "tczyx", shape, "uint16", factor * 2**k, follows=follows)


def _raw(plan: Plan, keep_raw: bool) -> Iterator[Product]:
    if keep_raw:
        yield Product("raw/0", "tczyx", plan.shape, "uint16", 1)


class Lane:
    """Buffers that hold what the lane makes of one block while its frames come in; used again for every block.

    Not for several threads at once. What it gives out are views of the buffers, valid until the next `begin`.

    Parameters
    ----------
    plan : LanePlan
    """

    def __init__(self, plan: LanePlan) -> None:
        t, c, z = plan.step
        frames = t * c * z
        self._plan = plan
        self._hot = plan.hot._replace(scratch=plan.hot.scratch.copy())
        # Filled, not only asked for: the system hands a page out when it is first written to, which costs more than
        # the whole reduction if it happens while frames come in.
        self._levels = [np.full((frames, *size), 0, np.uint16) for size in plan.levels]
        self._views = Views(plan.views)
        self._masks = np.full((frames, *(plan.levels[0] if plan.saturation else (0, 0))), 0, np.uint8)
        self._marked = np.zeros(frames, bool)
        self._raw = np.full((frames, *plan.frame_shape), 0, np.uint16) if plan.keep_raw else None
        self._extent = plan.step
        if np.float64 in (plan.calibration.base_map.dtype, plan.calibration.pixel_base.dtype):
            # Such rare maps have a compiled form of their own: it is made here, before frames wait for it.
            self.add(0, np.zeros(plan.frame_shape, np.uint16))

    def begin(self, extent: tuple[int, int, int]) -> None:
        """Start a block of (t, c, z) frames; what the last one left is forgotten."""
        self._extent = extent
        self._views.begin(extent)

    def add(self, at: int, pixels: NDArray[np.uint16]) -> FrameStats:
        """Reduce one frame, in any order, each once.

        Parameters
        ----------
        at : int
            Its place in the block, from 0.
        pixels : uint16 (y, x), C-contiguous, raw counts
            Read only.

        Returns
        -------
        FrameStats
            Of the raw counts.
        """
        plan, plane = self._plan, self._levels[0][at]
        views = self._views.take(at)
        level, mask, marked = plan.saturation, self._masks[at], bool(self._marked[at])
        constants = plan.cells, plan.calibration, plan.narrow, self._hot, plan.pedestal
        stats = reduce_frame(pixels, *constants, plane, views, level, mask, marked=marked)
        self._marked[at] = stats.max >= level
        for level in self._levels[1:]:
            halve(plane, level[at])
            plane = level[at]
        if self._raw is not None:
            np.copyto(self._raw[at], pixels)
        return stats

    def level0(self, at: int) -> NDArray[np.uint16]:
        """Give the plane of level 0 of a frame that was added, uint16 (y', x')."""
        return self._levels[0][at]

    def finish(self, present: NDArray[np.bool_]) -> Arrays:
        """Complete the block; frames that never came are 0, and do not count in projections along z.

        Parameters
        ----------
        present : bool (t, c, z)
            Which frames of the block came.

        Returns
        -------
        dict
            Array of every product by path, over the block's extent, C-contiguous views: levels and ``raw/0``
            (t, c, z, y, x), so ``labels/saturation``; projections as `Views.finish` gives them.
        """
        buffers: Arrays = {f"{k}": level for k, level in enumerate(self._levels)}
        buffers |= {} if self._raw is None else {"raw/0": self._raw}
        buffers |= {saturation.PATH: self._masks} if self._plan.saturation else {}
        made = by_frame(buffers, self._extent, present) | self._views.finish(self._extent, present)
        return {product.path: made[product.path] for product in self._plan.products}
