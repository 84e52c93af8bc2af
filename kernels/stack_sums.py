"""Sums and sums of squares of each pixel over the planes of a stack, exact and in any order."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .compiled import entry
from .counts import read_only_counts

#: Most planes whose sums fit: 65536 · 65535 in 32 bits, and planes · Σx² in 64.
PLANES: Final = 65536


class StackSums:
    """Sums over the planes of a stack, in integers; those of other planes can be added, in any order.

    Not for several threads at once.

    Parameters
    ----------
    shape : tuple of int
        Frame (y, x), pixels.

    Attributes
    ----------
    count : int
        Planes so far.
    sums : uint32 (y, x), counts
    squares : uint64 (y, x), counts²
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.count = 0
        self.sums = np.zeros(shape, np.uint32)
        self.squares = np.zeros(shape, np.uint64)

    def clear(self) -> None:
        """Forget all planes."""
        self.count = 0
        self.sums.fill(0)
        self.squares.fill(0)

    def add(self, frames: NDArray[np.uint16]) -> None:
        """Add planes, one or several.

        Parameters
        ----------
        frames : uint16 (z, y, x), C-contiguous, raw counts
            Read only.

        Raises
        ------
        ValueError
            If the array is another, or the planes would be more than `PLANES`.
        """
        view = read_only_counts(frames, (len(frames), *self.sums.shape), "the stack")
        self._grow(len(frames))
        _add(view, self.sums, self.squares)

    def finish(self) -> StackSums:
        """Give the sums in host memory, where these are."""
        return self

    def _grow(self, more: int) -> None:
        if self.count + more > PLANES:
            raise ValueError(f"the sums of more than {PLANES} planes do not fit")
        self.count += more

    def deviation(self) -> NDArray[np.float64]:
        """Give the standard deviation over z, float64 (y, x), counts: √(n·Σx² - (Σx)²) / n, the difference exact."""
        out = np.zeros(self.sums.shape)
        _deviation(self.sums, self.squares, np.uint64(self.count), out)
        return out

    def mean(self) -> NDArray[np.float64]:
        """Give the mean over z, float64 (y, x), counts."""
        return self.sums / np.float64(max(self.count, 1))


@entry
def _add(frames: Any, sums: Any, squares: Any) -> None:
    for y in range(sums.shape[0]):
        total, square = sums[y], squares[y]
        for z in range(frames.shape[0]):
            row = frames[z, y]
            for x in range(row.size):
                count = np.uint32(row[x])
                total[x] = np.uint32(total[x] + count)
                square[x] += np.uint64(np.uint32(count * count))


@entry
def _deviation(sums: Any, squares: Any, count: Any, out: Any) -> None:
    planes = np.float64(count)
    for y in range(out.shape[0]):
        total, square, line = sums[y], squares[y], out[y]
        for x in range(line.size):
            wide = np.uint64(total[x])
            line[x] = np.sqrt(np.float64(np.uint64(count * square[x] - wide * wide))) / planes
