"""Camera counts to calibrated values: n = (D - offset) · gain."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .binning import Cells, cell_sums


def calibrate_reference(
    pixels: NDArray[np.uint16], offset: float | NDArray[np.float32], gain: float | NDArray[np.float32]
) -> NDArray[np.float64]:
    """Calibrate in float64, n = (D - offset) · gain.

    Parameters
    ----------
    pixels : uint16 (..., y, x), raw counts
        D.
    offset : float, or float32 (y, x), counts
        What the camera adds to every pixel.
    gain : float, or float32 (y, x), units of the result per count
        Multiplies; a camera's counts per electron is therefore given as its inverse.

    Returns
    -------
    float64 (..., y, x)
        Signed: values below the offset stay negative.
    """
    return (pixels.astype(np.float64) - np.float64(offset)) * np.float64(gain)


class Calibration(NamedTuple):
    """Calibration folded with binning, as the compiled pass takes it.

    A cell's calibrated sum, weighted in the binomial mean, is Σ(D - offset)·gain = gain·ΣD - Σ offset·gain, or
    ΣD·gain - Σ offset·gain with a gain map: an offset map costs one number a cell in place of one a pixel. Whole
    offsets and gains stay exact, all terms being whole and below 2⁵³ wherever the result does not saturate.

    Attributes
    ----------
    gain_map : float32 (y, x), C-contiguous, or (1, 1) and unused
    per_pixel : bool
        Whether the gain is a map.
    gain : float
        The number; 1 with a gain map.
    base_map : float32 or float64 (y', x'), C-contiguous, or (1, 1) and unused
        Σ offset·gain of each cell.
    pixel_base : float32 or float64 (y, x), C-contiguous, or (1, 1) and unused
        offset·gain of each pixel in place of that of each cell, where a cell is the largest of its pixels and there is
        a map. The gain is a map then.
    per_cell : bool
        Whether there is a base map, that is, whether offset or gain is a map.
    base : float
        offset·gain of one pixel, where both are numbers.
    """

    gain_map: NDArray[np.float32]
    per_pixel: bool
    gain: float
    base_map: NDArray[np.float32] | NDArray[np.float64]
    pixel_base: NDArray[np.float32] | NDArray[np.float64]
    per_cell: bool
    base: float


def plan_calibration(
    offset: float | NDArray[np.float32],
    gain: float | NDArray[np.float32],
    frame_shape: tuple[int, int],
    cells: Cells,
) -> Calibration:
    """Fold offset and gain for the cells.

    Parameters
    ----------
    offset, gain : float, or float32 (y, x)
        As for `calibrate_reference`.
    frame_shape : tuple of int
        Raw frame (y, x), pixels.
    cells : Cells

    Returns
    -------
    Calibration
    """
    unused: NDArray[np.float32] = np.zeros((1, 1), np.float32)
    product = np.float64(offset) * np.float64(gain)
    mapped = isinstance(gain, np.ndarray) or isinstance(offset, np.ndarray)
    if not mapped:
        return Calibration(unused, False, float(gain), unused, unused, False, float(product))
    base = np.broadcast_to(product, frame_shape)
    if cells.largest:
        gains = np.ascontiguousarray(np.broadcast_to(gain, frame_shape), np.float32)
        return Calibration(gains, True, 1.0, unused, _narrow(base), False, 0.0)
    base_map = _narrow(cell_sums(base, cells.factor, "binomial" if cells.before else "sum"))
    if isinstance(gain, np.ndarray):
        return Calibration(np.ascontiguousarray(gain, np.float32), True, 1.0, base_map, unused, True, 0.0)
    return Calibration(unused, False, float(gain), base_map, unused, True, 0.0)


def _narrow(base: NDArray[np.float64]) -> NDArray[np.float32] | NDArray[np.float64]:
    # Half the memory traffic. Below 2¹⁸ the rounding is under 0.01 of a cell's sum: it can only move a rounding tie.
    # Whole sums are kept exact: float64 remains for those above 2²⁴ that need it.
    narrow = np.ascontiguousarray(base, np.float32)
    small = bool((abs(base) < 2**18).all())
    if small or np.array_equal(narrow, base):
        return narrow
    return np.ascontiguousarray(base)
