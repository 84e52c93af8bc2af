"""Calibration, binning and pedestal folded into whole numbers, for devices where float64 is slow.

The sum of a cell, pedestal included, is Σ gain·D + addend, with addend = Σ (pedestal - offset·gain) over its pixels.
Gains and addends are whole multiples of 2⁻ᶠ, f being as large as 62 bits allow. So whole offsets and gains are exact,
and others that are multiples of 2⁻ᶠ; the rest is rounded by less than `COARSEST` counts, which can only move a rounding
tie.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .binning import Cells, cell_sums, taps

#: Largest error of a pixel's value from rounding what is no multiple of 2⁻ᶠ, counts.
COARSEST: Final = 2.0**-8
_MOST_BITS: Final = 40
_RAW_TOP: Final = 65535


@dataclass(frozen=True)
class FixedPoint:
    """Calibration in whole numbers, as the CUDA kernels take it.

    Attributes
    ----------
    fraction : int
        f, bits below the point, 1 to 40.
    gain : int
        gain · 2ᶠ, where the gain is a number; below 2⁴⁰. 0 with a gain map.
    addend : int
        (pedestal - offset·gain) · 2ᶠ of one pixel, where both are numbers; below 2⁵⁶. 0 with an addend map.
    gain_map : uint16 or uint32 (y, x), or (0, 0) where the gain is a number
        gain · 2ᶠ.
    addend_map : int32 or int64 (y', x'), or (0, 0) where both are numbers
        Addend of each cell · 2ᶠ⁻ˢ; 32 bits where they are enough.
    shift : int
        s of the addend map.
    """

    fraction: int
    gain: int
    addend: int
    gain_map: NDArray[np.uint16] | NDArray[np.uint32]
    addend_map: NDArray[np.int32] | NDArray[np.int64]
    shift: int

    @property
    def form(self) -> tuple[int, int]:
        """Bits of a gain and of an addend in the maps, 0 where they are numbers."""
        gain_bits = self.gain_map.itemsize * 8 if self.gain_map.size else 0
        return gain_bits, self.addend_map.itemsize * 8 if self.addend_map.size else 0


def plan_fixed_point(
    offset: float | NDArray[np.float32],
    gain: float | NDArray[np.float32],
    pedestal: float,
    frame_shape: tuple[int, int],
    factor: int,
) -> FixedPoint | None:
    """Fold offset, gain and pedestal for cells of ``factor`` × ``factor`` raw pixels.

    Parameters
    ----------
    offset, gain : float, or float32 (y, x)
        As for `calibrate_reference`.
    pedestal : float
        Counts.
    frame_shape : tuple of int
        Raw frame (y, x), pixels.
    factor : int
        Binning.

    Returns
    -------
    FixedPoint or None
        None where the values span too much for 62 bits: gains of many thousands that are no whole numbers.
    """
    gains, product = np.asarray(gain, np.float64), np.float64(offset) * np.float64(gain)
    per_pixel, per_cell = gains.ndim > 0, product.ndim > 0
    addends = np.asarray(pedestal - product)
    fraction = _fraction(gains, addends, 32 if per_pixel else 40)
    if fraction < 1 or not (is_whole(gains, fraction) or _RAW_TOP * 2.0 ** -(fraction + 1) <= COARSEST):
        return None
    number, gain_map = 0 if per_pixel else int(whole(gains, fraction)), np.zeros((0, 0), np.uint16)
    if per_pixel:
        gain_map = whole(gains, fraction).astype(np.uint32)
        # Half the traffic, where 16 bits of another fraction hold the same gains: those of a flat map, or whole ones.
        narrow = _fraction(gains, addends, 16)
        if narrow >= 1 and is_whole(gains, narrow) and is_whole(addends, narrow):
            fraction, gain_map = narrow, whole(gains, narrow).astype(np.uint16)
    if not per_cell:
        return FixedPoint(fraction, number, int(whole(addends, fraction)), gain_map, np.zeros((0, 0), np.int32), 0)
    addend_map, shift = _narrow(whole(cell_sums(np.broadcast_to(addends, frame_shape), factor), fraction), fraction)
    return FixedPoint(fraction, number, 0, gain_map, addend_map, shift)


@dataclass(frozen=True)
class CellPoint:
    """Calibration in whole numbers for cells of any kind, as the kernels take it that bin in every way.

    Attributes
    ----------
    fraction : int
        f, bits below the point, 1 to 40.
    gain : int
        gain · 2ᶠ, where the gain is a number. 0 with a gain map.
    addend : int
        Of one pixel · 2ᶠ, where offset and gain are numbers: -offset·gain, with the pedestal where cells are averaged.
        0 with an addend map.
    lift : int
        Of one cell · 2ᶠ: the pedestal, where cells are not averaged.
    gain_map : uint32 (y, x), or (0, 0) where the gain is a number
        gain · 2ᶠ.
    addend_map : int64 · 2ᶠ, or (0, 0) where both are numbers
        (y', x'), the weighted sum of each cell; where a cell is the largest of its pixels (y, x), of each pixel.
    """

    fraction: int
    gain: int
    addend: int
    lift: int
    gain_map: NDArray[np.uint32]
    addend_map: NDArray[np.int64]


def plan_cell_point(
    offset: float | NDArray[np.float32],
    gain: float | NDArray[np.float32],
    pedestal: float,
    frame_shape: tuple[int, int],
    cells: Cells,
    mode: str,
) -> CellPoint | None:
    """Fold offset, gain and pedestal for cells of any kind.

    Parameters
    ----------
    offset, gain : float, or float32 (y, x)
        As for `calibrate_reference`.
    pedestal : float
        Counts.
    frame_shape : tuple of int
        Raw frame (y, x), pixels.
    cells : Cells
    mode : str
        By which they were planned.

    Returns
    -------
    CellPoint or None
        None where the values span too much for 62 bits.
    """
    gains, product = np.asarray(gain, np.float64), np.float64(offset) * np.float64(gain)
    addends = np.asarray((pedestal if cells.averaged else 0) - product)
    # All weights of a cell together, binary digits: a sum of cells of 16 pixels is what `_fraction` leaves room for.
    weight = 1 if cells.largest else int(taps(cells.factor, mode).sum()) ** 2
    spare = max(0, (weight - 1).bit_length() - 4)
    fraction = _fraction(gains, addends, min(32 if gains.ndim else 40, 40 - spare), 56 - spare)
    error = _RAW_TOP * 2.0 ** -(fraction + 1) * (1 if cells.averaged else weight)
    if fraction < 1 or not (is_whole(gains, fraction) or error <= COARSEST):
        return None
    nothing = np.zeros((0, 0), np.int64)
    if not addends.ndim:
        sums = nothing
    elif cells.largest:
        sums = whole(np.broadcast_to(addends, frame_shape), fraction)
    else:
        sums = whole(cell_sums(np.broadcast_to(addends, frame_shape), cells.factor, mode), fraction)
    return CellPoint(
        fraction,
        gain=0 if gains.ndim else int(whole(gains, fraction)),
        addend=0 if addends.ndim else int(whole(addends, fraction)),
        lift=0 if cells.averaged else int(whole(pedestal, fraction)),
        gain_map=(whole(gains, fraction) if gains.ndim else nothing).astype(np.uint32),
        addend_map=np.ascontiguousarray(sums),
    )


def whole(values: float | NDArray[Any], fraction: int) -> NDArray[np.int64]:
    """Give values · 2ᶠ, rounded half to even."""
    return np.rint(np.ldexp(np.asarray(values, np.float64), fraction)).astype(np.int64)


def _fraction(gains: NDArray[np.float64], addends: NDArray[np.float64], gain_bits: int, addend_bits: int = 56) -> int:
    # As many bits below the point as leave the largest gain and addend of a pixel room above it.
    above_gain = math.frexp(float(gains.max()))[1]
    above_addend = math.frexp(float(np.abs(addends).max()))[1]
    return min(_MOST_BITS, gain_bits - above_gain, addend_bits - above_addend)


def is_whole(values: NDArray[np.float64], fraction: int = 0) -> bool:
    """Tell whether all values are whole multiples of 2 to the power of -``fraction``."""
    scaled = np.ldexp(values, fraction)
    return bool((scaled == np.rint(scaled)).all())


def _narrow(sums: NDArray[np.int64], fraction: int) -> tuple[NDArray[np.int32] | NDArray[np.int64], int]:
    # 32 bits for each cell halve the traffic. They are enough where the bits left out are zero, or far below a count.
    most = max(abs(int(sums.min())), abs(int(sums.max())))
    shift = max(0, most.bit_length() - 30)
    exact = not np.bitwise_and(sums, (1 << shift) - 1).any()
    if exact or math.ldexp(1.0, shift - fraction) <= COARSEST / 4:
        half = (1 << shift) >> 1
        return ((sums + half) >> shift).astype(np.int32), shift
    return sums, 0
