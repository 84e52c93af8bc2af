"""One row of cells at a time from the raw rows it covers: sums, maxima and weighted sums, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiled import piece


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
        Result; at most 64 · 65535.
    """
    if factor == 2 and band.shape[0] == 2:
        _sum_pairs(band[0], band[1], cells)
    else:
        first = band[0]
        for x in range(column.size):
            column[x] = np.int32(first[x])
        for y in range(1, band.shape[0]):
            row = band[y]
            for x in range(column.size):
                column[x] += np.int32(row[x])
        sum_columns(column, factor, cells)


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
        first, first_gain = band[0], gains[0]
        for x in range(column.size):
            column[x] = np.float64(first[x]) * np.float64(first_gain[x])
        for y in range(1, band.shape[0]):
            row, gain = band[y], gains[y]
            for x in range(column.size):
                column[x] += np.float64(row[x]) * np.float64(gain[x])
        sum_columns(column, factor, cells)


@piece
def max_cells(band: Any, factor: int, column: Any, cells: Any) -> None:
    """Find the largest raw count of each cell of one row; the parameters as for `sum_cells`."""
    first = band[0]
    for x in range(column.size):
        column[x] = np.int32(first[x])
    for y in range(1, band.shape[0]):
        row = band[y]
        for x in range(column.size):
            column[x] = max(column[x], np.int32(row[x]))
    _max_columns(column, factor, cells)


@piece
def max_scaled_cells(band: Any, gains: Any, bases: Any, factor: int, column: Any, cells: Any) -> None:
    """Find the largest calibrated value of each cell of one row, D·gain - base, in float64.

    Parameters
    ----------
    bases : float32 or float64 (1 … factor, x)
        offset·gain of each pixel.
    band, gains, factor, column, cells
        As for `sum_scaled_cells`.
    """
    for y in range(band.shape[0]):
        row, gain, base = band[y], gains[y], bases[y]
        for x in range(column.size):
            value = np.float64(row[x]) * np.float64(gain[x]) - np.float64(base[x])
            column[x] = max(column[x], value) if y else value
    _max_columns(column, factor, cells)


@piece
def weigh_cells(raw: Any, top: int, before: int, taps: Any, factor: int, column: Any, cells: Any) -> None:
    """Sum raw counts with the weights of the binomial mean over one row of cells.

    Parameters
    ----------
    raw : uint16 (y, x)
        The frame.
    top : int
        First raw row of the cells.
    before, taps
        As in `Cells`.
    factor : int
    column : int32 (x,)
        Scratch; at most 512 · 65535.
    cells : float64 (ceil(x / factor),)
        Result; at most 512² · 65535.
    """
    if taps.size == 4 and top > 0 and top + 2 < raw.shape[0]:
        a, b, c, d = raw[top - 1], raw[top], raw[top + 1], raw[top + 2]
        for x in range(column.size):
            inner = np.int32(np.int32(b[x]) + np.int32(c[x]))
            column[x] = np.int32(np.int32(np.int32(a[x]) + np.int32(d[x])) + np.int32(3) * inner)
    else:
        column[:] = 0
        for k in range(taps.size):
            if 0 <= top - before + k < raw.shape[0]:
                row, weight = raw[top - before + k], taps[k]
                for x in range(column.size):
                    column[x] += np.int32(weight * np.int32(row[x]))
    _weigh_columns(column, before, taps, factor, cells)


@piece
def weigh_scaled_cells(
    raw: Any, gains: Any, top: int, before: int, taps: Any, factor: int, column: Any, cells: Any
) -> None:
    """Sum raw counts times a gain map, float32 (y, x), as `weigh_cells` but with ``column`` float64."""
    column[:] = 0.0
    for k in range(taps.size):
        if 0 <= top - before + k < raw.shape[0]:
            row, gain, weight = raw[top - before + k], gains[top - before + k], np.float64(taps[k])
            for x in range(column.size):
                column[x] += weight * (np.float64(row[x]) * np.float64(gain[x]))
    _weigh_columns(column, before, taps, factor, cells)


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
def sum_columns(column: Any, factor: int, cells: Any) -> None:
    """Sum a row of any type, (x,), over cells of ``factor`` into ``cells``, pairs first; the last has what is left."""
    full = column.size // factor
    if factor == 8:
        for x in range(full):
            left = (column[8 * x] + column[8 * x + 1]) + (column[8 * x + 2] + column[8 * x + 3])
            cells[x] = left + ((column[8 * x + 4] + column[8 * x + 5]) + (column[8 * x + 6] + column[8 * x + 7]))
    elif factor == 4:
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


@piece
def _max_columns(column: Any, factor: int, cells: Any) -> None:
    full = column.size // factor
    if factor == 2:
        for x in range(full):
            cells[x] = max(column[2 * x], column[2 * x + 1])
    else:
        for x in range(full):
            top = column[factor * x]
            for i in range(factor * x + 1, factor * x + factor):
                top = max(top, column[i])
            cells[x] = top
    if full < cells.size:
        last = column[full * factor]
        for x in range(full * factor + 1, column.size):
            last = max(last, column[x])
        cells[full] = last


@piece
def _weigh_columns(column: Any, before: int, taps: Any, factor: int, cells: Any) -> None:
    cells[:] = 0.0
    # The inner cells of [1, 3, 3, 1] in one loop; weight by weight, as for the others, takes three times as long.
    inner = max((column.size - 3) // 2, 0) if taps.size == 4 else 0
    target, source = cells[1 : 1 + inner], column[1:]
    for x in range(inner):
        middle = np.float64(source[2 * x + 1]) + np.float64(source[2 * x + 2])
        target[x] = (np.float64(source[2 * x]) + np.float64(source[2 * x + 3])) + 3.0 * middle
    for k in range(taps.size):
        weight = np.float64(taps[k])
        first = (before - k + factor - 1) // factor if k < before else 0
        stop = min(cells.size, (column.size - 1 - k + before) // factor + 1)
        if inner:
            for x in range(first, min(stop, 1)):
                cells[x] += weight * np.float64(column[factor * x + k - before])
            first = max(first, 1 + inner)
        for x in range(first, stop):
            cells[x] += weight * np.float64(column[factor * x + k - before])
