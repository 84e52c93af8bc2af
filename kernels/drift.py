"""Drift: how far an image has moved against a reference, from their whitened cross-correlation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from ..stream.errors import RecipeError
from .kinds import LEVEL_SIDE, Flag, Number, Whole
from .parameters import Parameters, declared

#: Quality where there is no second peak to speak of.
BEST: Final = 1e6
#: Brings 16-bit counts into a range whose fourth powers, summed, still fit float32; a power of two, so exact.
SCALE: Final = 2.0**-16


@dataclass(frozen=True)
class Drift(Parameters):
    """How far the field has moved since the beginning of the run, and images moved back by it.

    Raises
    ------
    RecipeError
        If a value is outside its range, or the background is not wider than what is smoothed.
    """

    step_name: ClassVar[str] = "drift"
    bin: int = declared(4, LEVEL_SIDE, "side of a pixel of the level that is looked at")
    channel: int = declared(0, Whole(), "channel that is measured, from 0; the others move with it")
    max_shift: float = declared(
        64, Number("raw pixels", 0, 4096), "half of the search window along y and x; at most half of the image"
    )
    quality: float = declared(
        2, Number("", 1, BEST), "highest peak over second peak below which a shift is not trusted"
    )
    correct: bool = declared(False, Flag(), "whether the images are moved back, for the steps that follow too")
    # It gives the peak the Gaussian shape that the sub-pixel formula assumes.
    smooth: float = declared(
        1, Number("pixels of the level", 0.5, 16), "standard deviation of the Gaussian that removes noise"
    )
    background: float = declared(
        16, Number("pixels of the level", 2, 1024), "standard deviation of the wide Gaussian that is subtracted"
    )
    regularisation: float = declared(
        0.1,
        Number("mean amplitudes", 1e-3, 1e3),
        "amplitudes below it are not whitened; large values give the plain cross-correlation",
    )
    taper: float = declared(
        0.125, Number("sides", 0, 0.5), "part of each side over which the image fades out; 0.5 is a Hann window"
    )

    def __post_init__(self) -> None:
        """Check every value, and the two Gaussians against each other."""
        super().__post_init__()
        if self.background <= self.smooth:
            what = f"drift.background is {self.background}, drift.smooth {self.smooth}"
            raise RecipeError(what, "the background must be the wider one")


class Shift(NamedTuple):
    """How far the content of an image has moved: image(y, x) ≈ reference(y - dy, x - dx).

    Attributes
    ----------
    dy, dx : float, raw pixels
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
        Image (y, x), pixels.
    parameters : Drift

    Returns
    -------
    float64 (y, x // 2 + 1)
        exp(-2π²σ²f²) - exp(-2π²β²f²), f in cycles a pixel, σ ``smooth``, β ``background``.
    """
    squared = 2 * np.pi**2 * (np.fft.fftfreq(shape[0])[:, None] ** 2 + np.fft.rfftfreq(shape[1]) ** 2)
    return np.exp(-squared * parameters.smooth**2) - np.exp(-squared * parameters.background**2)


def window_reach(shape: tuple[int, int], parameters: Drift) -> tuple[int, int]:
    """Give half of the search window (y, x) in pixels of the image."""
    asked = math.ceil(parameters.max_shift / parameters.bin)
    return min(asked, (shape[0] - 1) // 2), min(asked, (shape[1] - 1) // 2)


def drift_reference(image: NDArray[np.uint16], reference: NDArray[np.uint16], parameters: Drift) -> Shift:
    """Measure the shift of an image against a reference in float64.

    Both are freed of their mean, and tapered. With X and R their spectra, P = X·conj(R) and B the band-pass, the
    correlation is the inverse transform of B·P / (|P| + ε·mean|P|). Its highest value within the search window gives
    the shift in whole pixels, `peak_of` the rest.

    Parameters
    ----------
    image, reference : uint16 (y, x)
        Of a level with pixels of ``bin`` raw pixels, calibrated and healed where the camera has a pattern: a pattern
        does not move, and votes for 0.
    parameters : Drift

    Returns
    -------
    Shift
    """
    product = _spectrum_reference(image, parameters) * _spectrum_reference(reference, parameters).conj()
    amplitude = abs(product)
    if not amplitude.any():
        return Shift(0.0, 0.0, 0.0, False)
    shape = image.shape[0], image.shape[1]
    whitened = band_pass(shape, parameters) * product / (amplitude + parameters.regularisation * amplitude.mean())
    correlation = np.fft.irfft2(whitened, shape)
    reach = window_reach(shape, parameters)
    rows, columns = (np.arange(-half - 1, half + 2) % size for half, size in zip(reach, shape, strict=True))
    return peak_of(correlation[np.ix_(rows, columns)], parameters.bin)


def _spectrum_reference(image: NDArray[np.uint16], parameters: Drift) -> NDArray[np.complex128]:
    y, x = image.shape
    return np.fft.rfft2(
        (image - image.mean(dtype=np.float64))
        * taper(y, parameters.taper)[:, None]
        * taper(x, parameters.taper)
        * SCALE
    )


def peak_of(window: NDArray[np.floating], side: int) -> Shift:
    """Find the highest value of a correlation, between samples too, and what the second peak is.

    The place between samples is the vertex of the parabola through the logarithms of three values (exact for a
    Gaussian), along y and x for itself; through the values themselves where one of the three is not above 0. The second
    peak is the highest value that is not below its eight neighbours, among those that do not touch the first.

    Parameters
    ----------
    window : float (2·m + 3, 2·n + 3)
        Correlation for shifts from -m - 1 to m + 1 pixels along y, -n - 1 to n + 1 along x. The outermost values only
        serve as neighbours.
    side : int
        Raw pixels that a pixel is long.

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
    # At the border of the window a neighbour may be higher than the peak; three values tell no more than half a pixel.
    return 0.0 if bend <= 0 else min(max((c - a) / (2 * bend), -0.5), 0.5)
