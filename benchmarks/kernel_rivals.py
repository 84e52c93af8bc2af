"""What a user would take in place of our kernels: NumPy, SciPy, scikit-image, tensorstore, on the same frames.

Each does the same work as far as the library does it at all, written as its documentation suggests. They may be slower
because they do more general things; that is what a user would get. Each gives what it made of the last frame of a call,
which the tests compare with ours.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np
import tensorstore as ts
from numpy.typing import NDArray
from scipy import fft, ndimage

from .numpy_reduction import Constants, reduce_plain, reduce_tuned

Rivals = dict[str, Callable[[], object]]
Frames = NDArray[np.uint16]


def lane_rivals(frames: Frames) -> Rivals:
    """Give the whole reduction of a frame in NumPy, written down plainly and after a day of measuring."""
    turn = cycle(frames)
    running = np.zeros((-(-frames.shape[1] // 2), -(-frames.shape[2] // 2)), np.uint16)

    def numpy(reduce: Callable[..., Any]) -> None:
        made = reduce(next(turn), 3, Constants(100.0))
        np.maximum(running, made.levels[0], out=running)

    return {
        "NumPy": lambda: numpy(reduce_plain),
        "NumPy, tuned": lambda: numpy(reduce_tuned),
        **_binning(frames),
    }


def _binning(frames: Frames) -> Rivals:
    turn = cycle(frames)

    def tensorstore() -> object:
        return ts.downsample(ts.array(next(turn)), [2, 2], "mean").read().result()

    rivals: Rivals = {"tensorstore, binning alone": tensorstore}
    try:
        from skimage.transform import downscale_local_mean
    except ImportError:  # an extra of the benchmark
        return rivals
    return {**rivals, "scikit-image, binning alone": lambda: downscale_local_mean(next(turn), (2, 2))}


def step_rivals(name: str, frames: Frames, arrays: dict[str, Any]) -> Rivals:
    """Give what would be taken for a step, for all frames of a call; nothing where no library does it.

    Parameters
    ----------
    name : str
    frames : uint16 (n, y, x), raw counts
    arrays : dict
        The levels of these frames, (1, 1, n, y', x').
    """
    make = _STEPS.get(name)
    return {} if make is None else make(frames, arrays)


def _histogram(frames: Frames, arrays: dict[str, Any]) -> Rivals:
    def numpy() -> object:
        made: object = None
        for frame in frames:
            bins = np.bincount(frame.ravel() >> 4, minlength=4096)
            percentiles = np.percentile(frame, (1, 50, 99.9))
            wide = frame.astype(np.uint64)
            made = bins, percentiles, (wide * wide).sum()
        return made

    return {"NumPy bincount, percentile, sums": numpy}


def _focus(frames: Frames, arrays: dict[str, Any]) -> Rivals:
    def scipy() -> object:
        made: object = None
        for frame in frames:
            signal = frame.astype(np.float32) - 100
            gradient = ndimage.sobel(signal, 0) ** 2 + ndimage.sobel(signal, 1) ** 2
            measures = gradient.mean(), ((signal[:, 2:] - signal[:, :-2]) ** 2).mean(), signal.var()
            y, x = (n // 2 for n in frame.shape)
            spectrum = np.abs(np.asarray(fft.dctn(signal[y - 256 : y + 256, x - 256 : x + 256], norm="ortho")))
            made = *measures, (spectrum * np.log2(spectrum + 1e-20)).sum()
        return made

    return {"SciPy sobel and dctn": scipy}


def _quantise(frames: Frames, arrays: dict[str, Any]) -> Rivals:
    # The step's own numbers for means of 4 pixels: a gain of 1/4, twice the read noise of 1.6 electrons.
    offset, gain, noise = np.float32(95), np.float32(0.25), np.float32(3.2)

    def numpy() -> object:
        made: object = None
        for image in arrays["0"][0, 0]:
            electrons = np.maximum(image.astype(np.float32) - offset, 0) / gain
            made = np.rint(2 * np.sqrt(electrons + noise * noise) - 2 * noise).astype(np.uint16)
        return made

    return {"NumPy formula": numpy}


def _foreground(frames: Frames, arrays: dict[str, Any]) -> Rivals:
    stack = arrays["0"][0, 0]

    def scipy() -> object:
        smooth = ndimage.gaussian_filter(stack.astype(np.float32), (2, 2, 2), truncate=1)
        low = np.percentile(smooth[::13, ::7], 1)
        return smooth > low + 0.4 * (smooth[smooth > low].mean() - low)

    return {"SciPy gaussian_filter": scipy}


def _drift(frames: Frames, arrays: dict[str, Any]) -> Rivals:
    images = arrays["1"][0, 0]

    def numpy() -> object:
        made: object = None
        reference = np.conj(np.fft.rfft2(images[0]))
        for image in images:
            product = np.fft.rfft2(image) * reference
            surface = np.fft.irfft2(product / (abs(product) + 1e-6))
            made = np.unravel_index(surface.argmax(), surface.shape)
        return made

    rivals: Rivals = {"NumPy FFT": numpy}
    try:
        from skimage.registration import phase_cross_correlation
    except ImportError:  # an extra of the benchmark
        return rivals

    options: dict[str, Any] = {"normalization": None, "upsample_factor": 20}

    def skimage() -> object:
        made: object = None
        for image in images:
            made = phase_cross_correlation(images[0], image, **options)
        return made

    return {**rivals, "scikit-image, 1/20 pixel": skimage}


def _moments(frames: Frames, arrays: dict[str, Any]) -> Rivals:
    images = arrays["1"][0, 0]

    def numpy() -> object:
        return images.mean(axis=0, dtype=np.float64), images.var(axis=0, dtype=np.float64)

    return {"NumPy mean and var, all frames at once": numpy}


def _baseline(frames: Frames, arrays: dict[str, Any]) -> Rivals:
    window = np.resize(arrays["1"][0, 0], (70, *arrays["1"].shape[-2:]))

    def numpy() -> object:
        made: object = None
        base = np.percentile(window, 25, axis=0)
        for image in arrays["1"][0, 0]:
            made = (image - base) / np.maximum(base - 100, 1)
        return made

    return {"NumPy percentile once a call, and ΔF/F": numpy}


def _events(frames: Frames, arrays: dict[str, Any]) -> Rivals:
    images = arrays["1"][0, 0]

    def scipy() -> object:
        made: object = None
        # The step's 4 raw pixels are one of the level that it looks at.
        before = ndimage.gaussian_filter(images[0].astype(np.float32), 1)
        for image in images:
            now = ndimage.gaussian_filter(image.astype(np.float32), 1)
            change = (now - before) / np.maximum(before - 100, 10)
            made = np.argwhere((change == ndimage.maximum_filter(change, 15)) & (change > 0.17))
            before = now
        return made

    return {"SciPy gaussian and maximum filter": scipy}


_STEPS: dict[str, Callable[[Frames, dict[str, Any]], Rivals]] = {
    "histogram": _histogram,
    "focus": _focus,
    "quantise": _quantise,
    "foreground": _foreground,
    "drift": _drift,
    "moments": _moments,
    "baseline": _baseline,
    "events": _events,
}
