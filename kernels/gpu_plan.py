"""What the CUDA kernels need for one reduction: sizes, constants, hot-pixel lists in whole numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .cuda_source import FACTORS
from .fixed_point import CellPoint, FixedPoint, plan_cell_point, plan_fixed_point, whole
from .hot_pixels import HotCells
from .lane import LanePlan
from .views import USUAL, ViewPlan

#: A block of threads of the pass: four rows of cells, 256 raw columns.
BLOCK_ROWS: Final = 4
BLOCK_SPAN: Final = 256
#: The kernels count the pixels of a frame in 32 bits.
_MOST_PIXELS: Final = 2**30
#: Threads of a warp: cells of a row that a block of the pass has that bins in every way.
BLOCK_CELLS: Final = 32


@dataclass(frozen=True)
class HotLists:
    """The listed pixels by the block of threads that meets them: `HotCells` in another order, in whole numbers.

    Attributes
    ----------
    start : int32 (blocks + 1,)
        Where each block's cells begin.
    place_in_block : int32 (cells,)
        Row in the block · (256 / factor) + column.
    place : int32 (cells,)
        y' · width' + x'.
    pixel_start : int32 (cells + 1,)
    weight : int32 (pixels,)
        Of each listed pixel in its cell.
    donor_start : int32 (pixels + 1,)
    donor : int32 (donors,)
        y · width + x in the raw frame; the listed pixel itself before its neighbours.
    gain, subtrahend : int64 (donors,)
        gain · 2ᶠ and offset·gain · 2ᶠ.
    """

    start: NDArray[np.int32]
    place_in_block: NDArray[np.int32]
    place: NDArray[np.int32]
    pixel_start: NDArray[np.int32]
    weight: NDArray[np.int32]
    donor_start: NDArray[np.int32]
    donor: NDArray[np.int32]
    gain: NDArray[np.int64]
    subtrahend: NDArray[np.int64]


@dataclass(frozen=True)
class GpuPlan:
    """A reduction made ready for CUDA kernels.

    Attributes
    ----------
    products : tuple of str
        Paths of what the lane makes.
    frame_shape : tuple of int
        Raw frame (y, x), pixels.
    factor : int
        Binning.
    mode : str
        How the pixels of a cell become one.
    usual : bool
        Whether the pass does it that knows means of 1, 2 or 4 pixels a side and the three maxima; else the other.
    levels : tuple of (int, int)
        Size (y, x) of every pyramid level.
    depth : int
        Frames of a block that share one projection over z.
    stacks : int
        Stacks of a block at most.
    fixed : FixedPoint or CellPoint
        For the one pass, or the other.
    hot : HotLists
    views : ViewPlan
        Projections that are products.
    saturation : int, counts
        As in the lane.
    """

    products: tuple[str, ...]
    frame_shape: tuple[int, int]
    factor: int
    mode: str
    usual: bool
    levels: tuple[tuple[int, int], ...]
    depth: int
    stacks: int
    fixed: FixedPoint | CellPoint
    hot: HotLists
    views: ViewPlan
    saturation: int

    @property
    def keep_raw(self) -> bool:
        """Whether the frames as they came are a product."""
        return "raw/0" in self.products

    @property
    def frames(self) -> int:
        """Frames of a block at most."""
        return self.depth * self.stacks

    @property
    def grid(self) -> tuple[int, int]:
        """Blocks of threads that cover a frame (x, y)."""
        return grid_of(self.levels[0], BLOCK_SPAN // self.factor if self.usual else BLOCK_CELLS)


def grid_of(level0: tuple[int, int], columns: int) -> tuple[int, int]:
    """Count the blocks of threads (x, y), of so many columns of cells, that cover a plane of level 0 (y, x)."""
    return -(-level0[1] // columns), -(-level0[0] // BLOCK_ROWS)


def plan_gpu(lane: LanePlan) -> GpuPlan | str:
    """Make the lane of a reduction ready for CUDA kernels.

    Parameters
    ----------
    lane : LanePlan

    Returns
    -------
    GpuPlan or str
        Or why it runs on the CPU: what the kernels do not do, in one clause.
    """
    constants, factor, shape = lane.constants, lane.factor, lane.frame_shape
    offset, gain = constants.offset, constants.gain
    mode = "mean" if factor == 1 else constants.mode
    if math.prod(shape) >= _MOST_PIXELS:
        return "the GPU takes frames of fewer than 2^30 pixels"
    usual = mode == "mean" and factor in FACTORS and lane.views.chosen in ((), USUAL) and not lane.saturation
    if usual:
        fixed = plan_fixed_point(offset, gain, constants.pedestal, shape, factor)
    else:
        fixed = plan_cell_point(offset, gain, constants.pedestal, shape, lane.cells, mode)
    if fixed is None:
        return "the GPU computes in 62 bits, and offset and gain span more"
    gains = fixed.gain_map if fixed.gain_map.size else np.broadcast_to(np.int64(fixed.gain), shape)
    product = np.broadcast_to(whole(np.float64(offset) * np.float64(gain), fixed.fraction), shape)
    hot = _by_block(lane.hot, lane.levels[0], BLOCK_SPAN // factor if usual else BLOCK_CELLS, gains, product)
    t, c, z = lane.step
    return GpuPlan(
        products=tuple(product.path for product in lane.products),
        frame_shape=shape,
        factor=factor,
        mode=mode,
        usual=usual,
        levels=lane.levels,
        depth=z,
        stacks=t * c,
        fixed=fixed,
        hot=hot,
        views=lane.views,
        saturation=lane.saturation,
    )


def _by_block(
    cells: HotCells,
    level0: tuple[int, int],
    columns: int,
    gains: NDArray[np.integer],
    subtrahends: NDArray[np.int64],
) -> HotLists:
    across, down = grid_of(level0, columns)
    y = np.repeat(np.arange(level0[0]), np.diff(cells.row_start))
    x = cells.cell_x
    block = y // BLOCK_ROWS * across + x // columns
    order = np.argsort(block, kind="stable")
    pixel_start, pixels = _in_order(cells.pixel_start, order)
    donor_start, donors = _in_order(cells.donor_start, pixels)
    y, x = y[order], x[order]
    donor_y, donor_x = cells.donor_y[donors], cells.donor_x[donors]
    return HotLists(
        start=np.searchsorted(block[order], np.arange(across * down + 1)).astype(np.int32),
        place_in_block=(y % BLOCK_ROWS * columns + x % columns).astype(np.int32),
        place=(y * level0[1] + x).astype(np.int32),
        pixel_start=pixel_start,
        weight=cells.weight[pixels].astype(np.int32),
        donor_start=donor_start,
        donor=donor_y * np.int32(gains.shape[1]) + donor_x,
        gain=gains[donor_y, donor_x].astype(np.int64),
        subtrahend=subtrahends[donor_y, donor_x],
    )


def _in_order(starts: NDArray[np.int64], order: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    # The starts of lists that are put into another order, and where each of their members was before.
    sizes = np.diff(starts)[order]
    ends = np.cumsum(sizes)
    members = np.repeat(starts[:-1][order] - (ends - sizes), sizes) + np.arange(sizes.sum())
    return np.concatenate([[0], ends]).astype(np.int32), members
