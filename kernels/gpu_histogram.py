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
    """

    def __init__(self, accelerator: Accelerator, width: int) -> None:
        self._accelerator, self._width = accelerator, width
        self._tally = accelerator.xp.zeros(_ENDS + BINS, np.uint64)

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
        check_counts(pixels, (None, None))
        self._tally.fill(0)
        grid = min(blocks_for(pixels.size, _THREADS * _SPAN), _MOST_BLOCKS)
        shift = np.int32(self._width.bit_length() - 1)
        self._accelerator.launch(
            "tally_pixels", (grid,), (_THREADS,), pixels, np.int64(pixels.size), shift, self._tally
        )
        tally = self._accelerator.to_host(self._tally)
        total, squares, depth, high = tally[:_ENDS].tolist()
        bins[:] = tally[_ENDS:]
        return Tally(self._width, pixels.size, 65535 - depth, high, total, squares, bins)
