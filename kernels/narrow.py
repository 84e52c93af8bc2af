"""Calibration in 16 and 32 bits, where that is as good: half the width, twice the pixels at a time."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .binning import Cells, cell_sums
from .cell_rows import sum_columns
from .compiled import piece
from .fixed_point import is_whole

#: Most that a value may be off before it is rounded, counts: it can only move what lies that near to a tie.
LIMIT: Final = 1 / 8
_RAW_TOP: Final = 65535.0
#: Share of a float32 that one rounding is off at most.
_ROUNDING: Final = 2.0**-24
#: Whole numbers below it are exact in float32, and the sum of two of them.
_EXACT: Final = 2.0**23
#: Offsets beyond it are no camera's; within, a cell's sum less its offsets fits 24 bits.
_MOST_OFFSET: Final = 131072


class Narrow(NamedTuple):
    """Calibration, binning and pedestal as the compiled pass takes them where it need not compute in float64.

    A cell's stored value is rint((cell + lift) · gain - code · step + add), clipped to 16 bits; with a gain map the
    cell is ΣD·gain, or ΣD·(code + zero) where the gains are coded in 16 bits.

    Attributes
    ----------
    exact : bool
        Whether all is done in whole numbers: the gain is 1 and the offset whole. Then the value is
        (cell + lift) / 2 ** shift, half to even.
    float32 : bool
        Whether float32 is enough: the error is at most `LIMIT`, and nothing if all numbers are whole.
    lift : int
        -Σ offset of a cell that has all its pixels; in the exact form with the pedestal.
    shift : int
    gain, add, step, zero : float
        Kept as float32.
    unit : float
        What a cell of the gain map's codes is worth; 1 without.
    codes : uint16 (y, x), or (1, 1) and unused
        Gains, gain = unit · (code + zero).
    base_codes : uint16 (y', x'), or (0, 0) and unused
        Σ offset·gain of each cell, in steps of ``step`` (divided by the pixels, if the cell is).
    coded : bool
        Whether the codes stand for the gain map.
    error : float
        Bound of the error before rounding, counts, for any raw counts; it falls with the signal. 0 in the exact form.
    """

    exact: bool
    float32: bool
    lift: np.int32
    shift: int
    gain: np.float32
    add: np.float32
    step: np.float32
    zero: np.float32
    unit: float
    codes: NDArray[np.uint16]
    base_codes: NDArray[np.uint16]
    coded: bool
    error: float


_ONE, _NONE = np.float32(1), np.float32(0)
_WIDE: Final = Narrow(
    False, False, np.int32(0), 0, _ONE, _NONE, _NONE, _NONE, 1.0, np.zeros((1, 1), np.uint16),
    np.zeros((0, 0), np.uint16), False, 0.0,
)  # fmt: skip


def plan_narrow(
    offset: float | NDArray[np.float32],
    gain: float | NDArray[np.float32],
    pedestal: float,
    frame_shape: tuple[int, int],
    cells: Cells,
) -> Narrow:
    """Find out in what width a calibration can be done.

    Parameters
    ----------
    offset, gain : float, or float32 (y, x)
        As for `calibrate_reference`.
    pedestal : float
        Counts, whole.
    frame_shape : tuple of int
        Raw frame (y, x), pixels.
    cells : Cells

    Returns
    -------
    Narrow
        Neither ``exact`` nor ``float32`` if only float64 will do.
    """
    share = 1 / cells.full if cells.averaged else 1.0
    if cells.before:
        return _WIDE
    if not isinstance(offset, np.ndarray) and not isinstance(gain, np.ndarray):
        return _of_numbers(float(offset), float(gain), pedestal, cells.full, share)
    if cells.largest:
        return _WIDE
    return _of_maps(np.asarray(offset, np.float64), np.asarray(gain, np.float64), pedestal, frame_shape, cells, share)


def _of_numbers(offset: float, gain: float, pedestal: float, full: float, share: float) -> Narrow:
    whole = offset.is_integer() and abs(offset) <= _MOST_OFFSET
    if whole and gain == 1:
        lift = np.int32(pedestal / share - offset * full)
        return _WIDE._replace(exact=True, lift=lift, shift=int(math.log2(1 / share)))
    base = 0.0 if whole else offset * gain * full * share
    # The factor, the product, and the sum of both are rounded; beyond 131072 all is clipped.
    error = 4 * _ROUNDING * (2 * (_RAW_TOP + 1) + abs(base))
    if error > LIMIT:
        return _WIDE
    return _WIDE._replace(
        float32=True,
        lift=np.int32(-offset * full if whole else 0),
        gain=np.float32(gain * share),
        add=np.float32(pedestal - base),
        error=error,
    )


def _of_maps(
    offset: NDArray[np.float64],
    gain: NDArray[np.float64],
    pedestal: float,
    frame_shape: tuple[int, int],
    cells: Cells,
    share: float,
) -> Narrow:
    product = np.broadcast_to(offset * gain, frame_shape)
    base = cell_sums(product, cells.factor, "sum")
    low, most, top = float(base.min()), float(np.abs(base).max()), float(gain.max())
    span, sums = float(np.ptp(base)), _RAW_TOP * top * cells.full
    if is_whole(gain) and is_whole(product):
        step, error = 1.0, 0.0
        fits = span <= _RAW_TOP and most <= _EXACT and sums <= _EXACT
        coded = gain.ndim > 0 and np.ptp(gain) <= _RAW_TOP
    else:
        step = span / _RAW_TOP
        # Products, sums over the rows and then pairs along them, gain, base, pedestal.
        roundings = cells.factor + math.log2(cells.factor) + 6
        error = share * (roundings * _ROUNDING * (sums + most) + step / 2) + _ROUNDING * (_RAW_TOP + 1)
        fits = error <= LIMIT
        by_codes = error + share * cells.full * float(np.ptp(gain)) / 2
        coded = gain.ndim > 0 and by_codes <= LIMIT
        error = by_codes if coded else error
    if not fits:
        return _WIDE
    narrow = _WIDE._replace(
        float32=True,
        gain=np.float32(share * (1.0 if gain.ndim else float(gain))),
        add=np.float32(pedestal - low * share),
        step=np.float32(step * share),
        base_codes=_codes(base, low, step),
        error=error,
    )
    return _with_codes(narrow, gain, share) if coded else narrow


def _with_codes(narrow: Narrow, gain: NDArray[np.float64], share: float) -> Narrow:
    low, whole = float(gain.min()), is_whole(gain)
    # Where all gains are the same any step will do; this one keeps ``zero`` exact.
    unit = 1.0 if whole else float(np.ptp(gain)) / _RAW_TOP or low
    return narrow._replace(
        gain=np.float32(share * unit),
        unit=unit,
        zero=np.float32(low / unit),
        codes=_codes(gain, low, unit),
        coded=True,
    )


def _codes(values: NDArray[np.float64], low: float, step: float) -> NDArray[np.uint16]:
    return np.ascontiguousarray(np.rint((values - low) / (step or 1.0)), np.uint16)


@piece
def sum_narrow_cells(band: Any, gains: Any, zero: Any, factor: int, column: Any, cells: Any) -> None:
    """Sum raw counts times gains over one row of cells.

    Parameters
    ----------
    band : uint16 (1 … factor, x)
        The raw rows of the cells.
    gains : float32 or uint16 (1 … factor, x)
        The same rows of the gain map, or of its codes.
    zero : float32
        Added to a gain or code.
    factor : int
    column : float32 (x,)
        Scratch.
    cells : float32 (ceil(x / factor),)
        Result.
    """
    if factor == 1:
        _scale_row(band[0], gains[0], zero, cells)
        return
    if factor == 2 and band.shape[0] == 2:
        _sum_narrow_pairs(band[0], band[1], gains[0], gains[1], zero, cells)
        full = column.size // 2
        if full < cells.size:
            last = np.float32(band[0, 2 * full]) * np.float32(np.float32(gains[0, 2 * full]) + zero)
            cells[full] = last + np.float32(band[1, 2 * full]) * np.float32(np.float32(gains[1, 2 * full]) + zero)
        return
    _scale_row(band[0], gains[0], zero, column)
    for y in range(1, band.shape[0]):
        row, gain = band[y], gains[y]
        for x in range(column.size):
            column[x] += np.float32(np.float32(row[x]) * np.float32(np.float32(gain[x]) + zero))
    sum_columns(column, factor, cells)


@piece
def _scale_row(row: Any, gain: Any, zero: Any, out: Any) -> None:
    for x in range(out.size):
        out[x] = np.float32(np.float32(row[x]) * np.float32(np.float32(gain[x]) + zero))


@piece
def _sum_narrow_pairs(upper: Any, lower: Any, upper_gain: Any, lower_gain: Any, zero: Any, cells: Any) -> None:
    for x in range(upper.size // 2):
        top = np.float32(upper[2 * x]) * np.float32(np.float32(upper_gain[2 * x]) + zero)
        top += np.float32(upper[2 * x + 1]) * np.float32(np.float32(upper_gain[2 * x + 1]) + zero)
        low = np.float32(lower[2 * x]) * np.float32(np.float32(lower_gain[2 * x]) + zero)
        low += np.float32(lower[2 * x + 1]) * np.float32(np.float32(lower_gain[2 * x + 1]) + zero)
        cells[x] = top + low


@piece
def encode_exact(cells: Any, lift: Any, shift: int, out: Any) -> None:
    """Encode whole numbers, clip((cell + lift) / 2 ** shift, 0, 65535), half to even; cells uint16 or int32 (x',)."""
    if shift == 0:
        for x in range(out.size):
            out[x] = np.uint16(min(max(np.int32(np.int32(cells[x]) + lift), np.int32(0)), np.int32(65535)))
        return
    by, one = np.int32(shift), np.int32(1)
    almost = np.int32((1 << (shift - 1)) - 1)
    for x in range(out.size):
        total = max(np.int32(np.int32(cells[x]) + lift), np.int32(0))
        # Just below a half is added, and 1 more where the quotient is odd, so that exactly ½ rounds up then.
        total = np.int32(np.int32(total + almost) + np.int32(np.int32(total >> by) & one)) >> by
        out[x] = np.uint16(min(np.int32(total), np.int32(65535)))


@piece
def encode_counts(cells: Any, lift: Any, gain: Any, codes: Any, step: Any, add: Any, out: Any) -> None:
    """Encode cells of raw counts, uint16 or int32 (x',), in float32; ``codes`` may be empty."""
    if codes.size:
        for x in range(out.size):
            value = np.float32(np.float32(np.int32(cells[x])) * gain) - np.float32(np.float32(codes[x]) * step)
            out[x] = _rounded(np.float32(value + add))
    else:
        for x in range(out.size):
            out[x] = _rounded(np.float32(np.float32(np.float32(np.int32(np.int32(cells[x]) + lift)) * gain) + add))


@piece
def encode_values(cells: Any, gain: Any, codes: Any, step: Any, add: Any, out: Any) -> None:
    """Encode cells of scaled counts, float32 (x',)."""
    for x in range(out.size):
        value = np.float32(cells[x] * gain) - np.float32(np.float32(codes[x]) * step)
        out[x] = _rounded(np.float32(value + add))


@piece
def _rounded(value: Any) -> Any:
    return np.uint16(np.int32(min(max(np.rint(value), np.float32(0)), np.float32(65535))))
