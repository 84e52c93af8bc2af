"""Views of a stack: which projections a recipe makes of a plan, and the buffers of one block's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..stream.errors import RecipeError
from ..stream.model import Plan, Product
from .block_arrays import by_frame
from .projections import ALONG, MODES, MOST, Targets, projection_name, rounded_share
from .step import Arrays

#: What changes nothing where it is merged.
_EMPTY: Final = {"max": 0, "min": 65535, "mean": 0}
#: In the order of `Targets`.
_ALL: Final = tuple((axis, mode) for axis in ALONG for mode in MODES)
#: What one pass knows by heart.
USUAL: Final = tuple((axis, "max") for axis in ALONG)


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
        self._buffers = {(axis, mode): np.full(shapes[axis], 0, kept_as(axis, mode)) for axis, mode in plan.chosen}
        unused = {(axis, mode): np.zeros((0,) * (len(shapes[axis]) - 1), kept_as(axis, mode)) for axis, mode in _ALL}
        self._unused: dict[tuple[str, str], NDArray[Any]] = unused
        self._means = empty_means(plan)
        self._column_sum = np.zeros(x if ("y", "mean") in plan.chosen else 0, np.uint32)
        self._begun = np.zeros(stacks, bool)
        self._planes = z

    def begin(self, extent: tuple[int, int, int]) -> None:
        """Start a block of (t, c, z) frames."""
        self._planes = extent[2]
        self._begun[:] = False

    def take(self, at: int) -> Targets:
        """Give where the projections of the frame at place ``at`` of the block go; each frame once."""
        stack = at // self._planes
        if not self._begun[stack]:
            self._begun[stack] = True
            self._clear(stack)
        parts = [self._part(axis, mode, stack if axis == "z" else at) for axis, mode in _ALL]
        return Targets._make((self._plan.chosen == USUAL, *parts, self._column_sum))

    def _part(self, axis: str, mode: str, index: int) -> NDArray[Any]:
        buffer = self._buffers.get((axis, mode))
        return self._unused[axis, mode] if buffer is None else buffer[index]

    def _clear(self, stack: int) -> None:
        for (axis, mode), buffer in self._buffers.items():
            if axis == "z":
                buffer[stack].fill(_EMPTY[mode])

    def finish(self, extent: tuple[int, int, int], present: NDArray[np.bool_]) -> Arrays:
        """Complete the block, as `finish_views`."""
        return finish_views(self._plan, self._buffers, self._means, extent, present)


def empty_means(plan: ViewPlan) -> NDArray[np.uint16] | None:
    """Allocate what whole means along z are put in, (stacks, y, x); None where a block has none, or parts of them."""
    stacks, wanted = plan.step[0] * plan.step[1], ("z", "mean") in plan.chosen and not plan.merges
    return np.full((stacks, *plan.size), 0, np.uint16) if wanted else None


def finish_views(
    plan: ViewPlan,
    buffers: Mapping[tuple[str, str], NDArray[Any]],
    means: NDArray[np.uint16] | None,
    extent: tuple[int, int, int],
    present: NDArray[np.bool_],
) -> Arrays:
    """Complete the projections of a block: frames that never came do not count along z, and are 0 along y and x.

    Parameters
    ----------
    plan : ViewPlan
    buffers : mapping
        By axis and mode, of the largest block: along z (stacks, y, x), a sum where the mode is the mean; along y and x
        (frames, x) and (frames, y). Changed in place.
    means : uint16 (stacks, y, x), optional
        From `empty_means`.
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
    t, c, _ = extent
    taken = present.reshape(t * c, -1).sum(axis=1).tolist()
    made: Arrays = {}
    for (axis, mode), product in zip(plan.chosen, plan.products, strict=True):
        buffer = buffers[axis, mode]
        if axis != "z":
            made |= by_frame({product.path: buffer}, extent, present)
            continue
        for stack, count in enumerate(taken):
            if not count:
                buffer[stack].fill(_EMPTY[mode] if plan.merges else 0)
            if mode == "mean" and means is not None:
                np.copyto(means[stack], rounded_share(buffer[stack], max(count, 1)))
        whole = means if mode == "mean" and means is not None else buffer
        made[product.path] = whole[: t * c].reshape(t, c, *plan.size)
    return made


def kept_as(axis: str, mode: str) -> type[np.unsignedinteger[Any]]:
    """Give the type in which a projection is kept while frames come: sums along z need 32 bits."""
    return np.uint32 if (axis, mode) == ("z", "mean") else np.uint16
