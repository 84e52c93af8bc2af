"""The trend of the focus: how much sharper a frame is than those of the same place before it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..stream.tables import Column, Rows, Table

#: What follows from the table ``focus`` when the run is over.
TREND: Final = Table(
    "focus_trend",
    (
        Column("frame", "int64", "", "number of the frame"),
        Column(
            "trend", "float32", "", "its dct over the median dct of the frames of its channel and z before it, less 1"
        ),
    ),
    "drift of the focus: negative where frames have become less sharp; NaN where nothing was measured before",
)
#: Values that are compared at a time: the memory for their windows is bounded, however long these are.
_VALUES: Final = 2**20


def focus_trend(focus: Rows, places: int, window: int) -> Rows:
    """Compare the entropy of every frame with those before it.

    Parameters
    ----------
    focus : mapping
        Rows of the table ``focus``, in frame order.
    places : int
        Frames of a time point, channels times planes: frames n and n + ``places`` are of one place.
    window : int
        How many frames of the same place before it, of those that came, are looked at; at the start of a run those
        that there are.

    Returns
    -------
    mapping
        ``frame``, and ``trend``: dct / median(dct of those before) - 1. Where a dct is NaN or the median 0, and of the
        first frame of a place, NaN.
    """
    trend = np.full(focus["frame"].size, np.nan, np.float32)
    order = np.argsort(focus["frame"] % places, kind="stable")
    cuts = np.flatnonzero(np.diff(focus["frame"][order] % places)) + 1
    for rows in np.split(order, cuts):
        trend[rows] = _series(focus["dct"][rows].astype(np.float64), window)
    return {"frame": focus["frame"], "trend": trend}


def _series(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    before = np.concatenate([np.full(window, np.nan), values[:-1]])
    middle = np.full(values.size, np.nan)
    rows = max(1, _VALUES // window)
    for first in range(0, values.size, rows):
        part = before[first : first + rows + window - 1]
        middle[first : first + rows] = _medians(np.lib.stride_tricks.sliding_window_view(part, window))
    usable = middle > 0
    return np.divide(values, middle, out=np.full(values.size, np.nan), where=usable) - 1


def _medians(windows: NDArray[np.float64]) -> NDArray[np.float64]:
    # NaN ranks last; NumPy's own median without NaN takes a hundred times as long.
    ranked = np.sort(windows, axis=1)
    known = np.isfinite(ranked).sum(axis=1)
    row = np.arange(len(ranked))
    low, high = ranked[row, np.maximum(known - 1, 0) // 2], ranked[row, np.minimum(known // 2, windows.shape[1] - 1)]
    return np.where(known > 0, (low + high) / 2, np.nan)
