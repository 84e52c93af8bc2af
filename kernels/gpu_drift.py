"""Drift on a GPU: images against each other, by the transforms of the array module."""

from __future__ import annotations

from typing import Any

import numpy as np

from .accelerator import Accelerator, check_counts
from .drift import SCALE, Drift, Shift, band_pass, peak_of, taper, window_reach


class GpuDriftMeter:
    """Measures images in float32, as `DriftMeter`. Not for several threads at once.

    Parameters
    ----------
    accelerator : Accelerator
    parameters : Drift
    shape : tuple of int
        Image (y, x), pixels.
    """

    def __init__(self, accelerator: Accelerator, parameters: Drift, shape: tuple[int, int]) -> None:
        self._accelerator, self._parameters, self._shape = accelerator, parameters, shape
        xp = accelerator.xp
        fade = (taper(shape[0], parameters.taper) * SCALE)[:, None] * taper(shape[1], parameters.taper)
        self._fade = xp.asarray(fade.astype(np.float32))
        self._band = xp.asarray(band_pass(shape, parameters).astype(np.float32))
        self._rows, self._columns = (
            xp.asarray(np.arange(-half - 1, half + 2) % size)
            for half, size in zip(window_reach(shape, parameters), shape, strict=True)
        )

    def spectrum(self, image: Any) -> Any:
        """Give what is compared of an image: its spectrum, freed of the mean and tapered.

        Parameters
        ----------
        image : uint16 (y, x) of the device, C-contiguous, counts
            Read only.

        Returns
        -------
        complex64 (y, x // 2 + 1) of the device

        Raises
        ------
        ValueError
            If the image has another shape or type.
        """
        check_counts(image, self._shape)
        xp = self._accelerator.xp
        # From the sum in whole numbers: a mean in float32 would leave a step at the borders.
        mean = image.sum(dtype=np.uint64).astype(np.float64) / image.size
        faded = (image.astype(np.float64) - mean).astype(np.float32) * self._fade
        return xp.fft.fft(xp.fft.rfft(faded, axis=1), axis=0)

    def compare(self, image: Any, reference: Any) -> Shift:
        """Measure an image against a reference, as `drift_reference`.

        Parameters
        ----------
        image, reference : complex64 (y, x // 2 + 1) of the device
            From `spectrum`.

        Returns
        -------
        Shift
        """
        xp = self._accelerator.xp
        product = image * reference.conj()
        amplitude = abs(product)
        floor = (self._parameters.regularisation * amplitude.mean(dtype=np.float64)).astype(np.float32)
        # Without structure all amplitudes are 0, and so is the correlation: its peak is none.
        product *= self._band / (amplitude + xp.maximum(floor, np.finfo(np.float32).tiny))
        # Only the rows of the search window go through the second transform.
        rows = xp.fft.ifft(product, axis=0)[self._rows]
        window = xp.fft.irfft(rows, self._shape[1], axis=1)[:, self._columns]
        return peak_of(self._accelerator.to_host(window), self._parameters.bin)
