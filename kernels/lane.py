"""The lane: what one pass over each raw frame makes of a block, and the buffers it makes it in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..stream.model import FrameStats, Plan, Product
from .calibrate import Calibration, plan_calibration
from .constants import Constants
from .fused import reduce_frame
from .hot_pixels import HotCells, plan_hot_cells
from .pyramid import halve, level_shapes
from .recipe import Recipe
from .step import Arrays

#: Projection along an axis: its name, and the axes that are left.
_PROJECTIONS = {"z": ("xy", "tcyx"), "y": ("xz", "tczx"), "x": ("yz", "tczy")}


@dataclass(frozen=True)
class LanePlan:
    """The point-wise steps of a recipe made ready for a plan.

    Attributes
    ----------
    products : tuple of Product
        Levels ``"0"``, ``"1"``, …, then projections, then ``raw/0`` if the frames are kept.
    frame_shape : tuple of int
        Raw frame (y, x), pixels.
    step : tuple of int
        Full block (t, c, z), frames.
    factor : int
        Binning.
    pedestal : float, counts
    levels : tuple of (int, int)
        Size (y, x) of every pyramid level.
    calibration : Calibration
    hot : HotCells
    """

    products: tuple[Product, ...]
    frame_shape: tuple[int, int]
    step: tuple[int, int, int]
    factor: int
    pedestal: float
    levels: tuple[tuple[int, int], ...]
    calibration: Calibration
    hot: HotCells

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
    levels = level_shapes((math.ceil(height / factor), math.ceil(width / factor)), constants.until)
    return LanePlan(
        products=tuple(_products(plan, levels, factor, constants.along, keep_raw)),
        frame_shape=plan.frame_shape,
        step=plan.blocks.step,
        factor=factor,
        pedestal=constants.pedestal,
        levels=levels,
        calibration=plan_calibration(offset, gain, plan.frame_shape, factor),
        hot=plan_hot_cells(constants.hot_pixels, offset, gain, plan.frame_shape, factor),
    )


def _products(
    plan: Plan, levels: tuple[tuple[int, int], ...], factor: int, along: tuple[str, ...], keep_raw: bool
) -> list[Product]:
    t, c, z = plan.shape[:3]
    lengths = dict(zip("tczyx", (t, c, z, *levels[0]), strict=True))
    products = [
        Product(f"{k}", "tczyx", (t, c, z, *size), "uint16", factor * 2**k, follows="halved" if k else "")
        for k, size in enumerate(levels)
    ]
    for name, axes in (_PROJECTIONS[axis] for axis in along):
        fold = "max" if name == "xy" else ""
        shape = tuple(lengths[axis] for axis in axes)
        products.append(Product(f"projections/{name}", axes, shape, "uint16", factor, fold, follows="level 0"))
    if keep_raw:
        products.append(Product("raw/0", "tczyx", plan.shape, "uint16", 1))
    return products


class Lane:
    """Buffers that hold what the lane makes of one block while its frames come in; used again for every block.

    Not for several threads at once. What it gives out are views of the buffers, valid until the next `begin`.

    Parameters
    ----------
    plan : LanePlan
    """

    def __init__(self, plan: LanePlan) -> None:
        t, c, z = plan.step
        frames, (y, x) = t * c * z, plan.levels[0]
        self._plan = plan
        self._hot = plan.hot._replace(scratch=plan.hot.scratch.copy())
        # Filled, not only asked for: the system hands a page out when it is first written to, which costs more than
        # the whole reduction if it happens while frames come in.
        self._levels = [np.full((frames, *size), 0, np.uint16) for size in plan.levels]
        self._xy = np.full((t * c, y, x), 0, np.uint16)
        self._xz = np.full((frames, x), 0, np.uint16)
        self._yz = np.full((frames, y), 0, np.uint16)
        self._raw = np.full((frames, *plan.frame_shape), 0, np.uint16) if plan.keep_raw else None
        self._extent = plan.step
        self._stacks: set[int] = set()

    def begin(self, extent: tuple[int, int, int]) -> None:
        """Start a block of (t, c, z) frames; what the last one left is forgotten."""
        self._extent = extent
        self._stacks.clear()

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
        plan, stack = self._plan, at // self._extent[2]
        if stack not in self._stacks:
            self._stacks.add(stack)
            self._xy[stack].fill(0)
        plane = self._levels[0][at]
        outputs = plane, self._xy[stack], self._xz[at], self._yz[at]
        stats = reduce_frame(pixels, plan.factor, plan.calibration, self._hot, plan.pedestal, *outputs)
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
        """Complete the block; frames that never came are 0, and do not touch the xy projection.

        Parameters
        ----------
        present : bool (t, c, z)
            Which frames of the block came.

        Returns
        -------
        dict
            Array of every product by path, over the block's extent, C-contiguous views: levels and ``raw/0``
            (t, c, z, y, x), ``projections/xy`` (t, c, y, x), ``xz`` (t, c, z, x), ``yz`` (t, c, z, y).
        """
        t, c, _ = self._extent
        raw = {} if self._raw is None else {"raw/0": self._raw}
        by_frame = {f"{k}": level for k, level in enumerate(self._levels)}
        by_frame |= {"projections/xz": self._xz, "projections/yz": self._yz, **raw}
        for at in np.flatnonzero(~present.reshape(-1)).tolist():
            for buffer in by_frame.values():
                buffer[at].fill(0)
        for stack in set(range(t * c)) - self._stacks:
            self._xy[stack].fill(0)
        made = {path: _extent(buffer, self._extent) for path, buffer in by_frame.items()}
        made["projections/xy"] = _extent(self._xy, (t, c))
        return {product.path: made[product.path] for product in self._plan.products}


def _extent(buffer: NDArray[np.uint16], extent: tuple[int, ...]) -> NDArray[np.uint16]:
    # The frames of a block are consecutive, so a smaller block is the beginning of the buffer.
    return buffer[: math.prod(extent)].reshape(*extent, *buffer.shape[1:])
