"""Views of a stack: which projections a recipe makes of a plan, and the buffers of one block's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..stream.errors import RecipeError
from ..stream.model import Plan, Product
from .projections import ALONG, MODES, MOST, Targets, projection_name, rounded_share
from .step import Arrays

#: What changes nothing where it is merged.
_EMPTY: Final = {"max": 0, "min": 65535, "mean": 0}
#: In the order of `Targets`.
_ALL: Final = tuple((axis, mode) for axis in ALONG for mode in MODES)
_USUAL: Final = tuple((axis, "max") for axis in ALONG)


@dataclass(frozen=True)
class ViewPlan:
    """Projections of a plan.

    Attributes
    ----------
    chosen : tuple of (str, str)
        Axis and mode of each.
    products : tuple of Product
        Theirs, in that order.
    step : tuple of int
        Full block (t, c, z), frames.
    size : tuple of int
        Level 0 (y, x), pixels.
    merges : bool
        Whether a stack spans several blocks, so that what its blocks have of it along z is merged: the parts of means
        are sums then, and what a block without frames gives changes nothing.
    """

    chosen: tuple[tuple[str, str], ...]
    products: tuple[Product, ...]
    step: tuple[int, int, int]
    size: tuple[int, int]
    merges: bool


def plan_views(
    plan: Plan, size: tuple[int, int], factor: int, along: tuple[str, ...], modes: tuple[str, ...]
) -> ViewPlan:
    """Work out the projections of level 0.

    Parameters
    ----------
    plan : Plan
    size : tuple of int
        Level 0 (y, x), pixels.
    factor : int
        Binning.
    along, modes : tuple of str
        Axes to look along; what is made of the values there.

    Raises
    ------
    RecipeError
        If an axis is too long for a mean: its sums are kept in 32 bits.
    """
    lengths = dict(zip("tczyx", (*plan.shape[:3], *size), strict=True))
    for axis in along:
        if "mean" in modes and lengths[axis] > MOST:
            what = f"projections.modes has mean, and there are {lengths[axis]} pixels along {axis}"
            raise RecipeError(what, f"leave out mean or {axis}; a mean is of at most {MOST}")
    chosen = tuple((axis, mode) for axis in along for mode in modes)
    products: list[Product] = []
    for axis, mode in chosen:
        axes, fold = ALONG[axis][1], mode if axis == "z" else ""
        shape = tuple(lengths[letter] for letter in axes)
        path = f"projections/{projection_name(axis, mode)}"
        products.append(Product(path, axes, shape, "uint16", factor, fold, follows="level 0"))
    return ViewPlan(chosen, tuple(products), plan.blocks.step, size, plan.blocks.splits_stacks)


class Views:
    """Buffers of the projections of one block while its frames come in; used again for every block.

    Parameters
    ----------
    plan : ViewPlan
    """

    def __init__(self, plan: ViewPlan) -> None:
        self._plan = plan
        t, c, z = plan.step
        stacks, (y, x) = t * c, plan.size
        shapes = {"z": (stacks, y, x), "y": (stacks * z, x), "x": (stacks * z, y)}
        # Filled, not only asked for: the first use of a page costs more than the pass itself.
        self._buffers = {(axis, mode): np.full(shapes[axis], 0, _kept(axis, mode)) for axis, mode in plan.chosen}
        unused = {(axis, mode): np.zeros((0,) * (len(shapes[axis]) - 1), _kept(axis, mode)) for axis, mode in _ALL}
        self._unused: dict[tuple[str, str], NDArray[Any]] = unused
        self._means = None if plan.merges else self._whole_means(stacks)
        self._column_sum = np.zeros(x if ("y", "mean") in plan.chosen else 0, np.uint32)
        self._taken = np.zeros(stacks, np.int64)
        self._planes = z

    def _whole_means(self, stacks: int) -> NDArray[np.uint16] | None:
        return np.full((stacks, *self._plan.size), 0, np.uint16) if ("z", "mean") in self._plan.chosen else None

    def begin(self, extent: tuple[int, int, int]) -> None:
        """Start a block of (t, c, z) frames."""
        self._planes = extent[2]
        self._taken[:] = 0

    def take(self, at: int) -> Targets:
        """Give where the projections of the frame at place ``at`` of the block go; each frame once."""
        stack = at // self._planes
        if not self._taken[stack]:
            self._clear(stack)
        self._taken[stack] += 1
        parts = [self._part(axis, mode, stack if axis == "z" else at) for axis, mode in _ALL]
        return Targets._make((self._plan.chosen == _USUAL, *parts, self._column_sum))

    def _part(self, axis: str, mode: str, index: int) -> NDArray[Any]:
        buffer = self._buffers.get((axis, mode))
        return self._unused[axis, mode] if buffer is None else buffer[index]

    def _clear(self, stack: int) -> None:
        for (axis, mode), buffer in self._buffers.items():
            if axis == "z":
                buffer[stack].fill(_EMPTY[mode])

    def finish(self, extent: tuple[int, int, int], present: NDArray[np.bool_]) -> Arrays:
        """Complete the block: frames that never came do not count along z, and are 0 along y and x.

        Parameters
        ----------
        extent : tuple of int
            Of the block (t, c, z).
        present : bool (t, c, z)
            Which frames came.

        Returns
        -------
        dict
            Arrays by path over the extent, as `ViewPlan.products`. A stack without frames is 0; where blocks are merged
            it has what changes nothing.
        """
        t, c, z = extent
        lost = np.flatnonzero(~present.reshape(-1))
        made: Arrays = {}
        for (axis, mode), product in zip(self._plan.chosen, self._plan.products, strict=True):
            buffer = self._buffers[axis, mode]
            if axis == "z":
                made[product.path] = self._along_z(mode, buffer, t * c).reshape(t, c, *self._plan.size)
            else:
                buffer[lost] = 0
                made[product.path] = buffer[: math.prod(extent)].reshape(t, c, z, -1)
        return made

    def _along_z(self, mode: str, buffer: NDArray[Any], stacks: int) -> NDArray[Any]:
        for stack in range(stacks):
            taken = int(self._taken[stack])
            if not taken:
                buffer[stack].fill(_EMPTY[mode] if self._plan.merges else 0)
            if mode == "mean" and self._means is not None:
                np.copyto(self._means[stack], rounded_share(buffer[stack], max(taken, 1)))
        return self._means[:stacks] if mode == "mean" and self._means is not None else buffer[:stacks]


def _kept(axis: str, mode: str) -> type[np.unsignedinteger[Any]]:
    return np.uint32 if (axis, mode) == ("z", "mean") else np.uint16
