"""What levels and projections must be, computed again from level 0 with NumPy alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..stream.model import Block, FrameStats, Product
from ..stream.ranges import Ranges

#: Axis of level 0 (t, c, z, y, x) over which each projection takes the maximum.
PROJECTED = {"projections/xy": 2, "projections/xz": 3, "projections/yz": 4}
SATURATED = 65535


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


def differing_frames(product: Product, block: Block, a: NDArray[Any], b: NDArray[Any]) -> Ranges:
    """Give the frames of a block whose places differ between two arrays of a product.

    Parameters
    ----------
    product, block : Product, Block
        What the arrays are.
    a, b : ndarray
        The product's array over the block's extent.
    """
    if np.array_equal(a, b):
        return Ranges()
    space = tuple(k for k, axis in enumerate(product.axes) if axis in "yx")
    differs = (a != b).any(axis=space)
    keep = [k for k, axis in enumerate("tcz") if axis in product.axes]
    return Ranges.of(n for n, place in planes(block) if differs[tuple(place[k] for k in keep)])


def as_text(frames: Ranges) -> str:
    """Name frames: ``frames 3-7, 9``; long lists end with a count."""
    spans = [f"{a}-{b}" if b > a else f"{a}" for a, b in frames.spans[:8]]
    more = f" and {len(frames.spans) - 8} more ranges" if len(frames.spans) > 8 else ""
    return f"{'frame' if len(frames) == 1 else 'frames'} {', '.join(spans)}{more}"
