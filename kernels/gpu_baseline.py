"""Baseline and ΔF/F on a GPU: the sliding percentile of each pixel, and the change relative to it."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from .accelerator import THREADS, Accelerator, blocks_for, check_counts
from .baseline import Baseline

#: Neighbouring pixels that a thread has.
_RUN: Final = 4
#: A place between two ranks is a whole number of these parts of a count.
_SHARE: Final = 2**48


class GpuSlidingBaseline:
    """The baseline of one series of images, as `SlidingBaseline`. Not for several threads at once.

    Floats differ from the CPU form by one unit in the last place at most: there is no float64 here.

    Parameters
    ----------
    accelerator : Accelerator
    parameters : Baseline
    shape : tuple of int
        Image (y, x), pixels.

    Attributes
    ----------
    baseline : float32 (y, x) of the device, counts
        F0 after the last point; 0 before the first.
    points : int
        How many it has taken.
    """

    def __init__(self, accelerator: Accelerator, parameters: Baseline, shape: tuple[int, int]) -> None:
        self._accelerator, xp = accelerator, accelerator.xp
        self._percentile, self._window = parameters.percentile, parameters.window
        self.points = 0
        self.baseline = xp.zeros(shape, np.float32)
        self._stride = blocks_for(math.prod(shape), _RUN) * _RUN
        # One image after another: neighbouring threads have neighbouring pixels of the same point.
        self._ring = xp.zeros((parameters.window, self._stride), np.uint16)
        self._pivots = xp.zeros(self._stride, np.uint16)

    def add(self, image: Any) -> None:
        """Take the next point.

        Parameters
        ----------
        image : uint16 (y, x) of the device, C-contiguous, counts
            Read only.

        Raises
        ------
        ValueError
            If the image has another shape or type.
        """
        check_counts(image, self.baseline.shape)
        at = self.points % self._window
        self.points += 1
        count = min(self.points, self._window)
        place = self._percentile / 100 * (count - 1)
        rank = min(math.floor(place), count - 1)
        share = np.uint64(round((place - rank) * _SHARE))
        sizes = np.int64(self.baseline.size), np.int64(self._stride)
        known = *sizes, np.int32(at), np.int32(count), np.int32(rank), share
        grid = (blocks_for(self._stride, _RUN * THREADS),)
        buffers = self._ring, self._pivots, self.baseline
        self._accelerator.launch("slide_baseline", grid, (THREADS,), image, *known, *buffers)

    def relative_change(self, image: Any, background: float, floor: float, out: Any) -> None:
        """Give ΔF/F of an image against the present baseline, as `relative_change_reference`.

        Parameters
        ----------
        image : uint16 (y, x) of the device, C-contiguous, counts
            Read only.
        background, floor : float, counts
            As for the reference.
        out : float32 (y, x) of the device, C-contiguous
            Result.

        Raises
        ------
        ValueError
            If the image has another shape or type.
        """
        check_counts(image, self.baseline.shape)
        high = np.float32(background)
        known = np.int64(image.size), high, np.float32(background - float(high)), np.float32(floor)
        grid = (blocks_for(image.size, THREADS),)
        self._accelerator.launch("change_from_baseline", grid, (THREADS,), image, self.baseline, *known, out)
