"""Binning: the mean over cells of 1, 2 × 2 or 4 × 4 raw pixels; a partial cell averages the pixels it has."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled import piece


def cell_sums(image: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    """Sum an image over cells of ``factor`` × ``factor``.

    Parameters
    ----------
    image : float64 (..., y, x)
    factor : int

    Returns
    -------
    float64 (..., ceil(y / factor), ceil(x / factor))
    """
    for axis in (-2, -1):
        image = np.add.reduceat(image, np.arange(0, image.shape[axis], factor), axis=axis)
    return image


def bin_reference(image: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    """Average an image over cells of ``factor`` × ``factor``; partial cells average the pixels they have.

    Parameters
    ----------
    image : float64 (..., y, x)
    factor : int

    Returns
    -------
    float64 (..., ceil(y / factor), ceil(x / factor))
    """
    return cell_sums(image, factor) / cell_sums(np.ones(image.shape[-2:]), factor)


@piece
def sum_cells(band: Any, factor: int, column: Any, cells: Any) -> None:
    """Sum raw counts over one row of cells.

    Parameters
    ----------
    band : uint16 (1 … factor, x)
        The raw rows of the cells.
    factor : int
    column : int32 (x,)
        Scratch.
    cells : int32 (ceil(x / factor),)
        Result; at most 16 · 65535.
    """
    if factor == 2 and band.shape[0] == 2:
        _sum_pairs(band[0], band[1], cells)
    else:
        for x in range(column.size):
            column[x] = np.int32(band[0, x])
        for y in range(1, band.shape[0]):
            row = band[y]
            for x in range(column.size):
                column[x] += np.int32(row[x])
        _sum_columns(column, factor, cells)


@piece
def sum_scaled_cells(band: Any, gains: Any, factor: int, column: Any, cells: Any) -> None:
    """Sum raw counts times a gain map over one row of cells.

    Parameters
    ----------
    band : uint16 (1 … factor, x)
        The raw rows of the cells.
    gains : float32 (1 … factor, x)
        The same rows of the gain map.
    factor : int
    column : float64 (x,)
        Scratch.
    cells : float64 (ceil(x / factor),)
        Result.
    """
    if factor == 2 and band.shape[0] == 2:
        _sum_scaled_pairs(band[0], band[1], gains[0], gains[1], cells)
    else:
        for x in range(column.size):
            column[x] = np.float64(band[0, x]) * np.float64(gains[0, x])
        for y in range(1, band.shape[0]):
            row, gain = band[y], gains[y]
            for x in range(column.size):
                column[x] += np.float64(row[x]) * np.float64(gain[x])
        _sum_columns(column, factor, cells)


@piece
def _sum_pairs(upper: Any, lower: Any, cells: Any) -> None:
    # The usual case straight from the raw rows: half the time of going through a column buffer.
    full = upper.size // 2
    for x in range(full):
        top = np.int32(upper[2 * x]) + np.int32(upper[2 * x + 1])
        cells[x] = np.int32(top + np.int32(lower[2 * x]) + np.int32(lower[2 * x + 1]))
    if full < cells.size:
        cells[full] = np.int32(upper[2 * full]) + np.int32(lower[2 * full])


@piece
def _sum_scaled_pairs(upper: Any, lower: Any, upper_gain: Any, lower_gain: Any, cells: Any) -> None:
    full = upper.size // 2
    for x in range(full):
        top = np.float64(upper[2 * x]) * np.float64(upper_gain[2 * x])
        top += np.float64(upper[2 * x + 1]) * np.float64(upper_gain[2 * x + 1])
        low = np.float64(lower[2 * x]) * np.float64(lower_gain[2 * x])
        low += np.float64(lower[2 * x + 1]) * np.float64(lower_gain[2 * x + 1])
        cells[x] = top + low
    if full < cells.size:
        last = np.float64(upper[2 * full]) * np.float64(upper_gain[2 * full])
        cells[full] = last + np.float64(lower[2 * full]) * np.float64(lower_gain[2 * full])


@piece
def _sum_columns(column: Any, factor: int, cells: Any) -> None:
    full = column.size // factor
    if factor == 4:
        for x in range(full):
            cells[x] = (column[4 * x] + column[4 * x + 1]) + (column[4 * x + 2] + column[4 * x + 3])
    elif factor == 2:
        for x in range(full):
            cells[x] = column[2 * x] + column[2 * x + 1]
    else:
        for x in range(full):
            cells[x] = column[x]
    if full < cells.size:
        last = column[full * factor]
        for x in range(full * factor + 1, column.size):
            last += column[x]
        cells[full] = last
