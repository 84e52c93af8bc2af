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
    cells: Any, gain: float, base: float, base_row: Any, rows: int, factor: int, width: int, pedestal: float, out: Any
) -> None:
    """Encode one row of cells, n = (gain · cell - Σ offset·gain) / pixels of the cell.

    Parameters
    ----------
    cells : int32 or float64 (x',)
        ΣD of each cell, or ΣD·gain with a gain map.
    gain : float
        1 with a gain map.
    base : float
        offset·gain of one pixel, where both are numbers.
    base_row : float32 or float64 (x',), or empty where both are numbers
        Σ offset·gain of each cell.
    rows : int
        Raw rows that the cells really have, 1 … factor.
    factor, width : int
        Binning; raw pixels in a row.
    pedestal : float
    out : uint16 (x',)
        Result.
    """
    start = 0
    if rows == factor:
        # 1, 4 and 16 are powers of two, so the product with the inverse is exact; other counts need the division.
        start = width // factor
        share = 1.0 / (factor * factor)
        if base_row.size:
            for x in range(start):
                out[x] = encode_value((np.float64(cells[x]) * gain - np.float64(base_row[x])) * share, pedestal)
        else:
            full_base = base * (factor * factor)
            for x in range(start):
                out[x] = encode_value((np.float64(cells[x]) * gain - full_base) * share, pedestal)
    for x in range(start, out.size):
        total = np.float64(cells[x]) * gain
        out[x] = encode_cell(total, x, base, base_row, rows, factor, width, pedestal)


@piece
def encode_cell(
    total: float, x: int, base: float, base_row: Any, rows: int, factor: int, width: int, pedestal: float
) -> Any:
    """Encode the single cell x with the sum ``total`` = ΣD·gain; the other parameters as for `encode_row`."""
    pixels = rows * min(factor, width - x * factor)
    cell_base = np.float64(base_row[x]) if base_row.size else base * pixels
    return encode_value((total - cell_base) / pixels, pedestal)
