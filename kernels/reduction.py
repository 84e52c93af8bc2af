"""From recipe and plan to products, and the buffers that reduce one block after another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..stream.model import Block, FrameStats, Plan, Product
from .calibrate import Calibration, plan_calibration
from .constants import Constants
from .fused import reduce_frame
from .hot_pixels import HotCells, plan_hot_cells
from .pyramid import halve, level_shapes
from .recipe import Recipe

_NO_MAPS: Final[Mapping[str, NDArray[Any]]] = MappingProxyType({})


@dataclass(frozen=True)
class Reduction:
    """A recipe made ready for a plan.

    Attributes
    ----------
    recipe : Recipe
    plan : Plan
    products : tuple of Product
        Levels ``"0"``, ``"1"``, …, then ``projections/xy``, ``xz``, ``yz``, then ``raw/0`` if the frames are kept.
    factor : int
        Binning.
    pedestal : float
    levels : tuple of (int, int)
        Size (y, x) of every pyramid level.
    calibration : Calibration
    hot : HotCells
    """

    recipe: Recipe
    plan: Plan
    products: tuple[Product, ...]
    factor: int
    pedestal: float
    levels: tuple[tuple[int, int], ...]
    calibration: Calibration
    hot: HotCells

    @property
    def keep_raw(self) -> bool:
        """Whether the frames as they came are a product."""
        return self.products[-1].path == "raw/0"

    def reducer(self) -> BlockReducer:
        """Allocate the buffers for one block; several reducers of one reduction may work in different threads."""
        return BlockReducer(self)


def plan_reduction(
    recipe: Recipe, plan: Plan, maps: Mapping[str, NDArray[Any]] = _NO_MAPS, *, keep_raw: bool = False
) -> Reduction:
    """Work out what a recipe makes of a plan.

    Parameters
    ----------
    recipe : Recipe
        Resolved: no map is a file any more.
    plan : Plan
    maps : mapping
        Arrays that the recipe refers to, by ``"step.parameter"``.
    keep_raw : bool
        Whether ``raw/0`` is a product too.

    Returns
    -------
    Reduction

    Raises
    ------
    RecipeError
        If a map is missing, is another than the recipe names, or does not fit the frames.
    """
    constants = Constants.of(recipe, plan.frame_shape, maps)
    offset, gain, factor = constants.offset, constants.gain, constants.factor
    height, width = plan.frame_shape
    levels = level_shapes((math.ceil(height / factor), math.ceil(width / factor)), constants.until)
    return Reduction(
        recipe=recipe,
        plan=plan,
        products=_products(plan, levels, factor, keep_raw),
        factor=factor,
        pedestal=constants.pedestal,
        levels=levels,
        calibration=plan_calibration(offset, gain, plan.frame_shape, factor),
        hot=plan_hot_cells(constants.hot_pixels, offset, gain, plan.frame_shape, factor),
    )


def _products(plan: Plan, levels: tuple[tuple[int, int], ...], factor: int, keep_raw: bool) -> tuple[Product, ...]:
    t, c, z = plan.shape[:3]
    y, x = levels[0]
    products = [Product(f"{k}", "tczyx", (t, c, z, *size), "uint16", factor * 2**k) for k, size in enumerate(levels)]
    products += [
        Product("projections/xy", "tcyx", (t, c, y, x), "uint16", factor, "max"),
        Product("projections/xz", "tczx", (t, c, z, x), "uint16", factor),
        Product("projections/yz", "tczy", (t, c, z, y), "uint16", factor),
    ]
    if keep_raw:
        products.append(Product("raw/0", "tczyx", plan.shape, "uint16", 1))
    return tuple(products)


class BlockReducer:
    """Buffers that hold the products of one block while its frames come in; used again for every block.

    Not for several threads at once. What it gives out are views of the buffers, valid until the next `begin`.

    Parameters
    ----------
    reduction : Reduction
    """

    def __init__(self, reduction: Reduction) -> None:
        t, c, z = reduction.plan.blocks.step
        frames, (y, x) = t * c * z, reduction.levels[0]
        self._reduction = reduction
        self._hot = reduction.hot._replace(scratch=reduction.hot.scratch.copy())
        # Filled, not only asked for: the system hands a page out when it is first written to, which costs more than
        # the whole reduction if it happens while frames come in.
        self._levels = [np.full((frames, *size), 0, np.uint16) for size in reduction.levels]
        self._xy = np.full((t * c, y, x), 0, np.uint16)
        self._xz = np.full((frames, x), 0, np.uint16)
        self._yz = np.full((frames, y), 0, np.uint16)
        self._raw = np.full((frames, *reduction.plan.frame_shape), 0, np.uint16) if reduction.keep_raw else None
        self._block: Block | None = None
        self._stats: dict[int, FrameStats] = {}
        self._stacks: set[int] = set()

    def begin(self, block: Block) -> None:
        """Start a block; what the last one left is forgotten.

        Parameters
        ----------
        block : Block
            Of the reduction's plan.
        """
        if block != self._reduction.plan.blocks[block.number]:
            raise ValueError(f"block {block.number} is not a block of this plan")
        self._block = block
        self._stats.clear()
        self._stacks.clear()

    def add(self, number: int, pixels: NDArray[np.uint16]) -> FrameStats:
        """Reduce one frame of the block, in any order. A number that was added before changes nothing.

        Parameters
        ----------
        number : int
            Frame number in the run.
        pixels : uint16 (y, x), C-contiguous, raw counts
            Read only.

        Returns
        -------
        FrameStats
            Of the raw counts.

        Raises
        ------
        ValueError
            If the frame is not of this block, or the array not what the plan says.
        """
        block, at = self._place(number)
        if at in self._stats:
            return self._stats[at]
        reduction = self._reduction
        if pixels.dtype != np.uint16 or pixels.shape != reduction.plan.frame_shape or not pixels.flags.c_contiguous:
            raise ValueError(f"frame {number} is {pixels.dtype} {pixels.shape}, not C-contiguous uint16 of the plan")
        stack = at // block.extent[2]
        if stack not in self._stacks:
            self._stacks.add(stack)
            self._xy[stack].fill(0)
        plane = self._levels[0][at]
        stats = reduce_frame(
            pixels,
            reduction.factor,
            reduction.calibration,
            self._hot,
            reduction.pedestal,
            plane,
            self._xy[stack],
            self._xz[at],
            self._yz[at],
        )
        for level in self._levels[1:]:
            halve(plane, level[at])
            plane = level[at]
        if self._raw is not None:
            np.copyto(self._raw[at], pixels)
        self._stats[at] = stats
        return stats

    def level0(self, number: int) -> NDArray[np.uint16]:
        """Give the plane of level 0 of an added frame, for previews.

        Parameters
        ----------
        number : int

        Returns
        -------
        uint16 (y', x')
            A view.

        Raises
        ------
        ValueError
            If the frame was not added to this block.
        """
        _, at = self._place(number)
        if at not in self._stats:
            raise ValueError(f"frame {number} was not added to this block")
        return self._levels[0][at]

    def finish(self) -> Mapping[str, NDArray[np.uint16]]:
        """Complete the block; frames that never came are 0, and do not touch the xy projection.

        Returns
        -------
        mapping
            Array of every product by path, over the block's extent, C-contiguous views: levels and ``raw/0``
            (t, c, z, y, x), ``projections/xy`` (t, c, y, x), ``xz`` (t, c, z, x), ``yz`` (t, c, z, y).
        """
        if self._block is None:
            raise ValueError("no block was begun")
        t, c, z = self._block.extent
        by_frame = [*self._levels, self._xz, self._yz, *([] if self._raw is None else [self._raw])]
        for at in set(range(t * c * z)) - self._stats.keys():
            for buffer in by_frame:
                buffer[at].fill(0)
        for stack in set(range(t * c)) - self._stacks:
            self._xy[stack].fill(0)
        *levels, xz, yz = by_frame[: len(self._levels) + 2]
        parts = {f"{k}": _extent(level, (t, c, z)) for k, level in enumerate(levels)}
        parts["projections/xy"] = _extent(self._xy, (t, c))
        parts["projections/xz"] = _extent(xz, (t, c, z))
        parts["projections/yz"] = _extent(yz, (t, c, z))
        if self._raw is not None:
            parts["raw/0"] = _extent(self._raw, (t, c, z))
        return parts

    def _place(self, number: int) -> tuple[Block, int]:
        if self._block is None or number not in self._block.frames:
            raise ValueError(f"frame {number} is not of the block that was begun")
        return self._block, number - self._block.first


def _extent(buffer: NDArray[np.uint16], extent: tuple[int, ...]) -> NDArray[np.uint16]:
    # The frames of a block are consecutive, so a smaller block is the beginning of the buffer.
    return buffer[: math.prod(extent)].reshape(*extent, *buffer.shape[1:])


def warm_up() -> None:
    """Compile, or load from disk, all that reducing a frame needs; a worker calls this before it says it is ready."""
    plan = Plan((1, 1, 1, 4, 4))
    recipe = Recipe.load("lightsheet", ["pyramid.until=1", "hot_pixels.pixels=[[0,0]]"])
    reducer = plan_reduction(recipe, plan).reducer()
    reducer.begin(plan.blocks[0])
    reducer.add(0, np.zeros((4, 4), np.uint16))
