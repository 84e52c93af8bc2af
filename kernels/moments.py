"""Temporal moments: mean, variance, signal to noise and Fano factor of every pixel over t."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compiled import entry, piece
from .limits import check_number

#: Frames that a block may add: the 32-bit sums then hold for certain, 65536 · 65535 < 2³².
MOST_FRAMES: Final = 65536
#: Samples of a pixel that 64-bit sums of squares hold for certain, 2³² · 65535² < 2⁶⁴.
_MOST_SAMPLES: Final = 2**32
#: Pixels worked on at a time: their sums and one frame's counts lie in the first-level cache together.
_BAND: Final = 1024
_HALF: Final = np.uint32(16)
_LOW: Final = np.uint32(0xFFFF)


@dataclass(frozen=True)
class Moments:
    """Parameters of the temporal moments.

    Attributes
    ----------
    offset : float, counts
        What the camera (or the pedestal of stored means) adds; it is no signal. From 0 to 65535, default 100.

    Raises
    ------
    RecipeError
        If a value is outside its range.
    """

    offset: float = 100.0

    def __post_init__(self) -> None:
        check_number("moments.offset", self.offset, "counts", 0, 65535)


class MomentMaps(NamedTuple):
    """The moments of every pixel: float32, or float64 from the reference; all (..., y, x).

    Attributes
    ----------
    mean : counts
        Σx / n, the offset included.
    variance : counts²
        Σ(x - mean)² / n.
    snr : 1
        (mean - offset) / √variance; NaN where the variance is 0.
    fano : counts
        variance / (mean - offset); NaN where the mean is not above the offset. Where light alone makes the noise it is
        the camera's gain in counts per electron.
    """

    mean: NDArray[Any]
    variance: NDArray[Any]
    snr: NDArray[Any]
    fano: NDArray[Any]


def moments_reference(frames: NDArray[np.uint16], parameters: Moments) -> MomentMaps:
    """Compute the moments in float64 over all frames at once.

    Parameters
    ----------
    frames : uint16 (t, ..., y, x), counts
    parameters : Moments

    Returns
    -------
    MomentMaps
        float64; NaN throughout without frames.
    """
    if not len(frames):
        nothing = np.full(frames.shape[1:], np.nan)
        return MomentMaps(nothing, nothing, nothing, nothing)
    mean, variance = frames.mean(axis=0, dtype=np.float64), frames.var(axis=0, dtype=np.float64)
    signal = mean - parameters.offset
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = np.where(variance > 0, signal / np.sqrt(variance), np.nan)
        fano = np.where(signal > 0, variance / signal, np.nan)
    return MomentMaps(mean, variance, snr, fano)


def merge_reference(
    first: tuple[int, NDArray[np.float64], NDArray[np.float64]],
    second: tuple[int, NDArray[np.float64], NDArray[np.float64]],
) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    """Merge two partial results in float64 by Chan's rule (Chan, Golub, LeVeque, 1983).

    With d the second mean less the first, the mean is m + d·n₂/n and the sum of squared deviations
    M + M₂ + d²·n₁·n₂/n.

    Parameters
    ----------
    first, second : tuple
        Count n, mean, and sum of squared deviations M of every pixel.

    Returns
    -------
    tuple
        The same of both together; at least one sample in all.
    """
    count = first[0] + second[0]
    apart = second[1] - first[1]
    mean = first[1] + apart * (second[0] / count)
    return count, mean, first[2] + second[2] + apart**2 * (first[0] * second[0] / count)


@dataclass(frozen=True, eq=False)
class Sums:
    """Partial moments as whole numbers.

    In floats Chan's rule depends on the order of merging in the last bits. These sums do not, and lose nothing: the
    variance is taken from them about the whole number next to the mean, where nothing cancels (see `moment_maps`).

    Attributes
    ----------
    count : int
        Frames, n.
    total : uint64 (..., y, x), counts
        Σx.
    squares : uint64 (..., y, x), counts²
        Σx².
    """

    count: int
    total: NDArray[np.uint64]
    squares: NDArray[np.uint64]

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> Sums:
        """Give the sums over no frames, which change nothing when merged.

        Parameters
        ----------
        shape : tuple of int
            (..., y, x).

        Returns
        -------
        Sums
        """
        return cls(0, np.zeros(shape, np.uint64), np.zeros(shape, np.uint64))

    def merge(self, other: Sums) -> Sums:
        """Merge two partial results, exactly, in any order and grouping.

        Parameters
        ----------
        other : Sums
            Of other frames of the same shape.

        Returns
        -------
        Sums

        Raises
        ------
        ValueError
            If the shapes differ, or there would be more than 2³² frames.
        """
        count = self.count + other.count
        if self.total.shape != other.total.shape:
            raise ValueError(f"sums of shape {self.total.shape} and {other.total.shape} do not merge")
        if count > _MOST_SAMPLES:
            raise ValueError(f"{count} frames are more than 64-bit sums of squares hold")
        return Sums(count, self.total + other.total, self.squares + other.squares)


class BlockSums:
    """Buffers that sum the frames of one block; used again for every block. Not for several threads at once.

    12 bytes a pixel, and 16 more once `finish` was called.

    Parameters
    ----------
    shape : tuple of int
        Of a frame or a stack, (..., y, x).
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        # Σx, and Σx² by its upper and lower halves: 32-bit sums fill a vector register with twice as many pixels.
        self._sums = np.zeros((3, int(np.prod(shape))), np.uint32)
        self._finished: tuple[NDArray[np.uint64], NDArray[np.uint64]] | None = None
        self._count = 0

    def begin(self) -> None:
        """Start a block; what the last one left is forgotten."""
        self._sums.fill(0)
        self._count = 0

    def add(self, frames: NDArray[np.uint16]) -> None:
        """Add frames, in any order, each once.

        The more come at a time, the less memory moves: 8 frames take the sums from memory and back once.

        Parameters
        ----------
        frames : uint16 (k, ..., y, x), C-contiguous, counts
            Read only.

        Raises
        ------
        ValueError
            If the array is not so, or the block would have more than `MOST_FRAMES` frames.
        """
        if frames.dtype != np.uint16 or frames.shape[1:] != self._shape or not frames.flags.c_contiguous:
            raise ValueError(f"frames are {frames.dtype} {frames.shape}, not C-contiguous uint16 (k, *{self._shape})")
        if self._count + len(frames) > MOST_FRAMES:
            raise ValueError(f"a block has at most {MOST_FRAMES} frames: finish it and begin another")
        view = frames.reshape(len(frames), self._sums.shape[1])
        view.flags.writeable = False
        _add_frames(view, self._sums)
        self._count += len(frames)

    def finish(self) -> Sums:
        """Give the sums of the frames that were added.

        Returns
        -------
        Sums
            Views of the buffers, valid until the next `finish`.
        """
        if self._finished is None:
            self._finished = (np.zeros(self._shape, np.uint64), np.zeros(self._shape, np.uint64))
        total, squares = self._finished
        _widen(self._sums, total.reshape(-1), squares.reshape(-1))
        return Sums(self._count, total, squares)


def moment_maps(sums: Sums, parameters: Moments) -> MomentMaps:
    """Compute the moments from sums, each rounded once to float32.

    With q the whole number next to Σx / n and r = Σx - q·n, the variance is (Σx² - 2q·Σx + n·q²) / n - (r/n)². The
    bracket is Σ(x - q)², whole and exact in 64 bits even where its terms wrap; and as |r/n| ≤ ½ the difference cancels
    at most half of it.

    Parameters
    ----------
    sums : Sums
    parameters : Moments

    Returns
    -------
    MomentMaps
        float32; NaN throughout without frames.
    """
    maps = np.full((4, *sums.total.shape), np.nan, np.float32)
    if sums.count:
        flat = maps.reshape(4, -1)
        total, squares = (np.ascontiguousarray(part).reshape(-1) for part in (sums.total, sums.squares))
        _moments(sums.count, total, squares, float(parameters.offset), flat[0], flat[1], flat[2], flat[3])
    return MomentMaps(maps[0], maps[1], maps[2], maps[3])


@entry
def _add_frames(frames: Any, sums: Any) -> None:
    for start in range(0, sums.shape[1], _BAND):
        stop = min(start + _BAND, sums.shape[1])
        total, upper, lower = sums[0, start:stop], sums[1, start:stop], sums[2, start:stop]
        fours = frames.shape[0] // 4 * 4
        for k in range(0, fours, 4):
            first, second = frames[k, start:stop], frames[k + 1, start:stop]
            _add_four(first, second, frames[k + 2, start:stop], frames[k + 3, start:stop], total, upper, lower)
        for k in range(fours, frames.shape[0]):
            _add_one(frames[k, start:stop], total, upper, lower)


@piece
def _add_four(first: Any, second: Any, third: Any, fourth: Any, total: Any, upper: Any, lower: Any) -> None:
    # Four at a time go through the sums once: two thirds of the time of one after another.
    for x in range(total.size):
        a, b, c, d = np.uint32(first[x]), np.uint32(second[x]), np.uint32(third[x]), np.uint32(fourth[x])
        total[x] = np.uint32(total[x] + np.uint32(np.uint32(a + b) + np.uint32(c + d)))
        a, b, c, d = np.uint32(a * a), np.uint32(b * b), np.uint32(c * c), np.uint32(d * d)
        high = np.uint32(np.uint32((a >> _HALF) + (b >> _HALF)) + np.uint32((c >> _HALF) + (d >> _HALF)))
        low = np.uint32(np.uint32((a & _LOW) + (b & _LOW)) + np.uint32((c & _LOW) + (d & _LOW)))
        upper[x] = np.uint32(upper[x] + high)
        lower[x] = np.uint32(lower[x] + low)


@piece
def _add_one(counts: Any, total: Any, upper: Any, lower: Any) -> None:
    for x in range(total.size):
        count = np.uint32(counts[x])
        square = np.uint32(count * count)
        total[x] = np.uint32(total[x] + count)
        upper[x] = np.uint32(upper[x] + (square >> _HALF))
        lower[x] = np.uint32(lower[x] + (square & _LOW))


@entry
def _widen(sums: Any, total: Any, squares: Any) -> None:
    summed, upper, lower = sums[0], sums[1], sums[2]
    for x in range(total.size):
        total[x] = np.uint64(summed[x])
        squares[x] = (np.uint64(upper[x]) << np.uint64(16)) + np.uint64(lower[x])


@entry
def _moments(
    count: int, total: Any, squares: Any, offset: float, mean: Any, variance: Any, snr: Any, fano: Any
) -> None:
    n, share = np.uint64(count), np.float64(count)
    for x in range(total.size):
        near = (total[x] + n // np.uint64(2)) // n
        rest = np.float64(np.int64(total[x]) - np.int64(near * n)) / share
        about = squares[x] - np.uint64(2) * near * total[x] + n * near * near
        spread = np.float64(about) / share - rest * rest
        middle = np.float64(near) + rest
        signal = middle - offset
        mean[x] = np.float32(middle)
        variance[x] = np.float32(spread)
        snr[x] = np.float32(signal / np.sqrt(spread)) if spread > 0 else np.float32(np.nan)
        fano[x] = np.float32(spread / signal) if signal > 0 else np.float32(np.nan)
