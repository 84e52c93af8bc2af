"""Calibrated means to stored integers: clip(rint(n + pedestal), 0, 65535)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .compiled import piece

_TOP: Final = 65535.0


def encode_reference(values: NDArray[np.float64], pedestal: float) -> NDArray[np.uint16]:
    """Encode calibrated values as uint16, clip(rint(n + pedestal), 0, 65535), halves to the even neighbour.

    Parameters
    ----------
    values : float64, any shape
        Calibrated values, negative ones included.
    pedestal : float
        Added so that negative noise survives; stored value ``pedestal`` means zero signal.

    Returns
    -------
    uint16, same shape
    """
    return np.clip(np.rint(values + pedestal), 0, _TOP).astype(np.uint16)


@piece
def encode_value(value: float, pedestal: float) -> Any:
    """Encode one calibrated value."""
    return np.uint16(np.int32(min(max(np.rint(value + pedestal), 0.0), _TOP)))


@piece
def encode_row(
    cells: Any,
    gain: float,
    base: float,
    base_row: Any,
    inner: Any,
    full: float,
    averaged: bool,
    pedestal: float,
    out: Any,
) -> None:
    """Encode the inner cells of one row, n = (gain · cell - Σ offset·gain) / weight of the cell, or not divided.

    Parameters
    ----------
    cells : uint16, int32 or float64 (x',)
        ΣD of each cell, or ΣD·gain with a gain map.
    gain : float
        1 with a gain map.
    base : float
        offset·gain of one pixel, where both are numbers.
    base_row : float32 or float64 (x',), or empty where both are numbers
        Σ offset·gain of each cell.
    inner : (int, int)
        First and stop of the cells that have all their weights.
    full : float
        Weight of a cell that has all its pixels.
    averaged : bool
        Whether to divide by the weight.
    pedestal : float
    out : uint16 (x',)
        Result.
    """
    start, stop = inner
    # The full weight is a power of two, so the product with the inverse is exact; others need the division.
    share = 1.0 / full if averaged else 1.0
    some, target = cells[start:stop], out[start:stop]
    if base_row.size:
        some_base = base_row[start:stop]
        for x in range(some.size):
            target[x] = encode_value((np.float64(some[x]) * gain - np.float64(some_base[x])) * share, pedestal)
    else:
        full_base = base * full
        for x in range(some.size):
            target[x] = encode_value((np.float64(some[x]) * gain - full_base) * share, pedestal)


@piece
def encode_edges(
    cells: Any,
    gain: float,
    base: float,
    base_row: Any,
    row_weight: float,
    column_weight: Any,
    inner: Any,
    averaged: bool,
    pedestal: float,
    out: Any,
) -> None:
    """Encode the cells of a row that are not inner ones.

    Parameters
    ----------
    row_weight : float
        Weight of this row of cells along y.
    column_weight : float64 (x',)
        Weight of each along x.
    cells, gain, base, base_row, inner, averaged, pedestal, out
        As for `encode_row`.
    """
    start, stop = inner
    for x in range(start):
        total = np.float64(cells[x]) * gain
        out[x] = encode_cell(total, x, base, base_row, row_weight * column_weight[x], averaged, pedestal)
    for x in range(stop, out.size):
        total = np.float64(cells[x]) * gain
        out[x] = encode_cell(total, x, base, base_row, row_weight * column_weight[x], averaged, pedestal)


@piece
def encode_cell(
    total: float, x: int, base: float, base_row: Any, weight: float, averaged: bool, pedestal: float
) -> Any:
    """Encode the single cell x with the sum ``total`` = ΣD·gain; the other parameters as for `encode_row`."""
    value = total - (np.float64(base_row[x]) if base_row.size else base * weight)
    return encode_value(value / weight if averaged else value, pedestal)
