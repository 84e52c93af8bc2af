"""Focus of every frame on a GPU: exact sums by one kernel, the spectrum of the centre by two products of matrices."""

from __future__ import annotations

import math
from functools import partial
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
    frames : int
        Results that it keeps on the device until they are fetched.
    """

    def __init__(
        self, accelerator: Accelerator, frame_shape: tuple[int, int], parameters: Focus, frames: int = 1
    ) -> None:
        super().__init__(frame_shape, parameters)
        self._accelerator, xp = accelerator, accelerator.xp
        height, width = self._signal.shape
        rows, columns = self._ends.size, int(self._ends.max())
        self._along_y = xp.asarray(cosines(height, rows))
        self._along_x = xp.asarray(np.ascontiguousarray(cosines(width, columns).T))
        inside = np.arange(columns) < self._ends[:, None]
        inside[0, 0] = False  # it follows from the sums
        self._inside = xp.asarray(inside)
        self._sums = xp.zeros((frames, len(FocusSums._fields)), np.uint64)
        # Of the spectrum of each frame Σ|c| and Σ|c|·log₂|c|.
        self._spectra = xp.zeros((frames, 2), np.float64)
        # What a frame takes on the way. CuPy keeps what it allocates for one stream only, and frames have three.
        self._zeroed = xp.zeros((height, width), np.float64)
        self._half, self._spectrum = (xp.zeros((rows, size), np.float64) for size in (width, columns))
        self._logarithms = xp.zeros_like(self._spectrum)

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
        self.ask(pixels, 0)
        return self.fetch(np.ones(1, bool))[0]

    def ask(self, pixels: Any, at: int) -> None:
        """Measure a frame into one of the places, without waiting; what the place held is gone.

        Parameters
        ----------
        pixels : uint16 (y, x) of the device, C-contiguous, raw counts
            Read only.
        at : int

        Raises
        ------
        ValueError
            If the frame is not so.
        """
        check_counts(pixels, self._shape)
        into = self._sums[at]
        into.fill(0)
        (height, width), (y, x) = self._shape, self._centre
        grid = blocks_for(width, _PART[0]), blocks_for(height, _PART[1])
        known = (np.int32(part) for part in (height, width, y.start, y.stop, x.start, x.stop))
        self._accelerator.launch("sum_focus", grid, _BLOCK, pixels, *known, into)
        xp, zeroed, spectrum, logarithms = self._accelerator.xp, self._zeroed, self._spectrum, self._logarithms
        zeroed[...] = pixels[self._centre]
        # The mean is a thousand times what the other coefficients are; taken off first, it costs them no digits.
        zeroed -= zeroed.mean()
        xp.matmul(self._along_y, zeroed, out=self._half)
        xp.matmul(self._half, self._along_x, out=spectrum)
        xp.absolute(spectrum, out=spectrum)
        spectrum *= self._inside
        self._spectra[at, 0] = spectrum.sum()
        # Where a coefficient is 0 so is the term, whatever stands for the logarithm.
        xp.maximum(spectrum, np.finfo(np.float64).tiny, out=logarithms)
        xp.log2(logarithms, out=logarithms)
        logarithms *= spectrum
        self._spectra[at, 1] = logarithms.sum()

    def fetch(self, there: NDArray[np.bool_]) -> dict[int, Sharpness]:
        """Fetch the results that were asked for.

        Parameters
        ----------
        there : bool (n,)
            Which places were.

        Returns
        -------
        dict
            By place.
        """
        host = self._accelerator.to_host
        sums, spectra = host(self._sums[: there.size]), host(self._spectra[: there.size])
        return {
            at: self._sharpness(FocusSums(*sums[at].tolist()), partial(_entropy, *spectra[at].tolist()))
            for at in np.flatnonzero(there).tolist()
        }


def _entropy(total: float, weighed: float, mean: int, constant: float, norm: float) -> float:
    # -Σ(|c|/n)·log₂(|c|/n) from Σ|c| and Σ|c|·log₂|c|, and the term of the first coefficient.
    first = abs(constant) / norm
    return (math.log2(norm) * total - weighed) / norm - (first * math.log2(first) if first > 0 else 0)


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
