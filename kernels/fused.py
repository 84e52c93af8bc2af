"""The one pass over a raw frame: statistics, calibration, hot pixels, binning, encoding and running projections."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..stream.model import FrameStats
from . import binning, calibrate, cell_rows, encode, hot_pixels, narrow, projections, runs, saturation, statistics
from .binning import Cells
from .calibrate import Calibration
from .cell_rows import max_cells, max_scaled_cells, sum_cells, sum_scaled_cells, weigh_cells, weigh_scaled_cells
from .compiled import entry, piece, sources
from .encode import encode_edges, encode_row
from .hot_pixels import HotCells, heal_cells
from .narrow import Narrow, encode_counts, encode_exact, encode_values, sum_narrow_cells
from .projections import Targets, merge_max, merge_min, merge_sum, project_row, row_extremes, row_mean, share_row
from .saturation import mark_cells
from .statistics import SATURATED, count_saturated, row_statistics


@piece
def encode_cells(
    cells: Any,
    exact: bool,
    float32: bool,
    lift: Any,
    shift: int,
    short_gain: Any,
    code_row: Any,
    step: Any,
    add: Any,
    gain: float,
    base: float,
    base_row: Any,
    ends: Any,
    full: float,
    averaged: bool,
    pedestal: float,
    out: Any,
) -> None:
    """Encode the inner cells of raw counts in the narrowest way; the parameters are those of the ways."""
    some, target = cells[ends[0] : ends[1]], out[ends[0] : ends[1]]
    if exact:
        encode_exact(some, lift, shift, target)
    elif float32:
        encode_counts(some, lift, short_gain, code_row, step, add, target)
    else:
        encode_row(cells, gain, base, base_row, ends, full, averaged, pedestal, out)


def _compose(pieces: str) -> Any:
    # One form for all recipes, which asks once a row what there is to do: `warm_up` has compiled it before a run comes.
    @entry
    def reduce_frame(
        raw: Any,
        cells: Any,
        calibration: Any,
        short: Any,
        hot: Any,
        pedestal: float,
        out: Any,
        views: Any,
        level: int,
        mask: Any,
        marked: bool,
    ) -> Any:
        _ = pieces
        height, width = raw.shape
        # Taken out of the tuples once: every call that passes one on copies all of it.
        factor, largest, averaged, full = cells.factor, cells.largest, cells.averaged, cells.full
        before, taps, inner = cells.before, cells.taps, (cells.start, cells.stop)
        row_weight, column_weight = cells.row_weight, cells.column_weight
        gain_map, per_pixel, gain = calibration.gain_map, calibration.per_pixel, calibration.gain
        base_map, per_cell, base = calibration.base_map, calibration.per_cell, calibration.base
        pixel_base, row_start = calibration.pixel_base, hot.row_start
        exact, float32, coded, shift, lift = short.exact, short.float32, short.coded, short.shift, short.lift
        short_gain, add, step, zero = short.gain, short.add, short.step, short.zero
        codes, base_codes, unit = short.codes, short.base_codes, short.unit
        shorts, short_column = np.empty(out.shape[1], np.float32), np.empty(width, np.float32)
        values, counts = np.empty(out.shape[1], np.float64), np.empty(out.shape[1], np.int32)
        column, tally = np.empty(width, np.float64), np.empty(width, np.int32)
        low, high, total, saturated = np.uint16(SATURATED), np.uint16(0), np.uint64(0), np.int64(0)
        usual, xy_max, xy_min, xy_sum = views.usual, views.xy_max, views.xy_min, views.xy_sum
        xz_max, xz_min, xz_mean, column_sum = views.xz_max, views.xz_min, views.xz_mean, views.column_sum
        yz_max, yz_min, yz_mean = views.yz_max, views.yz_min, views.yz_mean
        xz_max[:] = 0
        xz_min[:] = SATURATED
        column_sum[:] = 0
        for row in range(out.shape[0]):
            top = row * factor
            band = raw[top : min(top + factor, height)]
            band_high = np.uint16(0)
            for y in range(band.shape[0]):
                row_low, row_high, row_total = row_statistics(band[y])
                low, band_high, total = min(low, row_low), max(band_high, row_high), total + row_total
                if row_high == SATURATED:
                    saturated += count_saturated(band[y])
            high = max(high, band_high)
            if mask.size:
                if band_high >= level:
                    mark_cells(band, factor, level, tally, counts, mask[row])
                elif marked:
                    mask[row] = 0
            base_row = base_map[row] if per_cell else base_map[0][:0]
            code_row = base_codes[row] if base_codes.size else codes[0][:0]
            weight = row_weight[row]
            ends = inner if weight * weight == full else (0, 0)
            made = out[row]
            some = made[ends[0] : ends[1]]
            hot_row = row_start[row] < row_start[row + 1]
            if per_pixel and float32:
                if coded:
                    sum_narrow_cells(band, codes[top : top + factor], zero, factor, short_column, shorts)
                else:
                    sum_narrow_cells(band, gain_map[top : top + factor], zero, factor, short_column, shorts)
                encode_values(shorts[ends[0] : ends[1]], short_gain, code_row, step, add, some)
                encode_edges(shorts, unit, base, base_row, weight, column_weight, ends, averaged, pedestal, made)
                if hot_row:
                    values[:] = shorts
            elif per_pixel or before:
                if not per_pixel:
                    weigh_cells(raw, top, before, taps, factor, tally, values)
                elif before:
                    weigh_scaled_cells(raw, gain_map, top, before, taps, factor, column, values)
                elif largest:
                    bases = pixel_base[top : top + factor]
                    max_scaled_cells(band, gain_map[top : top + factor], bases, factor, column, values)
                else:
                    sum_scaled_cells(band, gain_map[top : top + factor], factor, column, values)
                encode_row(values, gain, base, base_row, ends, full, averaged, pedestal, made)
                encode_edges(values, gain, base, base_row, weight, column_weight, ends, averaged, pedestal, made)
            elif factor == 1:
                encode_cells(
                    band[0], exact, float32, lift, shift, short_gain, code_row, step, add, gain, base, base_row, ends,
                    full, averaged, pedestal, made,
                )  # fmt: skip
                if hot_row:
                    values[:] = band[0]
            else:
                if largest:
                    max_cells(band, factor, tally, counts)
                else:
                    sum_cells(band, factor, tally, counts)
                encode_cells(
                    counts, exact, float32, lift, shift, short_gain, code_row, step, add, gain, base, base_row, ends,
                    full, averaged, pedestal, made,
                )  # fmt: skip
                encode_edges(counts, gain, base, base_row, weight, column_weight, ends, averaged, pedestal, made)
                if hot_row:
                    values[:] = counts
            if hot_row:
                heal_cells(
                    raw, row, hot, values, largest, unit, gain, base, base_row, weight, column_weight, averaged,
                    pedestal, made,
                )  # fmt: skip
            # Asked once a row, not once a pixel, so it costs nothing that can be measured.
            if usual:
                yz_max[row] = project_row(made, xy_max[row], xz_max)
                continue
            if xy_max.size:
                merge_max(made, xy_max[row])
            if xy_min.size:
                merge_min(made, xy_min[row])
            if xy_sum.size:
                merge_sum(made, xy_sum[row])
            if xz_max.size:
                merge_max(made, xz_max)
            if xz_min.size:
                merge_min(made, xz_min)
            if xz_mean.size:
                merge_sum(made, column_sum)
            if yz_max.size or yz_min.size:
                row_low, row_high = row_extremes(made)
                if yz_max.size:
                    yz_max[row] = row_high
                if yz_min.size:
                    yz_min[row] = row_low
            if yz_mean.size:
                yz_mean[row] = row_mean(made)
        if xz_mean.size:
            share_row(column_sum, out.shape[0], xz_mean)
        return low, high, total, saturated

    return reduce_frame


_reduce_frame = _compose(
    sources(binning, calibrate, cell_rows, encode, hot_pixels, narrow, projections, runs, saturation, statistics)
)


def reduce_frame(
    raw: NDArray[np.uint16],
    cells: Cells,
    calibration: Calibration,
    short: Narrow,
    hot: HotCells,
    pedestal: float,
    out: NDArray[np.uint16],
    views: Targets,
    level: int,
    mask: NDArray[np.uint8],
    *,
    marked: bool,
) -> FrameStats:
    """Reduce one raw frame to its plane of level 0, merge it into the projections, and summarise it.

    A band of ``factor`` rows at a time goes through all the steps while it lies in the first-level cache. The
    interpreter lock is released; two threads may call at once with different outputs and different ``hot.scratch``.

    Parameters
    ----------
    raw : uint16 (y, x), C-contiguous, raw counts
        Never written to.
    cells : Cells
    calibration : Calibration
    short : Narrow
        The same, as far as it can be done in 32 bits.
    hot : HotCells
    pedestal : float
    out : uint16 (y', x')
        Plane of level 0, overwritten.
    views : Targets
        Projections: those of the stack merged with this plane's, those of the plane overwritten.
    level : int, counts
        Of saturation.
    mask : uint8 (y', x'), or empty
        Which cells have a raw pixel at or above the level, overwritten. Empty: nobody asked.
    marked : bool
        Whether the mask is not all 0 now: rows without such a pixel are left as they are if it is.

    Returns
    -------
    FrameStats
        Of the raw counts.
    """
    # One compiled form for frames that may and that may not be written to.
    view = raw.view()
    view.flags.writeable = False
    low, high, total, saturated = _reduce_frame(
        view, cells, calibration, short, hot, pedestal, out, views, level, mask, marked
    )
    return FrameStats(int(low), int(high), int(total) / raw.size, int(saturated))
