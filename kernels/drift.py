"""Drift: how far an image has moved against a reference, from their whitened cross-correlation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from ..stream.errors import RecipeError
from ..stream.tables import Column
from .cells import cells_shape, check_side, mean_cells_reference
from .limits import check_number

#: Quality where there is no second peak to speak of.
BEST: Final = 1e6
#: Brings sums of 16-bit counts into a range whose fourth powers still fit float32; a power of two, so exact.
SCALE: Final = 2.0**-16

#: What the table of a run holds, one row for every image that was measured.
COLUMNS: Final = (
    Column("frame", "int64", "", "number of the frame, or of the first frame of the stack that was projected"),
    Column("dy", "float32", "pixel", "how far the content has moved along y since the reference of the run"),
    Column("dx", "float32", "pixel", "the same along x"),
    Column("quality", "float32", "", "highest peak over second peak; near 1 the shift means nothing, 0: no structure"),
    Column("limited", "bool", "", "the peak lies at the border of the search window: the true shift may be larger"),
)


@dataclass(frozen=True)
class Drift:
    """Parameters of the drift measurement.

    Attributes
    ----------
    bin : int, pixels
        Side of the cells that are averaged first: 1, 2, 4 (default), 8 or 16.
    max_shift : float, pixels
        Half of the search window along y and x, from 0 to 4096, default 64. Where the image is smaller than twice
        that, half of the image.
    smooth : float, cells
        Standard deviation of the Gaussian that removes noise, from 0.5 to 16, default 1. It gives the peak the
        Gaussian shape that the sub-pixel formula assumes.
    background : float, cells
        Standard deviation of the wide Gaussian whose image is subtracted, from 2 to 1024 and above ``smooth``;
        default 16.
    regularisation : float
        Whitening stops at amplitudes below this part of the mean amplitude, from 0.001 to 1000, default 0.1. Large
        values give the plain cross-correlation.
    taper : float
        Part of each side over which the image fades to its mean at either border, from 0 to 0.5 (a Hann window),
        default 0.125.

    Raises
    ------
    RecipeError
        If a value is outside its range.
    """

    bin: int = 4
    max_shift: float = 64.0
    smooth: float = 1.0
    background: float = 16.0
    regularisation: float = 0.1
    taper: float = 0.125

    def __post_init__(self) -> None:
        check_side("drift.bin", self.bin)
        check_number("drift.max_shift", self.max_shift, "pixels", 0, 4096)
        check_number("drift.smooth", self.smooth, "cells", 0.5, 16)
        check_number("drift.background", self.background, "cells", 2, 1024)
        check_number("drift.regularisation", self.regularisation, "mean amplitudes", 1e-3, 1e3)
        check_number("drift.taper", self.taper, "sides", 0, 0.5)
        if self.background <= self.smooth:
            what = f"drift.background is {self.background}, drift.smooth {self.smooth}"
            raise RecipeError(what, "the background must be the wider one")


class Shift(NamedTuple):
    """How far the content of an image has moved: image(y, x) ≈ reference(y - dy, x - dx).

    Attributes
    ----------
    dy, dx : float, pixels
    quality : float
        Highest peak over the second one, 1 to `BEST`; 0 where an image has no structure, and then the shift is 0.
    limited : bool
        Whether the peak lies at the border of the search window.
    """

    dy: float
    dx: float
    quality: float
    limited: bool


def taper(size: int, part: float) -> NDArray[np.float64]:
    """Give the window that fades an axis out, a raised cosine over ``part`` of the axis at either end.

    Parameters
    ----------
    size : int
        Samples; each stands for its middle, so that no sample is 0.
    part : float
        From 0 (no fading) to 0.5 (a Hann window).

    Returns
    -------
    float64 (size,)
    """
    edge = np.minimum(np.arange(size) + 0.5, np.arange(size)[::-1] + 0.5)
    # Fading within half a sample is no fading: every sample is at least half a sample from the border.
    return 0.5 - 0.5 * np.cos(np.pi * np.minimum(edge / max(part * size, 0.5), 1))


def band_pass(shape: tuple[int, int], parameters: Drift) -> NDArray[np.float64]:
    """Give the response of the band-pass, the difference of two Gaussians; 0 at frequency 0.

    Parameters
    ----------
    shape : tuple of int
        Cells (y, x).
    parameters : Drift

    Returns
    -------
    float64 (y, x // 2 + 1)
        exp(-2π²σ²f²) - exp(-2π²β²f²), f in cycles a cell, σ ``smooth``, β ``background``.
    """
    squared = 2 * np.pi**2 * (np.fft.fftfreq(shape[0])[:, None] ** 2 + np.fft.rfftfreq(shape[1]) ** 2)
    return np.exp(-squared * parameters.smooth**2) - np.exp(-squared * parameters.background**2)


def window_reach(shape: tuple[int, int], parameters: Drift) -> tuple[int, int]:
    """Give half of the search window (y, x) in cells."""
    asked = math.ceil(parameters.max_shift / parameters.bin)
    return min(asked, (shape[0] - 1) // 2), min(asked, (shape[1] - 1) // 2)


def drift_reference(image: NDArray[np.uint16], reference: NDArray[np.uint16], parameters: Drift) -> Shift:
    """Measure the shift of an image against a reference in float64.

    Both are averaged over cells, freed of their mean, and tapered. With X and R their spectra, P = X·conj(R) and B the
    band-pass, the correlation is the inverse transform of B·P / (|P| + ε·mean|P|). Its highest value within the search
    window gives the shift in whole cells, `peak_of` the rest.

    Parameters
    ----------
    image, reference : uint16 (y, x)
        Calibrated and healed images where the camera has a pattern: a pattern does not move, and votes for 0.
    parameters : Drift

    Returns
    -------
    Shift
        In pixels of the images.
    """
    product = _spectrum_reference(image, parameters) * _spectrum_reference(reference, parameters).conj()
    amplitude = abs(product)
    if not amplitude.any():
        return Shift(0.0, 0.0, 0.0, False)
    shape = cells_shape((image.shape[0], image.shape[1]), parameters.bin)
    whitened = band_pass(shape, parameters) * product / (amplitude + parameters.regularisation * amplitude.mean())
    correlation = np.fft.irfft2(whitened, shape)
    reach = window_reach(shape, parameters)
    rows, columns = (np.arange(-half - 1, half + 2) % size for half, size in zip(reach, shape, strict=True))
    return peak_of(correlation[np.ix_(rows, columns)], parameters.bin)


def _spectrum_reference(image: NDArray[np.uint16], parameters: Drift) -> NDArray[np.complex128]:
    cells = mean_cells_reference(image, parameters.bin).astype(np.float64) - image.mean(dtype=np.float64)
    y, x = cells.shape
    return np.fft.rfft2(cells * taper(y, parameters.taper)[:, None] * taper(x, parameters.taper) * SCALE)


def peak_of(window: NDArray[np.floating], side: int) -> Shift:
    """Find the highest value of a correlation, between samples too, and what the second peak is.

    The place between samples is the vertex of the parabola through the logarithms of three values (exact for a
    Gaussian), along y and x for itself; through the values themselves where one of the three is not above 0. The second
    peak is the highest value that is not below its eight neighbours, among those that do not touch the first.

    Parameters
    ----------
    window : float (2·m + 3, 2·n + 3)
        Correlation for shifts from -m - 1 to m + 1 cells along y, -n - 1 to n + 1 along x. The outermost values only
        serve as neighbours.
    side : int
        Pixels a cell.

    Returns
    -------
    Shift
    """
    inner = window[1:-1, 1:-1]
    y, x = (int(i) for i in np.unravel_index(inner.argmax(), inner.shape))
    top = float(inner[y, x])
    if top <= 0:
        return Shift(0.0, 0.0, 0.0, False)
    peaks = np.where(inner >= maximum_filter(window, 3)[1:-1, 1:-1], inner, -np.inf)
    peaks[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = -np.inf
    second = max(float(peaks.max()), top / BEST)
    m, n = inner.shape[0] // 2, inner.shape[1] // 2
    limited = (m > 0 and abs(y - m) == m) or (n > 0 and abs(x - n) == n)
    dy = (y - m + _vertex(window[y : y + 3, x + 1])) * side
    dx = (x - n + _vertex(window[y + 1, x : x + 3])) * side
    return Shift(dy, dx, min(top / second, BEST), limited)


def _vertex(values: NDArray[np.floating]) -> float:
    a, b, c = (float(value) for value in values)
    if min(a, b, c) > 0:
        a, b, c = math.log(a), math.log(b), math.log(c)
    bend = 2 * b - a - c
    # At the border of the window a neighbour may be higher than the peak; three values tell no more than half a cell.
    return 0.0 if bend <= 0 else min(max((c - a) / (2 * bend), -0.5), 0.5)


def accumulate(links: NDArray[np.float64], key: NDArray[np.int64], shifts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add up shifts to the reference of the run: shift of an image = Σ links up to its key image + its own.

    Parameters
    ----------
    links : float64 (k, 2), pixels
        (dy, dx) of every key image (the first image of each block) against the key image before; of the first one,
        which is the reference of the run, 0.
    key : int64 (n,)
        Which key image each image was measured against.
    shifts : float64 (n, 2), pixels
        What was measured.

    Returns
    -------
    float64 (n, 2), pixels
        (dy, dx) against the reference of the run. Errors of the links add up too, as a random walk.
    """
    return np.cumsum(links, axis=0)[key] + shifts
