"""Histogram and sums of raw counts on a GPU."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .accelerator import Accelerator, blocks_for, check_counts
from .histogram import BINS, Tally

#: Threads of a block, and pixels that each has at a time.
_THREADS: Final = 512
_SPAN: Final = 8
#: Most blocks of a launch: each counts for itself first, and the more there are the more is added up after.
_MOST_BLOCKS: Final = 528
#: What comes before the bins: sum, squares, 65535 less the smallest, the largest.
_ENDS: Final = 4


class GpuTallier:
    """Tallies one frame after another, as `Tallier`. Not for several threads at once.

    Parameters
    ----------
    accelerator : Accelerator
    width : int, counts
        Of a bin.
    frames : int
        Tallies that it keeps on the device until they are fetched.
    """

    def __init__(self, accelerator: Accelerator, width: int, frames: int = 1) -> None:
        self._accelerator, self._width, self._pixels = accelerator, width, 0
        self._tallies = accelerator.xp.zeros((frames, _ENDS + BINS), np.uint64)

    def tally(self, pixels: Any, bins: NDArray[np.uint32]) -> Tally:
        """Tally a frame, as `tally_reference`, bit for bit.

        Parameters
        ----------
        pixels : uint16 (y, x) of the device, C-contiguous, below 2³² of them
            Raw counts; read only.
        bins : uint32 (`BINS`,), in host memory
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
        self.ask(pixels, 0)
        return self.fetch(bins[None], np.ones(1, bool))[0]

    def ask(self, pixels: Any, at: int) -> None:
        """Tally a frame into one of the places, without waiting; what the place held is gone.

        Parameters
        ----------
        pixels : uint16 (y, x) of the device, C-contiguous, raw counts
            As for `tally`; all frames have one size.
        at : int

        Raises
        ------
        ValueError
            If the array is another.
        """
        check_counts(pixels, (None, None))
        into = self._tallies[at]
        into.fill(0)
        self._pixels = pixels.size
        grid = min(blocks_for(pixels.size, _THREADS * _SPAN), _MOST_BLOCKS)
        shift = np.int32(self._width.bit_length() - 1)
        self._accelerator.launch("tally_pixels", (grid,), (_THREADS,), pixels, np.int64(pixels.size), shift, into)

    def fetch(self, bins: NDArray[np.uint32], there: NDArray[np.bool_]) -> dict[int, Tally]:
        """Fetch the tallies that were asked for.

        Parameters
        ----------
        bins : uint32 (n, `BINS`), in host memory
            Result: the histograms, of the places that are ``there``.
        there : bool (n,)

        Returns
        -------
        dict
            By place.
        """
        made: dict[int, Tally] = {}
        # One by one: those of a block without z are 34 MB together, and nobody has room for them beside the bins.
        for at in np.flatnonzero(there).tolist():
            tally = self._accelerator.to_host(self._tallies[at])
            total, squares, depth, high = tally[:_ENDS].tolist()
            bins[at] = tally[_ENDS:]
            made[at] = Tally(self._width, self._pixels, 65535 - depth, high, total, squares, bins[at])
        return made
