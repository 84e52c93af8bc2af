"""Cells: means over squares of pixels as float32, the small image that measurements look at."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..stream.errors import RecipeError
from .binning import bin_reference
from .compiled import entry, piece

#: Sides of a cell, pixels. Powers of two, and so few pixels that their sum is exact in float32.
SIDES: Final = (1, 2, 4, 8, 16)


def check_side(key: str, value: int) -> None:
    """Check a parameter that is the side of a cell.

    Raises
    ------
    RecipeError
        If it is none of `SIDES`.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value not in SIDES:
        raise RecipeError(f"{key} is {value}", "it must be 1, 2, 4, 8 or 16 pixels")


def cells_shape(shape: tuple[int, int], side: int) -> tuple[int, int]:
    """Give the number of cells (y, x) of an image; partial ones count."""
    return -(-shape[0] // side), -(-shape[1] // side)


def mean_cells_reference(image: NDArray[np.uint16], side: int) -> NDArray[np.float32]:
    """Average an image over cells; partial cells average the pixels they have.

    Parameters
    ----------
    image : uint16 (..., y, x)
    side : int
        One of `SIDES`.

    Returns
    -------
    float32 (..., ceil(y / side), ceil(x / side))
        The float64 means, rounded once.
    """
    return bin_reference(image.astype(np.float64), side).astype(np.float32)


@piece
def _add_rows(band: Any, column: Any) -> None:
    if band.shape[0] == 4:
        # The usual sides in one loop: the column is written once.
        a, b, c, d = band[0], band[1], band[2], band[3]
        for x in range(column.size):
            column[x] = (np.int32(a[x]) + np.int32(b[x])) + (np.int32(c[x]) + np.int32(d[x]))
    elif band.shape[0] == 2:
        a, b = band[0], band[1]
        for x in range(column.size):
            column[x] = np.int32(a[x]) + np.int32(b[x])
    else:
        first = band[0]
        for x in range(column.size):
            column[x] = np.int32(first[x])
        for y in range(1, band.shape[0]):
            row = band[y]
            for x in range(column.size):
                column[x] += np.int32(row[x])


@piece
def _add_columns(column: Any, side: int, share: Any, line: Any) -> Any:
    total = np.int64(0)
    full = column.size // side
    if side == 4:
        for x in range(full):
            part = (column[4 * x] + column[4 * x + 1]) + (column[4 * x + 2] + column[4 * x + 3])
            total += part
            line[x] = np.float32(np.int32(part)) * share
    elif side == 2:
        for x in range(full):
            part = column[2 * x] + column[2 * x + 1]
            total += part
            line[x] = np.float32(np.int32(part)) * share
    else:
        for x in range(full):
            part = np.int64(0)
            for i in range(side):
                part += column[x * side + i]
            total += part
            line[x] = np.float32(np.int32(part)) * share
    return total


@entry
def mean_cells(image: Any, side: int, out: Any) -> Any:
    """Average an image over cells, as `mean_cells_reference`, bit for bit.

    Parameters
    ----------
    image : uint16 (y, x), C-contiguous
    side : int
        One of `SIDES`.
    out : float32 (ceil(y / side), ceil(x / side))
        Result.

    Returns
    -------
    int
        Sum of all pixels.
    """
    height, width = image.shape
    column = np.empty(width, np.int32)
    full = width // side
    total = np.int64(0)
    for row in range(out.shape[0]):
        band = image[row * side : min((row + 1) * side, height)]
        rows = band.shape[0]
        _add_rows(band, column)
        line = out[row]
        if rows == side:
            # Exact: the sum is below 2²⁴ and the share a power of two.
            share = np.float32(1.0 / (side * side))
            total += _add_columns(column, side, share, line)
        else:
            for x in range(full):
                part = np.int64(0)
                for i in range(side):
                    part += column[x * side + i]
                total += part
                line[x] = np.float32(part / np.float64(rows * side))
        if full < line.size:
            part = np.int64(0)
            for x in range(full * side, width):
                part += column[x]
            total += part
            line[full] = np.float32(part / np.float64(rows * (width - full * side)))
    return total
