"""Per-frame numbers on raw counts: minimum, maximum, mean, saturated pixels."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..stream.model import FrameStats
from .compiled import piece
from .runs import RUN

#: Raw count of a saturated pixel.
SATURATED: Final = 65535


def statistics_reference(pixels: NDArray[np.uint16]) -> FrameStats:
    """Summarise one frame with NumPy.

    Parameters
    ----------
    pixels : uint16 (y, x), raw counts
        One frame.

    Returns
    -------
    FrameStats
        ``mean`` is the exact integer sum divided once by the number of pixels.
    """
    total = int(pixels.sum(dtype=np.uint64))
    saturated = int(np.count_nonzero(pixels == SATURATED))
    return FrameStats(int(pixels.min()), int(pixels.max()), total / pixels.size, saturated)


@piece
def row_statistics(row: Any) -> Any:
    """Give (min, max, sum) of a row, uint16 (x,); the sum is 64-bit.

    The inner sums are 32-bit because twice as many fit one vector register.
    """
    low = np.uint16(SATURATED)
    high = np.uint16(0)
    total = np.uint64(0)
    for start in range(0, row.size, RUN):
        # A slice of its own, indexed from 0: Numba then needs no test for negative indices, and the loop vectorises.
        run = row[start : start + RUN]
        part = np.uint32(0)
        for x in range(run.size):
            count = run[x]
            low = min(low, count)
            high = max(high, count)
            part = np.uint32(part + np.uint32(count))
        total += np.uint64(part)
    return low, high, total


@piece
def count_saturated(row: Any) -> Any:
    """Count the saturated pixels of a row, uint16 (x,); asked only of rows whose maximum is saturated."""
    count = np.uint32(0)
    for x in range(row.size):
        count = np.uint32(count + np.uint32(row[x] == SATURATED))
    return np.int64(count)
