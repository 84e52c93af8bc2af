"""Translation: an image moved by a shift, for data that are to be corrected for drift."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .compiled import entry, piece

#: Steps a pixel that a shift is rounded to, far finer than drift is measured. All sums then are integers of 32 bits.
STEPS: Final = 256
_BITS: Final = 16
#: Farther than any image is large, pixels; from there on all is fill.
_FAR: Final = 2.0**30


def translate_reference(image: NDArray[np.uint16], dy: float, dx: float, fill: int) -> NDArray[np.uint16]:
    """Move the content of an image, out(y, x) = image(y - dy, x - dx), linear between pixels.

    To correct for a measured `Shift`, move by its negative. A move by half a pixel averages neighbours, so noise gets
    less and edges softer; a move by whole pixels changes no count.

    Parameters
    ----------
    image : uint16 (y, x)
    dy, dx : float, pixels
        Rounded to 1 / `STEPS`.
    fill : int
        Count of pixels for which the image has no data, 0 to 65535.

    Returns
    -------
    uint16 (y, x)
        Halves to the even neighbour.
    """
    out = np.full(image.shape, fill, np.uint16)
    wide = image.astype(np.int64)
    (y, fy), (x, fx) = split(dy), split(dx)
    rows, columns = (np.arange(size) + at for size, at in zip(image.shape, (y, x), strict=True))
    # With no part of a pixel to go, the next neighbour is not needed, and need not be there.
    has_y = (rows >= 0) & (rows + (fy > 0) < image.shape[0])
    has_x = (columns >= 0) & (columns + (fx > 0) < image.shape[1])
    rows, columns = rows[has_y], columns[has_x]
    total = np.zeros((rows.size, columns.size), np.int64)
    for i, weight_y in ((0, STEPS - fy), (1, fy)):
        for j, weight_x in ((0, STEPS - fx), (1, fx)):
            if weight_y and weight_x:
                total += weight_y * weight_x * wide[np.ix_(rows + i, columns + j)]
    out[np.ix_(has_y, has_x)] = np.rint(total / STEPS**2).astype(np.uint16)
    return out


def split(move: float) -> tuple[int, int]:
    """Give where a pixel takes its value from if the content moves: by whole pixels, and by steps beyond."""
    return divmod(-round(min(max(move, -_FAR), _FAR) * STEPS), STEPS)


def translate(image: NDArray[np.uint16], dy: float, dx: float, fill: int, out: NDArray[np.uint16]) -> None:
    """Move the content of an image, as `translate_reference`, bit for bit.

    Parameters
    ----------
    image : uint16 (y, x), C-contiguous
    dy, dx, fill
        As for `translate_reference`.
    out : uint16 (y, x), C-contiguous
        Result; another array than the image.
    """
    (y, fy), (x, fx) = split(dy), split(dx)
    view = image.view()
    view.flags.writeable = False
    _translate(view, y, fy, x, fx, np.uint16(fill), out)


@entry
def _translate(image: Any, dy: int, fy: int, dx: int, fx: int, fill: Any, out: Any) -> None:
    height, width = image.shape
    first = min(max(0, -dx), width)
    last = max(min(width, width - dx - (1 if fx else 0)), first)
    for y in range(height):
        line, source = out[y], y + dy
        if source < 0 or source + (1 if fy else 0) >= height or first == last:
            line[:] = fill
            continue
        line[:first] = fill
        line[last:] = fill
        upper = image[source]
        lower = image[source + (1 if fy else 0)]
        _mix(upper[first + dx :], lower[first + dx :], np.uint32(fy), np.uint32(fx), line[first:last])


@piece
def _mix(upper: Any, lower: Any, fy: Any, fx: Any, out: Any) -> None:
    if fx == 0 and fy == 0:
        for x in range(out.size):
            out[x] = upper[x]
        return
    steps, half, one, bits = np.uint32(STEPS), np.uint32(2 ** (_BITS - 1) - 1), np.uint32(1), np.uint32(_BITS)
    gy, gx = np.uint32(steps - fy), np.uint32(steps - fx)
    right_upper, right_lower = upper[1:], lower[1:]
    if fx == 0:
        # The right neighbours have no weight, and at the border there are none.
        right_upper, right_lower = upper, lower
    for x in range(out.size):
        left = np.uint32(gy * np.uint32(upper[x]) + fy * np.uint32(lower[x]))
        right = np.uint32(gy * np.uint32(right_upper[x]) + fy * np.uint32(right_lower[x]))
        total = np.uint32(gx * left + fx * right)
        # Half to even: just below one half, and a full half where the quotient is odd.
        out[x] = np.uint16(np.uint32(total + half + ((total >> bits) & one)) >> bits)
