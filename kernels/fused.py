"""The one pass over a raw frame: statistics, calibration, hot pixels, binning, encoding and running projections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..stream.model import FrameStats
from . import binning, calibrate, encode, hot_pixels, projections, statistics
from .binning import sum_cells, sum_scaled_cells
from .calibrate import Calibration
from .compiled import entry
from .encode import encode_row
from .hot_pixels import HotCells, heal_cells
from .projections import project_row
from .statistics import SATURATED, count_saturated, row_statistics


def _sources() -> str:
    # Numba decides by this file alone whether its stored machine code is current; the pieces lie in other files.
    digest = xxhash.xxh3_64()
    for module in (binning, calibrate, encode, hot_pixels, projections, statistics):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()


def _compose(sources: str) -> Any:
    # Closed-over values are part of Numba's cache key, so a changed piece never meets old machine code.
    @entry
    def reduce_frame(
        raw: Any, factor: int, calibration: Any, hot: Any, pedestal: float, out: Any, xy: Any, xz: Any, yz: Any
    ) -> Any:
        _ = sources
        height, width = raw.shape
        # Taken out of the tuples once: every call that passes one on copies all of it.
        gain_map, per_pixel, gain = calibration.gain_map, calibration.per_pixel, calibration.gain
        base_map, per_cell, base = calibration.base_map, calibration.per_cell, calibration.base
        row_start = hot.row_start
        cells, counts = np.empty(out.shape[1], np.float64), np.empty(out.shape[1], np.int32)
        column, tally = np.empty(width, np.float64), np.empty(width, np.int32)
        low, high, total, saturated = np.uint16(SATURATED), np.uint16(0), np.uint64(0), np.int64(0)
        xz[:] = 0
        for row in range(out.shape[0]):
            top = row * factor
            band = raw[top : min(top + factor, height)]
            for y in range(band.shape[0]):
                row_low, row_high, row_total = row_statistics(band[y])
                low, high, total = min(low, row_low), max(high, row_high), total + row_total
                if row_high == SATURATED:
                    saturated += count_saturated(band[y])
            rows = band.shape[0]
            base_row = base_map[row] if per_cell else base_map[0, :0]
            hot_row = row_start[row] < row_start[row + 1]
            if per_pixel:
                sum_scaled_cells(band, gain_map[top : top + rows], factor, column, cells)
                encode_row(cells, gain, base, base_row, rows, factor, width, pedestal, out[row])
                if hot_row:
                    heal_cells(raw, row, hot, cells, gain, base, base_row, rows, factor, pedestal, out[row])
            else:
                sum_cells(band, factor, tally, counts)
                encode_row(counts, gain, base, base_row, rows, factor, width, pedestal, out[row])
                if hot_row:
                    heal_cells(raw, row, hot, counts, gain, base, base_row, rows, factor, pedestal, out[row])
            yz[row] = project_row(out[row], xy[row], xz)
        return low, high, total, saturated

    return reduce_frame


_reduce_frame = _compose(_sources())


def reduce_frame(
    raw: NDArray[np.uint16],
    factor: int,
    calibration: Calibration,
    hot: HotCells,
    pedestal: float,
    out: NDArray[np.uint16],
    xy: NDArray[np.uint16],
    xz: NDArray[np.uint16],
    yz: NDArray[np.uint16],
) -> FrameStats:
    """Reduce one raw frame to its plane of level 0, merge it into the projections, and summarise it.

    A band of ``factor`` rows at a time goes through all the steps while it lies in the first-level cache. The
    interpreter lock is released; two threads may call at once with different outputs and different ``hot.scratch``.

    Parameters
    ----------
    raw : uint16 (y, x), C-contiguous, raw counts
        Never written to.
    factor : int
        Binning: 1, 2 or 4.
    calibration : Calibration
    hot : HotCells
    pedestal : float
    out : uint16 (y', x')
        Plane of level 0, overwritten.
    xy : uint16 (y', x')
        The stack's running maximum over z, raised in place.
    xz : uint16 (x',)
        The plane's maximum over y, overwritten.
    yz : uint16 (y',)
        The plane's maximum over x, overwritten.

    Returns
    -------
    FrameStats
        Of the raw counts.
    """
    # One compiled form for frames that may and that may not be written to.
    view = raw.view()
    view.flags.writeable = False
    low, high, total, saturated = _reduce_frame(view, factor, calibration, hot, pedestal, out, xy, xz, yz)
    return FrameStats(int(low), int(high), int(total) / raw.size, int(saturated))
