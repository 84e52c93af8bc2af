"""Projections over t on a GPU: maximum, minimum and mean of every pixel."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .accelerator import THREADS, Accelerator, blocks_for, check_counts

#: Neighbouring pixels that a thread has.
_PAIR: Final = 2
#: Frames of a launch: a thread sums those in 32 bits, 65536 · 65535 < 2³².
_MOST: Final = 65536


class GpuTimeProjections:
    """Projects the images of one plane over t. Not for several threads at once.

    Parameters
    ----------
    accelerator : Accelerator
    shape : tuple of int
        Image (y, x), pixels.
    """

    def __init__(self, accelerator: Accelerator, shape: tuple[int, int]) -> None:
        self._accelerator, xp = accelerator, accelerator.xp
        self._count = 0
        self._high, self._low = xp.zeros(shape, np.uint16), xp.full(shape, 65535, np.uint16)
        self._mean, self._total = xp.zeros(shape, np.uint16), xp.zeros(shape, np.uint64)

    def clear(self) -> None:
        """Forget all images."""
        self._count = 0
        self._high.fill(0)
        self._low.fill(65535)
        self._total.fill(0)

    def add(self, images: Any) -> None:
        """Add images, in any order; what is kept moves once, however many there are.

        Parameters
        ----------
        images : uint16 (k, y, x) of the device, C-contiguous, counts
            Read only.

        Raises
        ------
        ValueError
            If the array is not so.
        """
        check_counts(images, (None, *self._high.shape))
        grid = (blocks_for(self._high.size, _PAIR * THREADS),)
        for first in range(0, len(images), _MOST):
            part = images[first : first + _MOST]
            known = np.int32(len(part)), np.int64(self._high.size)
            kept = self._high, self._low, self._total
            self._accelerator.launch("project_frames", grid, (THREADS,), part, *known, *kept)
        self._count += len(images)

    def finish(self, modes: tuple[str, ...]) -> dict[str, NDArray[np.uint16]]:
        """Give the projections, as `time_projections_reference` has them of one plane, bit for bit.

        Parameters
        ----------
        modes : tuple of str
            ``"max"``, ``"min"``, ``"mean"``.

        Returns
        -------
        dict
            uint16 (y, x) by mode, in host memory; 0 where no image came.
        """
        if not self._count:
            return {mode: np.zeros(self._high.shape, np.uint16) for mode in modes}
        if "mean" in modes:
            known = np.int64(self._total.size), np.uint64(self._count)
            grid = (blocks_for(self._total.size, THREADS),)
            self._accelerator.launch("mean_of_frames", grid, (THREADS,), self._total, *known, self._mean)
        made = {"max": self._high, "min": self._low, "mean": self._mean}
        return {mode: self._accelerator.to_host(made[mode]) for mode in modes}
