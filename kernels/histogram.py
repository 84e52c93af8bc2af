"""Histogram of raw counts, with sums in integers: what variance and percentiles of a frame come from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from ..stream.tables import Column, Table
from . import runs
from .compiled import entry, piece, sources
from .kinds import Choice, Number, Several
from .parameters import Parameters, declared
from .runs import RUN, run_sums

#: Bins of a histogram.
BINS: Final = 4096
#: Widths of a bin, counts. With the widest the bins reach up to 65535.
WIDTHS: Final = (1, 2, 4, 8, 16)
#: Binary digits that the widest bin takes away: no count is beyond the last bin then.
_WIDEST: Final = 4


@dataclass(frozen=True)
class Histogram(Parameters):
    """Histogram of the raw counts of every frame, its exact sums, and percentiles from it."""

    step_name: ClassVar[str] = "histogram"
    width: int = declared(16, Choice(WIDTHS, "counts"), "width of a bin; the last of the 4096 has all that is higher")
    percentiles: tuple[float, ...] = declared(
        (1, 50, 99.9), Several(Number("percent", 0, 100)), "percentiles that a frame's row has"
    )

    @property
    def table(self) -> Table:
        """What is measured of every frame."""
        meaning = f"of the pixels have at most this many raw counts; from the histogram, below {self.width} off"
        columns = (
            Column("frame", "int64", "", "number of the frame"),
            Column("sum", "uint64", "count", "sum of all raw counts"),
            Column("squares", "uint64", "count²", "sum of their squares"),
            Column("variance", "float64", "count²", "their mean square deviation from the mean of the frame"),
            *(Column(_name(p), "uint16", "count", f"{p:g} % {meaning}") for p in self.percentiles),
        )
        return Table("histogram", columns, "sums and percentiles of the raw counts of every frame")


def _name(percent: float) -> str:
    return f"p{float(percent)!r}".removesuffix(".0").replace(".", "_")


@dataclass(frozen=True)
class Tally:
    """Sums and histogram of the pixels of a frame, exact.

    Attributes
    ----------
    width : int, counts
        Of a bin.
    pixels : int
    low, high : int, counts
        Smallest and largest.
    total : int, counts
    squares : int, counts²
    bins : uint32 (`BINS`,)
        Pixels in each bin.
    """

    width: int
    pixels: int
    low: int
    high: int
    total: int
    squares: int
    bins: NDArray[np.uint32]

    @property
    def variance(self) -> float:
        """Mean square deviation, counts²: (n·Σx² - (Σx)²) / n², the difference in integers."""
        return (self.pixels * self.squares - self.total**2) / self.pixels**2

    def percentile(self, percent: float) -> int:
        """Give the smallest count that at least ``percent`` of the pixels do not exceed.

        NumPy calls it ``inverted_cdf``. Exact with bins of one count, below the last bin; else less than a bin's width
        off, the pixels of a bin being taken as evenly spread.

        Parameters
        ----------
        percent : float
            From 0 (the smallest) to 100 (the largest).

        Returns
        -------
        int, counts
        """
        # As the number is written: 99.9 % of 1000 are 999, though the nearest binary fraction is a little more.
        rank = max(math.ceil(Fraction(str(percent)) * self.pixels / 100), 1)
        upto = np.cumsum(self.bins, dtype=np.int64)
        at = int(np.searchsorted(upto, rank))
        inside = 2 * (rank - int(upto[at]) + int(self.bins[at])) - 1
        first = at * self.width
        # The last bin has no end but the largest count.
        width = self.high + 1 - first if at == BINS - 1 else self.width
        count = first + width * inside // (2 * int(self.bins[at]))
        return min(max(count, self.low), self.high)


def tally_reference(pixels: NDArray[np.uint16], width: int) -> Tally:
    """Tally pixels with NumPy.

    Parameters
    ----------
    pixels : uint16, any shape, at least one
        Raw counts.
    width : int, counts
        Of a bin.

    Returns
    -------
    Tally
    """
    wide = pixels.astype(np.uint64).ravel()
    bins = np.bincount(np.minimum(pixels.ravel() // width, BINS - 1), minlength=BINS)
    low, high = int(pixels.min()), int(pixels.max())
    return Tally(width, pixels.size, low, high, int(wide.sum()), int((wide * wide).sum()), bins.astype(np.uint32))


class Tallier:
    """Tallies one frame after another in buffers that are used again. Not for several threads at once.

    Parameters
    ----------
    width : int, counts
        Of a bin.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._bins = np.zeros((4, BINS), np.uint32)

    def tally(self, pixels: NDArray[np.uint16], bins: NDArray[np.uint32]) -> Tally:
        """Tally a frame, as `tally_reference`, bit for bit.

        Parameters
        ----------
        pixels : uint16 (y, x), C-contiguous, below 2³² of them
            Raw counts; read only.
        bins : uint32 (`BINS`,)
            Result: the histogram.

        Returns
        -------
        Tally
            Its histogram is ``bins`` itself.

        Raises
        ------
        ValueError
            If the array is another.
        """
        if pixels.dtype != np.uint16 or pixels.ndim != 2 or not pixels.flags.c_contiguous or not pixels.size:
            raise ValueError(f"the frame is {pixels.dtype} {pixels.shape}, not C-contiguous uint16 (y, x)")
        view = pixels.view()
        view.flags.writeable = False
        low, high, total, squares = _tally(view, self._width.bit_length() - 1, self._bins)
        np.sum(self._bins, axis=0, dtype=np.uint32, out=bins)
        return Tally(self._width, pixels.size, int(low), int(high), int(total), int(squares), bins)


@piece
def _count(run: Any, first: Any, second: Any, third: Any, fourth: Any) -> None:
    # Neighbours are alike: in one histogram each would wait until the one before it is written.
    shift, one = np.uint16(_WIDEST), np.uint32(1)
    full = run.size // 4
    for x in range(full):
        first[run[4 * x] >> shift] += one
        second[run[4 * x + 1] >> shift] += one
        third[run[4 * x + 2] >> shift] += one
        fourth[run[4 * x + 3] >> shift] += one
    for x in range(4 * full, run.size):
        first[run[x] >> shift] += one


@piece
def _count_clipped(run: Any, shift: Any, first: Any, second: Any, third: Any, fourth: Any) -> None:
    last, one = np.uint16(BINS - 1), np.uint32(1)
    full = run.size // 4
    for x in range(full):
        first[min(np.uint16(run[4 * x] >> shift), last)] += one
        second[min(np.uint16(run[4 * x + 1] >> shift), last)] += one
        third[min(np.uint16(run[4 * x + 2] >> shift), last)] += one
        fourth[min(np.uint16(run[4 * x + 3] >> shift), last)] += one
    for x in range(4 * full, run.size):
        first[min(np.uint16(run[x] >> shift), last)] += one


def _compose(pieces: str) -> Any:
    @entry
    def tally(pixels: Any, shift: int, bins: Any) -> Any:
        _ = pieces
        bins[:] = 0
        low, high = np.uint16(65535), np.uint16(0)
        total, squares = np.uint64(0), np.uint64(0)
        for y in range(pixels.shape[0]):
            row = pixels[y]
            for start in range(0, row.size, RUN):
                run = row[start : start + RUN]
                run_low, run_high, run_total, run_squares = run_sums(run)
                low, high = min(low, run_low), max(high, run_high)
                total, squares = total + run_total, squares + run_squares
                if shift == _WIDEST:
                    _count(run, bins[0], bins[1], bins[2], bins[3])
                else:
                    _count_clipped(run, np.uint16(shift), bins[0], bins[1], bins[2], bins[3])
        return low, high, total, squares

    return tally


_tally = _compose(sources(runs))
