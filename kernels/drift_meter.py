"""Drift of images against each other, whichever of them is the reference: the fast form of `drift_reference`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from .compiled import entry
from .counts import read_only_counts
from .drift import SCALE, Drift, Shift, band_pass, peak_of, taper, window_reach

#: Spectrum of an image, complex64 (y, x // 2 + 1).
Spectrum = NDArray[np.complex64]


class DriftMeter:
    """Measures images in float32, with buffers that are used again but for SciPy's spectra.

    Not for several threads at once.

    Parameters
    ----------
    parameters : Drift
    shape : tuple of int
        Image (y, x), pixels.
    """

    def __init__(self, parameters: Drift, shape: tuple[int, int]) -> None:
        self._parameters = parameters
        self._faded = np.full(shape, 0, np.float32)
        self._fade_y = (taper(shape[0], parameters.taper) * SCALE).astype(np.float32)
        self._fade_x = taper(shape[1], parameters.taper).astype(np.float32)
        self._band = band_pass(shape, parameters).astype(np.float32)
        reach = window_reach(shape, parameters)
        self._rows = np.arange(-reach[0] - 1, reach[0] + 2) % shape[0]
        self._columns = np.arange(-reach[1] - 1, reach[1] + 2) % shape[1]
        self._product = np.full(self._band.shape, 0, np.complex64)

    def spectrum(self, image: NDArray[np.uint16]) -> Spectrum:
        """Give what is compared of an image: its spectrum, freed of the mean and tapered.

        Parameters
        ----------
        image : uint16 (y, x), C-contiguous, counts
            Read only.

        Returns
        -------
        complex64 (y, x // 2 + 1)

        Raises
        ------
        ValueError
            If the image has another shape or type.
        """
        view = read_only_counts(image, self._faded.shape)
        _fade(view, self._fade_y, self._fade_x, self._faded)
        return np.asarray(fft.fft(fft.rfft(self._faded, axis=1), axis=0, overwrite_x=True))

    def compare(self, image: Spectrum, reference: Spectrum) -> Shift:
        """Measure an image against a reference, as `drift_reference`.

        Parameters
        ----------
        image, reference : complex64 (y, x // 2 + 1)
            From `spectrum`.

        Returns
        -------
        Shift
        """
        total = _multiply(image, reference, self._product)
        if total == 0:
            return Shift(0.0, 0.0, 0.0, False)
        _whiten(self._product, self._band, self._parameters.regularisation * total / self._product.size)
        # Only the rows of the search window go through the second transform.
        rows = np.asarray(fft.ifft(self._product, axis=0, overwrite_x=True))[self._rows]
        window = np.asarray(fft.irfft(rows, self._faded.shape[1], axis=1))[:, self._columns]
        return peak_of(window, self._parameters.bin)


@entry
def _fade(image: Any, fade_y: Any, fade_x: Any, out: Any) -> None:
    total = np.int64(0)
    for y in range(image.shape[0]):
        row = image[y]
        summed = np.int64(0)
        for x in range(row.size):
            summed += np.int64(row[x])
        total += summed
    mean = total / np.float64(image.size)
    for y in range(out.shape[0]):
        row, line, weight = image[y], out[y], fade_y[y]
        for x in range(row.size):
            line[x] = np.float32(np.float64(row[x]) - mean) * weight * fade_x[x]


@entry
def _multiply(image: Any, reference: Any, out: Any) -> Any:
    # Gives the sum of amplitudes; row by row, always in the same order.
    amplitude = np.empty(out.shape[1], np.float32)
    total = 0.0
    for y in range(out.shape[0]):
        a, b, product = image[y], reference[y], out[y]
        for x in range(product.size):
            real = a[x].real * b[x].real + a[x].imag * b[x].imag
            imag = a[x].imag * b[x].real - a[x].real * b[x].imag
            product[x] = np.complex64(complex(real, imag))
            amplitude[x] = np.sqrt(real * real + imag * imag)
        for x in range(product.size):
            total += amplitude[x]
    return total


@entry
def _whiten(product: Any, band: Any, floor: float) -> None:
    least = np.float32(floor)
    for y in range(product.shape[0]):
        row, response = product[y], band[y]
        for x in range(row.size):
            real, imag = row[x].real, row[x].imag
            weight = response[x] / (np.sqrt(real * real + imag * imag) + least)
            row[x] = np.complex64(complex(real * weight, imag * weight))
