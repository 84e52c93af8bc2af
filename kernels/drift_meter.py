"""Drift of one image after another against the same reference: the fast form of `drift_reference`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from .cells import cells_shape, mean_cells
from .compiled import entry
from .drift import SCALE, Drift, Shift, band_pass, peak_of, taper, window_reach


class DriftMeter:
    """Measures images against one reference, in float32, with buffers that are used again but for SciPy's spectra.

    The reference is one image that every worker has: the first of its block. Blocks are linked afterwards, from the
    first images of consecutive blocks, by `accumulate`; so it does not matter who measured what. Not for several
    threads at once.

    Parameters
    ----------
    parameters : Drift
    shape : tuple of int
        Image (y, x), pixels.
    """

    def __init__(self, parameters: Drift, shape: tuple[int, int]) -> None:
        self._parameters = parameters
        self._shape = shape
        self._cells = np.zeros(cells_shape(shape, parameters.bin), np.float32)
        size = self._cells.shape
        self._fade_y = (taper(size[0], parameters.taper) * SCALE).astype(np.float32)
        self._fade_x = taper(size[1], parameters.taper).astype(np.float32)
        self._band = band_pass((size[0], size[1]), parameters).astype(np.float32)
        self._reach = window_reach((size[0], size[1]), parameters)
        self._columns = np.arange(-self._reach[1] - 1, self._reach[1] + 2) % size[1]
        self._rows = np.arange(-self._reach[0] - 1, self._reach[0] + 2) % size[0]
        self._product = np.zeros(self._band.shape, np.complex64)
        self._reference: NDArray[np.complex64] | None = None

    def refer_to(self, image: NDArray[np.uint16]) -> None:
        """Make an image the reference.

        Parameters
        ----------
        image : uint16 (y, x), C-contiguous
        """
        self._reference = self._spectrum(image)

    def measure(self, image: NDArray[np.uint16]) -> Shift:
        """Measure an image against the reference, as `drift_reference`.

        Parameters
        ----------
        image : uint16 (y, x), C-contiguous
            Read only.

        Returns
        -------
        Shift

        Raises
        ------
        ValueError
            If there is no reference yet, or the image has another shape or type.
        """
        if self._reference is None:
            raise ValueError("there is no reference to measure against")
        total = _multiply(self._spectrum(image), self._reference, self._product)
        if total == 0:
            return Shift(0.0, 0.0, 0.0, False)
        _whiten(self._product, self._band, self._parameters.regularisation * total / self._product.size)
        # Only the rows of the search window go through the second transform.
        rows = np.asarray(fft.ifft(self._product, axis=0, overwrite_x=True))[self._rows]
        window = np.asarray(fft.irfft(rows, self._cells.shape[1], axis=1))[:, self._columns]
        return peak_of(window, self._parameters.bin)

    def _spectrum(self, image: NDArray[np.uint16]) -> NDArray[np.complex64]:
        if image.dtype != np.uint16 or image.shape != self._shape or not image.flags.c_contiguous:
            raise ValueError(f"the image is {image.dtype} {image.shape}, not C-contiguous uint16 {self._shape}")
        view = image.view()
        view.flags.writeable = False
        total = mean_cells(view, self._parameters.bin, self._cells)
        _fade(self._cells, total / image.size, self._fade_y, self._fade_x)
        return np.asarray(fft.fft(fft.rfft(self._cells, axis=1), axis=0, overwrite_x=True))


@entry
def _fade(cells: Any, mean: float, fade_y: Any, fade_x: Any) -> None:
    for y in range(cells.shape[0]):
        row, weight = cells[y], fade_y[y]
        for x in range(row.size):
            row[x] = np.float32(np.float64(row[x]) - mean) * weight * fade_x[x]


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
