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
    cells: Any, calibration: Any, row: int, rows: int, factor: int, width: int, pedestal: float, out: Any
) -> None:
    """Encode one row of cells, n = (gain · cell - Σ offset·gain) / pixels of the cell.

    Parameters
    ----------
    cells : int32 or float64 (x',)
        ΣD of each cell, or ΣD·gain with a gain map.
    calibration : Calibration
    row : int
        Row of cells.
    rows : int
        Raw rows that the cells really have, 1 … factor.
    factor, width : int
        Binning; raw pixels in a row.
    pedestal : float
    out : uint16 (x',)
        Result.
    """
    gain, base, per_cell = calibration.gain, calibration.base, calibration.per_cell
    base_row = calibration.base_map[row if per_cell else 0]
    start = 0
    if rows == factor:
        # 1, 4 and 16 are powers of two, so the product with the inverse is exact; other counts need the division.
        start = width // factor
        share = 1.0 / (factor * factor)
        if per_cell:
            for x in range(start):
                out[x] = encode_value((np.float64(cells[x]) * gain - np.float64(base_row[x])) * share, pedestal)
        else:
            full_base = base * (factor * factor)
            for x in range(start):
                out[x] = encode_value((np.float64(cells[x]) * gain - full_base) * share, pedestal)
    for x in range(start, out.size):
        out[x] = encode_cell(np.float64(cells[x]), x, calibration, row, rows, factor, width, pedestal)


@piece
def encode_cell(
    total: float, x: int, calibration: Any, row: int, rows: int, factor: int, width: int, pedestal: float
) -> Any:
    """Encode the single cell (row, x) with sum ``total``; the other parameters as for `encode_row`."""
    pixels = rows * min(factor, width - x * factor)
    base = np.float64(calibration.base_map[row, x]) if calibration.per_cell else calibration.base * pixels
    return encode_value((total * calibration.gain - base) / pixels, pedestal)
