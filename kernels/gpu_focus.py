"""Focus of every frame on a GPU: exact sums by one kernel, the spectrum of the centre by two products of matrices."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .accelerator import Accelerator, blocks_for, check_counts
from .focus import Focus, FocusMeter, FocusSums, Sharpness

#: Pixels (x, y) that a block sums, and its threads.
_PART: Final = (256, 8)
_BLOCK: Final = (32, 8)


class GpuFocusMeter(FocusMeter):
    """Measures one frame after another, as `FocusMeter`. Not for several threads at once.

    Only coefficients inside the optical support are computed, in float64: with the usual psf of 3 pixels that is a
    third of the rows and of the columns, and 0.1 GFLOP a frame.

    Parameters
    ----------
    accelerator : Accelerator
    frame_shape : tuple of int
        Raw frame (y, x), pixels.
    parameters : Focus
    """

    def __init__(self, accelerator: Accelerator, frame_shape: tuple[int, int], parameters: Focus) -> None:
        super().__init__(frame_shape, parameters)
        self._accelerator, xp = accelerator, accelerator.xp
        height, width = self._signal.shape
        rows, columns = self._ends.size, int(self._ends.max())
        self._along_y = xp.asarray(cosines(height, rows))
        self._along_x = xp.asarray(np.ascontiguousarray(cosines(width, columns).T))
        self._inside = xp.asarray(np.arange(columns) < self._ends[:, None])
        self._sums = xp.zeros(len(FocusSums._fields), np.uint64)

    def measure(self, pixels: Any) -> Sharpness:
        """Measure one frame.

        Parameters
        ----------
        pixels : uint16 (y, x) of the device, C-contiguous, raw counts
            Read only.

        Returns
        -------
        Sharpness
            All but ``dct`` bit for bit those of `FocusMeter`.

        Raises
        ------
        ValueError
            If the frame is not so.
        """
        check_counts(pixels, self._shape)
        self._sums.fill(0)
        (height, width), (y, x) = self._shape, self._centre
        grid = blocks_for(width, _PART[0]), blocks_for(height, _PART[1])
        known = (np.int32(part) for part in (height, width, y.start, y.stop, x.start, x.stop))
        self._accelerator.launch("sum_focus", grid, _BLOCK, pixels, *known, self._sums)
        sums = FocusSums(*self._accelerator.to_host(self._sums).tolist())
        return self._sharpness(sums, lambda *values: self._entropy(pixels[self._centre], *values))

    def _entropy(self, centre: Any, mean: int, constant: float, norm: float) -> float:
        xp = self._accelerator.xp
        spectrum = self._along_y @ (centre.astype(np.float64) - mean) @ self._along_x
        spectrum[0, 0] = constant
        share = xp.where(self._inside, abs(spectrum) / norm, 0)
        # Where the share is 0 so is the term, whatever stands for the logarithm.
        return -float(self._accelerator.to_host((share * xp.log2(xp.where(share > 0, share, 1))).sum()))


def cosines(size: int, count: int) -> NDArray[np.float64]:
    """Give the first rows of the orthonormal cosine transform (DCT-II).

    Parameters
    ----------
    size : int
        Samples.
    count : int
        Coefficients, from the mean on.

    Returns
    -------
    float64 (count, size)
    """
    rows = np.cos(np.pi / size * np.arange(count)[:, None] * (np.arange(size) + 0.5)) * np.sqrt(2 / size)
    rows[0] = np.sqrt(1 / size)
    return rows
