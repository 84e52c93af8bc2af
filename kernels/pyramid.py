"""Resolution pyramid: level k + 1 = rint(mean over 2 × 2 of level k), halves to the even neighbour."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .binning import bin_reference
from .compiled import entry, piece


def level_shapes(shape: tuple[int, int], until: int) -> tuple[tuple[int, int], ...]:
    """Give the size (y, x) of every level, from level 0 down to the first whose larger side is at most ``until``.

    Parameters
    ----------
    shape : tuple of int
        Level 0 (y, x), pixels.
    until : int
        At least 1.

    Returns
    -------
    tuple of (int, int)
        At least level 0; each further one half as large, rounded up.
    """
    shapes = [shape]
    while max(shapes[-1]) > until:
        y, x = shapes[-1]
        shapes.append(((y + 1) // 2, (x + 1) // 2))
    return tuple(shapes)


def halve_reference(image: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Halve an image in float64, rint(mean over 2 × 2); edges average the pixels they have.

    Parameters
    ----------
    image : uint16 (..., y, x)

    Returns
    -------
    uint16 (..., ceil(y / 2), ceil(x / 2))
    """
    return np.rint(bin_reference(image.astype(np.float64), 2)).astype(np.uint16)


@entry
def halve(image: Any, out: Any) -> None:
    """Halve an image, as `halve_reference`, in integers.

    Parameters
    ----------
    image : uint16 (y, x)
    out : uint16 (ceil(y / 2), ceil(x / 2))
        Result.
    """
    pairs = image.shape[0] // 2
    for y in range(pairs):
        _halve_rows(image[2 * y], image[2 * y + 1], out[y])
    if pairs < out.shape[0]:
        last = image[image.shape[0] - 1]
        # A row averaged with itself is the row's own average: (2a + 2b) / 4 = (a + b) / 2, the same halves.
        _halve_rows(last, last, out[pairs])


@piece
def _halve_rows(upper: Any, lower: Any, out: Any) -> None:
    one, two = np.uint32(1), np.uint32(2)
    full = upper.size // 2
    for x in range(full):
        top = np.uint32(np.uint32(upper[2 * x]) + np.uint32(upper[2 * x + 1]))
        total = np.uint32(top + np.uint32(np.uint32(lower[2 * x]) + np.uint32(lower[2 * x + 1])))
        # Half to even without floats: add 1, and 1 more where the quotient is odd, so that exactly ½ rounds up then.
        out[x] = np.uint16(np.uint32(total + one + ((total >> two) & one)) >> two)
    if full < out.size:
        total = np.uint32(upper[2 * full]) + np.uint32(lower[2 * full])
        out[full] = np.uint16(np.uint32(total + ((total >> one) & one)) >> one)
