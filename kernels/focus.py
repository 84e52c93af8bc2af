"""Focus: four measures of how sharp a frame is, none of which bleaching or the camera's offset moves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

from ..stream.tables import Column, Table
from . import runs
from .compiled import entry, piece, sources
from .counts import read_only_counts
from .kinds import Number, Whole
from .parameters import Parameters, declared
from .runs import RUN, run_apart, run_squares

#: What is measured of every frame.
TABLE: Final = Table(
    "focus",
    (
        Column("frame", "int64", "", "number of the frame"),
        Column("dct", "float32", "bit", "entropy of the normalised cosine spectrum inside the optical support"),
        Column("tenengrad", "float32", "", "mean square of the Sobel gradient over the square of the mean signal"),
        Column("brenner", "float32", "", "mean square difference of pixels two apart along x over that square"),
        Column("variance", "float32", "", "variance of the pixels over that square"),
    ),
    "how sharp every frame is; NaN where there is nothing to measure",
)


@dataclass(frozen=True)
class Focus(Parameters):
    """How sharp every raw frame is, by four measures that neither bleaching nor the camera's offset moves.

    ``roi`` is the side of the square in the centre that ``dct`` looks at; its time grows with the area. A smaller frame
    is taken whole. The other measures see all of the frame.
    """

    step_name: ClassVar[str] = "focus"
    offset: float = declared(100, Number("counts", 0, 65535), "what the camera adds to every pixel; it is no signal")
    psf: float = declared(
        3, Number("pixels", 1, 64), "width of the narrowest structure that the optics resolve; finer detail is noise"
    )
    roi: int = declared(512, Whole("pixels", 1, 65536), "side of the square in the centre whose spectrum is looked at")
    window: int = declared(20, Whole("frames", 1, 1000), "earlier frames of the same place that the trend compares to")


class Sharpness(NamedTuple):
    """The measures of one frame, larger where it is sharper, with I the signal (counts less offset) and m its mean.

    NaN where there is nothing to measure: ``dct`` without any signal, the others where m is not above 0 or the frame
    is too narrow.

    Attributes
    ----------
    dct : float, bits
        -2 / (X·Y) · Σ|c|·log₂|c|, with c the orthonormal cosine spectrum (DCT-II) of the centre divided by √ΣI², over
        the triangle x/X + y/Y < 1 of X = width / psf and Y = height / psf (Royer et al., Nature Biotechnology 2016).
        Published code disagrees on logarithm, support and norm; here they are binary, triangle, whole centre. The
        coefficient of the mean is one of the sum.
    tenengrad : float
        Mean of gx² + gy² over m², the gradient by the 3 × 3 Sobel weights 1 2 1 and -1 0 1, at pixels with 8
        neighbours.
    brenner : float
        Mean of (I(y, x + 2) - I(y, x))² over m².
    variance : float
        Variance of I over m². Over m, as some write it, a bleached frame would look out of focus.
    """

    dct: float
    tenengrad: float
    brenner: float
    variance: float


def focus_reference(image: NDArray[np.uint16], parameters: Focus) -> Sharpness:
    """Measure one frame in float64.

    Parameters
    ----------
    image : uint16 (y, x), raw counts
    parameters : Focus

    Returns
    -------
    Sharpness
    """
    signal = image.astype(np.float64) - parameters.offset
    scale = signal.mean() ** 2 if signal.mean() > 0 else np.nan
    sum_y, sum_x = (_weighted(signal, axis, (1, 2, 1)) for axis in (0, 1))
    gradients = _weighted(sum_y, 1, (-1, 0, 1)) ** 2 + _weighted(sum_x, 0, (-1, 0, 1)) ** 2
    apart = (signal[:, 2:] - signal[:, :-2]) ** 2
    means = [part.mean() if part.size else np.nan for part in (gradients, apart)]
    dct = _entropy_reference(signal[_centre(image.shape, parameters.roi)], parameters.psf)
    return Sharpness(dct, means[0] / scale, means[1] / scale, signal.var() / scale)


def _weighted(image: NDArray[np.float64], axis: int, weights: tuple[int, int, int]) -> NDArray[np.float64]:
    parts = np.moveaxis(image, axis, 0)
    return np.moveaxis(weights[0] * parts[:-2] + weights[1] * parts[1:-1] + weights[2] * parts[2:], 0, axis)


def _entropy_reference(signal: NDArray[np.float64], psf: float) -> float:
    norm = math.sqrt((signal**2).sum())
    if not norm:
        return math.nan
    y, x = np.ogrid[: signal.shape[0], : signal.shape[1]]
    support_y, support_x = signal.shape[0] / psf, signal.shape[1] / psf
    share = abs(dctn(signal, norm="ortho")[x / support_x + y / support_y < 1]) / norm
    share = share[share > 0]
    return float(-2 / (support_x * support_y) * (share * np.log2(share)).sum())


def _centre(shape: tuple[int, ...], roi: int) -> tuple[slice, ...]:
    return tuple(slice((size - min(size, roi)) // 2, (size - min(size, roi)) // 2 + min(size, roi)) for size in shape)


class FocusSums(NamedTuple):
    """What all measures but the spectrum of the centre are made of, exact.

    Attributes
    ----------
    total, squares : int
        Σx and Σx² of all pixels.
    gradients : int
        Σ(gx² + gy²) of the pixels with 8 neighbours.
    apart : int
        Σ(x(y, x + 2) - x(y, x))².
    centre_total, centre_squares : int
        Σx and Σx² of the centre.
    """

    total: int
    squares: int
    gradients: int
    apart: int
    centre_total: int
    centre_squares: int


class FocusMeter:
    """Measures one frame after another; holds all buffers. Not for several threads at once.

    Parameters
    ----------
    frame_shape : tuple of int
        Raw frame (y, x), pixels.
    parameters : Focus
    """

    def __init__(self, frame_shape: tuple[int, int], parameters: Focus) -> None:
        self._shape, self._parameters = frame_shape, parameters
        self._centre = _centre(frame_shape, parameters.roi)
        height, width = (part.stop - part.start for part in self._centre)
        self._support = height / parameters.psf, width / parameters.psf
        y, x = np.ogrid[:height, :width]
        ends = (x / self._support[1] + y / self._support[0] < 1).sum(axis=1)
        self._ends = ends[ends > 0]
        self._signal = np.zeros((height, width), np.float32)
        self._scratch = np.zeros((2, frame_shape[1]), np.int32)

    def measure(self, pixels: NDArray[np.uint16]) -> Sharpness:
        """Measure one frame.

        Parameters
        ----------
        pixels : uint16 (y, x), C-contiguous, raw counts
            Read only.

        Returns
        -------
        Sharpness
            The sums behind all but ``dct`` are exact; its spectrum is float32.

        Raises
        ------
        ValueError
            If the frame is not so.
        """
        view = read_only_counts(pixels, self._shape, "the frame")
        centre = view[self._centre]
        sums = FocusSums(*map(int, (*_frame_sums(view, self._scratch), *_centre_sums(centre))))
        return self._sharpness(sums, lambda *known: self._entropy(centre, *known))

    def _sharpness(self, sums: FocusSums, entropy: Callable[[int, float, float], float]) -> Sharpness:
        # ``entropy`` gives -Σ|c|·log₂|c| of the centre: less a whole number, with a first coefficient, over a norm.
        offset, (height, width) = self._parameters.offset, self._shape
        count = height * width
        mean = (sums.total - offset * count) / count
        scale = mean**2 if mean > 0 else math.nan
        return Sharpness(
            self._dct(sums.centre_total, sums.centre_squares, entropy),
            _share(sums.gradients, (height - 2) * (width - 2) if height > 2 else 0, scale),
            _share(sums.apart, height * (width - 2), scale),
            (sums.squares * count - sums.total**2) / count**2 / scale,
        )

    def _dct(self, total: int, squares: int, entropy: Callable[[int, float, float], float]) -> float:
        count, offset = self._signal.size, self._parameters.offset
        # About the whole number next to the offset, where the squares of a weak signal do not cancel.
        near = round(offset)
        rest = offset - near
        signal = total - count * near
        norm = squares - 2 * near * total + count * near**2 - 2 * rest * signal + count * rest**2
        if norm <= 0:
            return math.nan
        # The mean is a thousand times what the other coefficients are; taken off first, it costs them no digits.
        constant = (total - offset * count) / math.sqrt(count)
        found = entropy(round(total / count), constant, math.sqrt(norm))
        return 2 / (self._support[0] * self._support[1]) * found

    def _entropy(self, centre: NDArray[np.uint16], mean: int, constant: float, norm: float) -> float:
        _less_mean(centre, mean, self._signal)
        spectrum = dctn(self._signal, norm="ortho", overwrite_x=True, workers=1)
        return float(_entropy(spectrum, self._ends, constant, norm))


def _share(total: int, count: int, scale: float) -> float:
    return total / count / scale if count > 0 else math.nan


@piece
def _row_gradients(above: Any, row: Any, below: Any, smooth: Any, steep: Any) -> Any:
    # Two loops of one result each take half the time of one loop of two.
    for x in range(row.size):
        smooth[x] = np.int32(np.int32(np.int32(above[x]) + np.int32(below[x])) + np.int32(2 * np.int32(row[x])))
    for x in range(row.size):
        steep[x] = np.int32(np.int32(below[x]) - np.int32(above[x]))
    left, right, middle, last = smooth[:-2], smooth[2:], steep[1:], steep[2:]
    total = np.int64(0)
    for x in range(left.size):
        along = np.int64(np.int32(right[x] - left[x]))
        down = np.int64(np.int32(np.int32(steep[x] + last[x]) + np.int32(2 * middle[x])))
        total += along * along + down * down
    return total


@entry
def _less_mean(centre: Any, mean: int, out: Any) -> None:
    for y in range(centre.shape[0]):
        counts, line = centre[y], out[y]
        for x in range(counts.size):
            line[x] = np.float32(np.int32(counts[x]) - np.int32(mean))


@entry
def _entropy(spectrum: Any, ends: Any, constant: float, norm: float) -> Any:
    total = np.float64(0)
    for y in range(ends.size):
        for x in range(ends[y]):
            value = constant if y + x == 0 else np.float64(spectrum[y, x])
            share = abs(value) / norm
            if share > 0:
                total -= share * np.log2(share)
    return total


def _compose(pieces: str) -> tuple[Any, Any]:
    @entry
    def frame_sums(pixels: Any, scratch: Any) -> Any:
        _ = pieces
        total, squares, gradients, apart = np.uint64(0), np.uint64(0), np.int64(0), np.uint64(0)
        height, width = pixels.shape
        for y in range(height):
            for start in range(0, width, RUN):
                run = pixels[y, start : min(start + RUN, width)]
                part, part_squares = run_squares(run)
                total += part
                squares += part_squares
                apart += run_apart(run, pixels[y, min(start + 2, width) : min(start + 2 + RUN, width)])
            if 0 < y < height - 1 and width > 2:
                gradients += _row_gradients(pixels[y - 1], pixels[y], pixels[y + 1], scratch[0], scratch[1])
        return total, squares, gradients, apart

    @entry
    def centre_sums(centre: Any) -> Any:
        _ = pieces
        total, squares = np.uint64(0), np.uint64(0)
        for y in range(centre.shape[0]):
            for start in range(0, centre.shape[1], RUN):
                part, part_squares = run_squares(centre[y, start : min(start + RUN, centre.shape[1])])
                total += part
                squares += part_squares
        return total, squares

    return frame_sums, centre_sums


_frame_sums, _centre_sums = _compose(sources(runs))
