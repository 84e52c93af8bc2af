"""Exact sums over runs of 16-bit counts, short enough for 32 bits: twice as many at a time as 64-bit sums take."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from .compiled import piece

#: Pixels whose sums of 16-bit numbers fit 32 bits for certain (65536 · 65535 < 2³²).
RUN: Final = 65536
_HALF: Final = np.uint32(16)
_LOW: Final = np.uint32(0xFFFF)


@piece
def run_sums(run: Any) -> Any:
    """Give smallest, largest, sum and sum of squares of a run of at most `RUN` pixels, the sums as uint64."""
    low, high = np.uint16(65535), np.uint16(0)
    # The halves of the squares for themselves, so that both sums stay in 32 bits.
    total, upper, lower = np.uint32(0), np.uint32(0), np.uint32(0)
    for x in range(run.size):
        count = run[x]
        low = min(low, count)
        high = max(high, count)
        square = np.uint32(np.uint32(count) * np.uint32(count))
        total = np.uint32(total + np.uint32(count))
        upper = np.uint32(upper + np.uint32(square >> _HALF))
        lower = np.uint32(lower + np.uint32(square & _LOW))
    return low, high, np.uint64(total), (np.uint64(upper) << np.uint64(16)) + np.uint64(lower)


@piece
def run_squares(run: Any) -> Any:
    """Give sum and sum of squares of a run of at most `RUN` pixels as uint64; without the extremes this is faster."""
    total, squares = np.uint32(0), np.uint64(0)
    for x in range(run.size):
        total = np.uint32(total + np.uint32(run[x]))
        squares += np.uint64(run[x]) * np.uint64(run[x])
    return np.uint64(total), squares


@piece
def run_apart(run: Any, ahead: Any) -> Any:
    """Give the sum of the squared differences between pixels ahead, at most `RUN`, and those of a run, as uint64."""
    upper, lower = np.uint32(0), np.uint32(0)
    for x in range(ahead.size):
        # The square of a difference below 2¹⁶ is right in 32 bits even where the difference wrapped.
        apart = np.uint32(np.uint32(ahead[x]) - np.uint32(run[x]))
        square = np.uint32(apart * apart)
        upper = np.uint32(upper + (square >> _HALF))
        lower = np.uint32(lower + (square & _LOW))
    return (np.uint64(upper) << np.uint64(16)) + np.uint64(lower)
