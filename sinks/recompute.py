"""What levels and projections must be, computed again from level 0 with NumPy alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..stream.model import Block, Commit, FrameStats, Product
from ..stream.ranges import Ranges
from .layout import placed

#: How parts that cover the same place come together; those of means are sums.
MERGED: Final[dict[str, Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]]] = {
    "max": np.maximum,
    "min": np.minimum,
    "mean": partial(np.add, dtype=np.uint64),
}
#: What projections are called.
MODES: Final = {"max": "maximum", "min": "minimum", "mean": "mean"}
SATURATED = 65535


def mode_of(product: Product) -> str:
    """Give how a projection looks along its axes: ``max``, ``min`` or ``mean``, by its fold or the end of its name."""
    ending = product.path.rpartition("-")[2]
    return product.fold or (ending if ending in MODES else "max")


def projected(product: Product, level0: NDArray[np.uint16], there: NDArray[np.bool_], *, sums: bool) -> NDArray[Any]:
    """Give a projection of level 0 along the axes that the product does not have.

    Parameters
    ----------
    product : Product
    level0 : uint16 (t, c, z, y, x)
        0 where no frame is.
    there : bool (t, c, z)
        Which frames are; the others do not count, and where there is none the projection is 0.
    sums : bool
        Whether means are to be given as sums, uint32, for more of the stack is to come.

    Returns
    -------
    uint16 or uint32
        In the product's axes.
    """
    along = tuple(k for k, axis in enumerate("tczyx") if axis not in product.axes)
    mode = mode_of(product)
    if mode == "max":
        return level0.max(along)
    kept = there[..., None, None]
    if mode == "min":
        least = level0.min(along) if there.all() else level0.min(along, initial=np.iinfo(level0.dtype).max, where=kept)
        return np.where(kept.any(along, keepdims=False), least, 0).astype(level0.dtype)
    total = level0.sum(along, dtype=np.uint64)
    if sums:
        return total.astype(np.uint32)
    return mean_of(total, np.broadcast_to(kept, level0.shape).sum(along))


def mean_of(total: NDArray[Any], count: int | NDArray[Any]) -> NDArray[np.uint16]:
    """Give total / count rounded half to even, exactly; 0 where count is 0."""
    count = np.maximum(np.asarray(count, np.uint64), np.uint64(1))
    whole, rest = np.divmod(total.astype(np.uint64), count)
    rest = rest * np.uint64(2)
    return (whole + ((rest > count) | ((rest == count) & (whole % np.uint64(2) == 1)))).astype(np.uint16)


def halve(plane: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Give the 2×2 mean of a plane, rounded half to even; partial cells average the pixels they have.

    Parameters
    ----------
    plane : uint16 (y, x), counts

    Returns
    -------
    uint16 (ceil(y / 2), ceil(x / 2)), counts
    """
    y, x = plane.shape
    if y % 2 or x % 2:
        # A repeated edge leaves the mean of a partial cell as it is.
        plane = np.pad(plane, ((0, y % 2), (0, x % 2)), mode="edge")
    # Two neighbours along x are one 32-bit word: their sum costs no strided access.
    pairs = np.ascontiguousarray(plane).view("<u4")
    sums = (pairs & 0xFFFF) + (pairs >> 16)
    cells = sums[::2] + sums[1::2]
    # cells = 4 q + r; adding 1, and 1 more where q is odd, carries into q exactly for r = 3, and for r = 2 with odd q.
    cells += 1 + ((cells >> 2) & 1)
    return (cells >> 2).astype(np.uint16)


def stats(plane: NDArray[np.uint16]) -> FrameStats:
    """Give the numbers of one raw frame."""
    mean = float(plane.sum(dtype=np.uint64)) / plane.size
    return FrameStats(int(plane.min()), int(plane.max()), mean, int(np.count_nonzero(plane == SATURATED)))


def planes(block: Block) -> Iterator[tuple[int, tuple[int, int, int]]]:
    """Go through a block's frames: number, and (t, c, z) within the block."""
    _, c_size, z_size = block.extent
    for k, number in enumerate(block.frames):
        stack, z = divmod(k, z_size)
        yield number, (stack // c_size, stack % c_size, z)


def empty(dtype: str) -> float:
    """Give what stands where nothing is: 0, and in arrays of floats NaN."""
    return math.nan if np.dtype(dtype).kind == "f" else 0


def blank(part: NDArray[Any]) -> bool:
    """Tell whether nothing is there; see `empty`."""
    return bool(np.isnan(part).all()) if part.dtype.kind == "f" else not part.any()


def held_frames(block: Block, commit: Commit) -> NDArray[np.bool_]:
    """Give which frames of a block (t, c, z) a commit holds."""
    there = np.zeros(block.count, bool)
    there[[frame.number - block.first for frame in commit.frames]] = True
    return there.reshape(block.extent)


def same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Tell whether two arrays of one type hold the same; NaN is the same as NaN."""
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def differing_frames(product: Product, block: Block, a: NDArray[Any], b: NDArray[Any]) -> Ranges:
    """Give the frames of a block whose places differ between two arrays of a product.

    Parameters
    ----------
    product, block : Product, Block
        What the arrays are.
    a, b : ndarray
        The product's array over the block's extent.
    """
    if same(a, b):
        return Ranges()
    own = placed(product)
    differs = (a != b).any(axis=tuple(k for k, axis in enumerate(product.axes) if axis not in own))
    keep = [k for k, axis in enumerate("tcz") if axis in own]
    return Ranges.of(n for n, place in planes(block) if differs[tuple(place[k] for k in keep)])


def as_text(frames: Ranges) -> str:
    """Name frames: ``frames 3-7, 9``; long lists end with a count."""
    spans = [f"{a}-{b}" if b > a else f"{a}" for a, b in frames.spans[:8]]
    more = f" and {len(frames.spans) - 8} more ranges" if len(frames.spans) > 8 else ""
    return f"{'frame' if len(frames) == 1 else 'frames'} {', '.join(spans)}{more}"
