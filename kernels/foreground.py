"""Foreground: which pixels of a stack show the specimen, and which chunks of it show none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..stream.errors import RecipeError
from .compiled import entry, piece
from .kinds import Flag, Number, Whole
from .parameters import Parameters, declared

#: Weights of a Gaussian add up to this, so that smoothing is arithmetic on integers and every form of it agrees.
_SUM: Final = 256
_BITS: Final = np.uint32(8)
_ROUND: Final = np.uint32(_SUM // 2)
#: Smoothed values are in 1 / 65536 count: along x and y the weights multiply, and what z adds is rounded away.
SCALE: Final = _SUM * _SUM
#: The level of a large stack is taken from every 7th pixel of every 13th row, that of a smaller one from more. Both are
#: odd and the columns take turns, so that no part of the image is preferred.
_EVERY: Final = (13, 7)
#: Planes closer than this, in pixels, would be smoothed over thousands of them.
LEAST_Z_STEP: Final = 0.01
#: Pixels that the level is taken from, about, at least, where the stack has them.
_ENOUGH: Final = 65536
#: What a pixel that the level is taken from takes: itself, ranked, and ranked in 64 bits.
SAMPLE_BYTES: Final = 4 + 4 + 8


@dataclass(frozen=True)
class Foreground(Parameters):
    """Which pixels of a stack show the specimen; cells without any become 0, and take no space.

    ``size`` 1 smooths nothing. Along z the deviation is max(1, ``sigma`` / ``z_step``) planes, cut off at the same
    multiple of it.

    Raises
    ------
    RecipeError
        If a value is outside its range, or a size even.
    """

    step_name: ClassVar[str] = "foreground"
    threshold: float = declared(
        0.4, Number("parts of the mean signal", 0, 1), "where the level lies between background (0) and signal (1)"
    )
    percentile: float = declared(
        1, Number("percent", 0, 100), "this part of the smoothed pixels is background; the largest is its value"
    )
    sigma: float = declared(2, Number("pixels", 0.5, 16), "deviation of the smoothing along x and y, level-0 pixels")
    size: int = declared(5, Whole("pixels", 1, 65), "width at which that Gaussian is cut off, odd")
    z_step: float = declared(
        0, Number("pixels", 0, 1000), "distance of two planes in level-0 pixels; 0: what the run says, else 1"
    )
    omit: bool = declared(True, Flag(), "set cells of 64 x 64 pixels without foreground to 0, in every level")

    def __post_init__(self) -> None:
        """Check the values, and that the Gaussian has a middle."""
        super().__post_init__()
        if self.size % 2 == 0:
            raise RecipeError(f"foreground.size is {self.size}", "it must be odd, so that the Gaussian has a middle")
        if 0 < self.z_step < LEAST_Z_STEP:
            what = f"foreground.z_step is {self.z_step:g}"
            raise RecipeError(what, f"it must be a number of pixels from {LEAST_Z_STEP} to 1000, or 0")

    def weights(self) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Give the Gaussians as whole numbers that add up to 256.

        Returns
        -------
        z, yx : uint32 (2·radius + 1,)
            Weights along z, and along y and x.
        """
        deviation = max(1.0, self.sigma / (self.z_step or 1))
        radius = self.size // 2
        return _gaussian(deviation, math.ceil(radius * deviation / self.sigma)), _gaussian(self.sigma, radius)


def _gaussian(sigma: float, radius: int) -> NDArray[np.uint32]:
    values = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    # The running sum is what is rounded, from the outside in: no weight is off by more than 1, and none is below 0.
    outer = np.rint(np.cumsum(values[:radius]) * (_SUM / values.sum())).astype(np.uint32)
    side = np.diff(outer, prepend=np.uint32(0))
    return np.concatenate([side, [np.uint32(_SUM) - 2 * side.sum(dtype=np.uint32)], side[::-1]]).astype(np.uint32)


class Mask(NamedTuple):
    """The foreground of a stack.

    Attributes
    ----------
    level : float, counts
        min + ``threshold`` · (mean - min), with min the percentile of the smoothed pixels and mean that of those above
        it. Where all are equal, their value: then nothing is foreground.
    foreground : int
        Pixels of the mask.
    mask : uint8 (z, y, x)
        1 where the smoothed pixel is above the level, otherwise 0.
    background : bool (z / cz, y / cy, x / cx), rounded up
        True for chunks without a foreground pixel.
    """

    level: float
    foreground: int
    mask: NDArray[np.uint8]
    background: NDArray[np.bool_]


def smooth_reference(stack: NDArray[np.uint16], parameters: Foreground) -> NDArray[np.int64]:
    """Smooth a stack with the Gaussian, in whole numbers; pixels beyond the border equal those at it.

    Parameters
    ----------
    stack : uint16 (z, y, x), counts
    parameters : Foreground

    Returns
    -------
    int64 (z, y, x), 1 / 65536 count
    """
    along_z, along_yx = parameters.weights()
    smooth = _along(_along(stack.astype(np.int64), 0, along_z), 1, along_yx)
    return _along((smooth + _SUM // 2) // _SUM, 2, along_yx)


def _along(image: NDArray[np.int64], axis: int, weights: NDArray[np.uint32]) -> NDArray[np.int64]:
    radius, size = len(weights) // 2, image.shape[axis]
    at = np.clip(np.arange(-radius, size + radius), 0, size - 1)
    padded = np.take(image, at, axis)
    parts = (int(w) * np.take(padded, np.arange(i, i + size), axis) for i, w in enumerate(weights))
    return sum(parts, np.zeros(image.shape, np.int64))


def level_of(values: NDArray[Any], parameters: Foreground) -> int:
    """Give the level of a stack from its smoothed pixels, in 1 / 65536 count, rounded down.

    Parameters
    ----------
    values : integers, any shape, 1 / 65536 count
        The pixels that it is taken from.
    parameters : Foreground

    Returns
    -------
    int
    """
    ranked = np.sort(values, axis=None).astype(np.uint64)
    rank = max(math.ceil(parameters.percentile / 100 * ranked.size), 1) - 1
    low = int(ranked[rank])
    above = ranked[np.searchsorted(ranked, ranked[rank], side="right") :]
    mean = int(above.sum()) / above.size if above.size else low
    return math.floor(low + parameters.threshold * (mean - low))


def strides(pixels: int) -> tuple[int, int]:
    """Give n and m: the level of a stack of so many pixels is taken from every n-th row and every m-th column."""
    share = pixels // _ENOUGH | 1
    columns = min(share, _EVERY[1])
    return min(share // columns | 1, _EVERY[0]), columns


def samples_of(shape: tuple[int, int, int]) -> int:
    """Give from how many pixels the level of a stack (z, y, x) is taken, at most."""
    return 3 * _ENOUGH + math.prod(shape) // math.prod(_EVERY) + shape[2]


def sampled_reference(smooth: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the pixels that the level is taken from: of every n-th row every m-th, the first m columns in turn.

    Parameters
    ----------
    smooth : int64 (z, y, x)

    Returns
    -------
    int64 (n,)
    """
    rows, columns = strides(smooth.size)
    lines = smooth.reshape(-1, smooth.shape[2])[::rows]
    return np.concatenate([line[i % columns :: columns] for i, line in enumerate(lines)])


def foreground_reference(stack: NDArray[np.uint16], parameters: Foreground, chunk: tuple[int, int, int]) -> Mask:
    """Mask a stack, all of it at once.

    The level is that of Keller's light-sheet pipeline (Amat et al., Nature Protocols 2015), the Gaussian as in
    `smooth_reference`.

    Parameters
    ----------
    stack : uint16 (z, y, x), counts
        Binned, with whatever offset or pedestal it has: none changes the mask.
    parameters : Foreground
    chunk : tuple of int
        Chunk (z, y, x), pixels.

    Returns
    -------
    Mask
    """
    smooth = smooth_reference(stack, parameters)
    limit = level_of(sampled_reference(smooth), parameters)
    mask = smooth > limit
    background = np.zeros([-(-size // step) for size, step in zip(stack.shape, chunk, strict=True)], bool)
    for index in np.ndindex(background.shape):
        part = tuple(slice(i * step, (i + 1) * step) for i, step in zip(index, chunk, strict=True))
        background[index] = not mask[part].any()
    return Mask(limit / SCALE, int(mask.sum()), mask.astype(np.uint8), background)


class ForegroundMasker:
    """Masks one stack after another; holds all buffers. Not for several threads at once.

    Parameters
    ----------
    shape : tuple of int
        Largest stack (z, y, x), pixels.
    parameters : Foreground
    chunk : tuple of int
        Chunk (z, y, x), pixels, each at least 1.
    """

    def __init__(self, shape: tuple[int, int, int], parameters: Foreground, chunk: tuple[int, int, int]) -> None:
        self._shape, self._parameters, self._chunk = shape, parameters, chunk
        self._along_z, self._along_yx = parameters.weights()
        width, radius = shape[2], len(self._along_yx) // 2
        self._smooth = np.zeros((len(self._along_yx), width), np.uint32)
        self._line = np.zeros(width + 2 * radius, np.uint32)
        self._row = np.zeros(width, np.uint32)
        self._samples = np.zeros(samples_of(shape), np.uint32)

    def mask(self, stack: NDArray[np.uint16], out: NDArray[np.uint8]) -> Mask:
        """Mask a stack.

        It is smoothed where the level is taken, and then again for the mask: keeping the smoothed stack would take
        longer, and three times the memory.

        Parameters
        ----------
        stack : uint16 (z, y, x), C-contiguous, counts
            Read only; z may be smaller than planned.
        out : uint8 (z, y, x), C-contiguous
            Result: the mask.

        Returns
        -------
        Mask
            Its mask is ``out``.

        Raises
        ------
        ValueError
            If the array is not so, or empty.
        """
        fits = stack.ndim == 3 and stack.shape[1:] == self._shape[1:] and 0 < len(stack) <= self._shape[0]
        if stack.dtype != np.uint16 or not fits or not stack.flags.c_contiguous:
            raise ValueError(f"stack is {stack.dtype} {stack.shape}, not C-contiguous uint16 {self._shape}")
        view = stack.view()
        view.flags.writeable = False
        buffers = self._along_z, self._along_yx, self._smooth, self._line, self._row
        taken = _sample(view, *buffers, *strides(stack.size), self._samples)
        limit = level_of(self._samples[:taken], self._parameters)
        foreground = _mask(view, *buffers, limit, out)
        background = np.ones([-(-size // step) for size, step in zip(stack.shape, self._chunk, strict=True)], bool)
        _clear_chunks(out, self._chunk, background)
        return Mask(limit / SCALE, int(foreground), out, background)


@entry
def _sample(
    stack: Any,
    along_z: Any,
    along_yx: Any,
    smooth: Any,
    line: Any,
    row: Any,
    rows: int,
    columns: int,
    samples: Any,
) -> Any:
    height, width = stack.shape[1], stack.shape[2]
    ring, radius = smooth.shape[0], smooth.shape[0] // 2
    taken, ready, plane = 0, 0, -1
    for i, at in enumerate(range(0, stack.shape[0] * height, rows)):
        z, y = at // height, at % height
        first = max(y - radius, 0)
        ready = max(ready, first) if z == plane else first
        plane = z
        for near in range(ready, min(y + radius + 1, height)):
            _smooth_z(stack, z, near, along_z, smooth[near % ring])
        ready = min(y + radius + 1, height)
        _smooth_yx(y, height, along_yx, smooth, line, row)
        for x in range(i % columns, width, columns):
            samples[taken] = row[x]
            taken += 1
    return taken


@entry
def _mask(stack: Any, along_z: Any, along_yx: Any, smooth: Any, line: Any, row: Any, limit: int, mask: Any) -> Any:
    level, foreground, height = np.uint32(limit), np.uint64(0), stack.shape[1]
    ring, radius = smooth.shape[0], smooth.shape[0] // 2
    for z in range(stack.shape[0]):
        ready = 0
        for y in range(height):
            for near in range(ready, min(y + radius + 1, height)):
                _smooth_z(stack, z, near, along_z, smooth[near % ring])
            ready = min(y + radius + 1, height)
            _smooth_yx(y, height, along_yx, smooth, line, row)
            foreground += np.uint64(_compare(row, level, mask[z, y]))
    return foreground


@piece
def _compare(row: Any, level: Any, mask: Any) -> Any:
    above = np.uint32(0)
    for x in range(row.size):
        bit = np.uint32(row[x] > level)
        mask[x] = np.uint8(bit)
        above = np.uint32(above + bit)
    return above


@piece
def _smooth_z(stack: Any, z: int, y: int, along_z: Any, out: Any) -> None:
    radius, last = along_z.size // 2, stack.shape[0] - 1
    if radius == 0:
        _weigh(stack[z, y], along_z[0], out)
    for i in range(1, radius + 1):
        before, after = stack[max(z - i, 0), y], stack[min(z + i, last), y]
        if i == 1:
            _weigh_three(stack[z, y], along_z[radius], before, after, along_z[radius + 1], out)
        else:
            _add_pair(before, after, along_z[radius + i], out)


@piece
def _smooth_yx(y: int, height: int, weights: Any, smooth: Any, line: Any, row: Any) -> None:
    # ``smooth`` is a ring: it holds the rows y - radius … y + radius, smoothed along z, each at y modulo its length.
    ring, radius, width = smooth.shape[0], smooth.shape[0] // 2, row.size
    middle = line[radius : radius + width]
    if radius == 0:
        _weigh(smooth[0], weights[0], middle)
    for i in range(1, radius + 1):
        upper, lower = smooth[max(y - i, 0) % ring], smooth[min(y + i, height - 1) % ring]
        if i == 1:
            _weigh_three(smooth[y % ring], weights[radius], upper, lower, weights[radius + 1], middle)
        else:
            _add_pair(upper, lower, weights[radius + i], middle)
    for x in range(width):
        middle[x] = np.uint32(middle[x] + _ROUND) >> _BITS
    line[:radius] = middle[0]
    line[radius + width :] = middle[width - 1]
    if radius == 0:
        _weigh(middle, weights[0], row)
    for i in range(1, radius + 1):
        left, right = line[radius - i : radius - i + width], line[radius + i : radius + i + width]
        if i == 1:
            _weigh_three(middle, weights[radius], left, right, weights[radius + 1], row)
        else:
            _add_pair(left, right, weights[radius + i], row)


@piece
def _weigh(row: Any, weight: Any, out: Any) -> None:
    for x in range(out.size):
        out[x] = np.uint32(np.uint32(row[x]) * weight)


@piece
def _weigh_three(row: Any, weight: Any, first: Any, second: Any, beside: Any, out: Any) -> None:
    for x in range(out.size):
        pair = np.uint32(np.uint32(first[x]) + np.uint32(second[x]))
        out[x] = np.uint32(np.uint32(np.uint32(row[x]) * weight) + np.uint32(pair * beside))


@piece
def _add_pair(first: Any, second: Any, weight: Any, out: Any) -> None:
    for x in range(out.size):
        pair = np.uint32(np.uint32(first[x]) + np.uint32(second[x]))
        out[x] = np.uint32(out[x] + np.uint32(pair * weight))


@entry
def _clear_chunks(mask: Any, chunk: Any, background: Any) -> None:
    for z in range(mask.shape[0]):
        for y in range(mask.shape[1]):
            line, flags = mask[z, y], background[z // chunk[0], y // chunk[1]]
            for i in range(flags.size):
                if flags[i] and _any(line[i * chunk[2] : min((i + 1) * chunk[2], line.size)]):
                    flags[i] = False


@piece
def _any(run: Any) -> Any:
    top = np.uint8(0)
    for x in range(run.size):
        top = max(top, run[x])
    return top > 0
