"""Binning: mean, sum, maximum or binomial mean over cells of 1, 2 × 2, 4 × 4 or 8 × 8 raw pixels."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: How the pixels of a cell become one.
MODES: Final = ("mean", "sum", "max", "binomial")
#: Sides of a cell, pixels.
FACTORS: Final = (1, 2, 4, 8)


def bin_reference(image: NDArray[np.float64], factor: int, mode: str = "mean") -> NDArray[np.float64]:
    """Bin an image; a cell at the border has the pixels that are there.

    ``mean``: over the pixels of the cell. ``sum``: of them, so a partial cell is darker. ``max``: the largest of them.
    ``binomial``: a smooth mean that reaches over the cell by ``factor`` - 1 pixels on every side, against aliasing;
    along each axis the weights are those of `taps`, and those of pixels outside the image are left out of the sum and
    of what it is divided by.

    Parameters
    ----------
    image : float64 (..., y, x)
    factor : int
    mode : str
        One of `MODES`.

    Returns
    -------
    float64 (..., ceil(y / factor), ceil(x / factor))
    """
    if mode == "max":
        for axis in (-2, -1):
            image = np.maximum.reduceat(image, np.arange(0, image.shape[axis], factor), axis=axis)
        return image
    sums = cell_sums(image, factor, mode)
    return sums if mode == "sum" else sums / cell_sums(np.ones(image.shape[-2:]), factor, mode)


def cell_sums(image: NDArray[np.float64], factor: int, mode: str = "mean") -> NDArray[np.float64]:
    """Sum an image over cells of ``factor`` × ``factor``, each pixel with the weight that it has in this mode.

    Parameters
    ----------
    image : float64 (..., y, x)
    factor : int
    mode : str
        ``mean``, ``sum`` or ``binomial``.

    Returns
    -------
    float64 (..., ceil(y / factor), ceil(x / factor))
    """
    return _sums_along(_sums_along(image, factor, mode).swapaxes(-1, -2), factor, mode).swapaxes(-1, -2)


def _sums_along(image: NDArray[np.float64], factor: int, mode: str) -> NDArray[np.float64]:
    """Sum along the last axis."""
    size = image.shape[-1]
    if mode != "binomial":
        return np.add.reduceat(image, np.arange(0, size, factor), axis=-1)
    weights, count = taps(factor, mode), -(-size // factor)
    # Zeros outside: they add nothing.
    padded = np.pad(image, [(0, 0)] * (image.ndim - 1) + [(factor - 1, factor * (count + 1) - size)])
    last = factor * (count - 1) + 1
    sums = np.zeros((*image.shape[:-1], count))
    for k, weight in enumerate(weights.tolist()):
        sums += weight * padded[..., k : k + last : factor]
    return sums


def taps(factor: int, mode: str) -> NDArray[np.int64]:
    """Give the weights that pixels have in a cell along one axis.

    Those of ``binomial`` are ``factor`` ones convolved with themselves twice: [1, 3, 3, 1] for 2. The 10 of factor 4
    and the 22 of factor 8 are exactly what [1, 3, 3, 1] done two and three times gives, without rounding between.

    Returns
    -------
    int64 (factor,), or (3·factor - 2,) for ``binomial``
        The first is that of the pixel (size - factor) / 2 before the cell.
    """
    ones = np.ones(factor, np.int64)
    return np.convolve(np.convolve(ones, ones), ones) if mode == "binomial" else ones


#: Variance of the largest of so many numbers that are normally distributed with variance 1: the second moment of
#: n·φ(x)·Φ(x)ⁿ⁻¹ about its mean, by quadrature.
_OF_LARGEST: Final = {4: 0.491715, 16: 0.295010, 64: 0.203486}


class CellNoise(NamedTuple):
    """What noise a cell has, against that of its raw pixels; both lie under the same light.

    Attributes
    ----------
    gain : float
        Its counts per electron over those of a pixel, where its electrons are as many as its noise says.
    read_noise : float
        Its read noise over that of a pixel, both in electrons.
    """

    gain: float
    read_noise: float


class Cells(NamedTuple):
    """How raw pixels become cells, as the compiled pass takes it.

    Attributes
    ----------
    factor : int
        Side of a cell, raw pixels.
    largest : bool
        Whether a cell is the largest of its pixels; else it is their weighted sum.
    averaged : bool
        Whether the sum is divided by the weights.
    taps : int32 (n,)
        Weights along one axis.
    before : int
        Pixels that the weights reach beyond the cell on either side.
    row_weight, column_weight : float64 (y',), (x',)
        Sum of the weights of the pixels that are there, along y and along x; 1 for the largest.
    start, stop : int
        Cells of a row from ``start`` to before ``stop`` have all their weights along x.
    full : float
        Weight of a cell that has all its pixels; 1, or a power of two.
    """

    factor: int
    largest: bool
    averaged: bool
    taps: NDArray[np.int32]
    before: int
    row_weight: NDArray[np.float64]
    column_weight: NDArray[np.float64]
    start: int
    stop: int
    full: float

    @property
    def noise(self) -> CellNoise:
        """Its noise, by that of a raw pixel: variance g·x + g²·s² at x counts of light, gain g, read noise s.

        Divided by D, the sum over weights w has W·x/D counts of light, W = Σw, and the variance
        (g·x + g²·s²)·Σw²/D². That is a gain of g·Σw²/(W·D) and a read noise of √k·s, with k = W²/Σw²: for means g/k,
        for sums of k pixels g. The largest of n pixels has about their light, and c times their variance, with c
        that of the largest of n normal numbers: a gain of c·g, a read noise of s/√c. Where light differs within a cell
        one pixel decides, and there is more noise than that: codes are finer then, never coarser.
        """
        if self.largest:
            variance = _OF_LARGEST[self.factor**2]
            return CellNoise(variance, variance**-0.5)
        # Weights along y and x multiply.
        along, squares = int(self.taps.sum()), int((self.taps**2).sum())
        pooled = (along**2 / squares) ** 2
        return CellNoise(1 / pooled if self.averaged else (squares / along) ** 2, pooled**0.5)


def plan_cells(frame_shape: tuple[int, int], factor: int, mode: str) -> Cells:
    """Work out the cells of a frame.

    Parameters
    ----------
    frame_shape : tuple of int
        Raw frame (y, x), pixels.
    factor : int
    mode : str
    """
    mode = "mean" if factor == 1 else mode
    weights = taps(factor, mode)
    along = 1 if mode == "max" else int(weights.sum())
    row, column = (_weight_along(size, factor, mode) for size in frame_shape)
    whole = np.flatnonzero(column == along)
    return Cells(
        factor=factor,
        largest=mode == "max",
        averaged=mode in ("mean", "binomial"),
        taps=weights.astype(np.int32),
        before=(weights.size - factor) // 2,
        row_weight=row,
        column_weight=column,
        start=int(whole[0]) if whole.size else 0,
        stop=int(whole[-1]) + 1 if whole.size else 0,
        full=float(along * along),
    )


def _weight_along(size: int, factor: int, mode: str) -> NDArray[np.float64]:
    if mode == "max":
        return np.ones(-(-size // factor))
    return _sums_along(np.ones(size), factor, mode)
