"""Sums over frames on a GPU: the temporal moments of a series, and what the elbow test of a stack begins with."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from .accelerator import THREADS, Accelerator, blocks_for, check_counts
from .moments import MomentMaps, Sums
from .stack_sums import PLANES, StackSums

#: Neighbouring pixels that a thread has.
_PAIR: Final = 2
#: Frames of a launch: a thread sums those in 32 bits, 65536 · 65535 < 2³².
_MOST: Final = 65536


class GpuSums:
    """Moments so far as whole numbers on a device, as `Sums`. Not for several threads at once.

    Parameters
    ----------
    accelerator : Accelerator
    shape : tuple of int
        Frame (y, x), pixels.

    Attributes
    ----------
    count : int
        Frames so far.
    total : uint64 (y, x) of the device, counts
        Σx.
    squares : uint64 (y, x) of the device, counts²
        Σx².
    """

    def __init__(self, accelerator: Accelerator, shape: tuple[int, int]) -> None:
        self._accelerator = accelerator
        self.count = 0
        self.total, self.squares = accelerator.xp.zeros(shape, np.uint64), accelerator.xp.zeros(shape, np.uint64)
        self._maps = accelerator.xp.zeros((4, *shape), np.float32)

    def clear(self) -> None:
        """Forget all frames."""
        self.count = 0
        self.total.fill(0)
        self.squares.fill(0)

    def add(self, frames: Any) -> None:
        """Add frames, in any order; the sums move once, however many there are.

        Parameters
        ----------
        frames : uint16 (k, y, x) of the device, C-contiguous, counts
            Read only.

        Raises
        ------
        ValueError
            If the array is not so.
        """
        check_counts(frames, (None, *self.total.shape))
        grid = (blocks_for(self.total.size, _PAIR * THREADS),)
        for first in range(0, len(frames), _MOST):
            part = frames[first : first + _MOST]
            known = np.int32(len(part)), np.int64(self.total.size)
            self._accelerator.launch("sum_frames", grid, (THREADS,), part, *known, self.total, self.squares)
        self.count += len(frames)

    def finish(self) -> Sums:
        """Give the sums in host memory, bit for bit those of the CPU form.

        Returns
        -------
        Sums
        """
        host = self._accelerator.to_host
        return Sums(self.count, host(self.total), host(self.squares))

    def maps(self, offset: float) -> MomentMaps:
        """Give the moments of the frames so far, as `moment_maps` of their sums, bit for bit.

        Parameters
        ----------
        offset : float, counts
            As for `moments_reference`.

        Returns
        -------
        MomentMaps
            float32, in host memory; NaN throughout without frames.
        """
        if self.count:
            known = np.int64(self.total.size), np.uint64(self.count), np.float64(offset)
            grid = (blocks_for(self.total.size, THREADS),)
            self._accelerator.launch("finish_moments", grid, (THREADS,), self.total, self.squares, *known, self._maps)
        else:
            self._maps.fill(np.nan)
        return MomentMaps(*self._accelerator.to_host(self._maps))


class GpuStackSums:
    """Sums over the planes of a stack, as `StackSums`, for `find_outliers`. Not for several threads at once.

    Parameters
    ----------
    accelerator : Accelerator
    shape : tuple of int
        Frame (y, x), pixels.
    """

    def __init__(self, accelerator: Accelerator, shape: tuple[int, int]) -> None:
        self._sums = GpuSums(accelerator, shape)

    @property
    def count(self) -> int:
        """Planes so far."""
        return self._sums.count

    def clear(self) -> None:
        """Forget all planes."""
        self._sums.clear()

    def add(self, frames: Any) -> None:
        """Add planes, one or several.

        Parameters
        ----------
        frames : uint16 (z, y, x) of the device, C-contiguous, raw counts
            Read only.

        Raises
        ------
        ValueError
            If the array is another, or the planes would be more than `PLANES`.
        """
        if self._sums.count + len(frames) > PLANES:
            raise ValueError(f"the sums of more than {PLANES} planes do not fit")
        self._sums.add(frames)

    def finish(self) -> StackSums:
        """Give the sums in host memory, bit for bit those of `StackSums`; sorting the curves is work for a CPU.

        Returns
        -------
        StackSums
        """
        found = self._sums.finish()
        sums = StackSums((found.total.shape[0], found.total.shape[1]))
        sums.count, sums.sums, sums.squares = found.count, found.total.astype(np.uint32), found.squares
        return sums
