"""Temporal moments: mean, variance, signal to noise and Fano factor of every pixel over t."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..stream.model import Product
from ..stream.tables import Rows
from .compiled import entry
from .counts import read_only_counts
from .kinds import LEVEL_SIDE
from .parameters import Parameters, declared
from .step import Arrays, Planned, Setting, Step


@dataclass(frozen=True)
class Moments(Parameters):
    """Mean, variance, signal to noise and Fano factor of every pixel over all time points."""

    step_name: ClassVar[str] = "moments"
    bin: int = declared(4, LEVEL_SIDE, "side of a pixel of the level that is looked at")


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


#: What each of them is, with its unit.
_MEANINGS: Final = {
    "mean": "mean over the time points that came, counts with the pedestal; NaN where none did",
    "variance": "variance over the time points that came, counts²",
    "snr": "mean above the pedestal over standard deviation; NaN where nothing varies",
    "fano": "variance over mean above the pedestal, counts; NaN where the mean is not above it",
}


def moments_reference(frames: NDArray[np.uint16], offset: float) -> MomentMaps:
    """Compute the moments in float64 over all frames at once.

    Parameters
    ----------
    frames : uint16 (t, ..., y, x), counts
    offset : float, counts
        What a pixel has where there is no light; it is no signal.

    Returns
    -------
    MomentMaps
        float64; NaN throughout without frames.
    """
    if not len(frames):
        nothing = np.full(frames.shape[1:], np.nan)
        return MomentMaps(nothing, nothing, nothing, nothing)
    mean, variance = frames.mean(axis=0, dtype=np.float64), frames.var(axis=0, dtype=np.float64)
    signal = mean - offset
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = np.where(variance > 0, signal / np.sqrt(variance), np.nan)
        fano = np.where(signal > 0, variance / signal, np.nan)
    return MomentMaps(mean, variance, snr, fano)


@dataclass(eq=False)
class Sums:
    """Moments so far as whole numbers.

    In floats Chan's rule depends on the order in the last bits. These sums do not, and lose nothing: the variance is
    taken from them about the whole number next to the mean, where nothing cancels (see `moment_maps`). They hold 2³²
    frames, 2³² · 65535² < 2⁶⁴: more than a run may have.

    Attributes
    ----------
    count : int
        Frames, n.
    total : uint64 (y, x), counts
        Σx.
    squares : uint64 (y, x), counts²
        Σx².
    """

    count: int
    total: NDArray[np.uint64]
    squares: NDArray[np.uint64]

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> Sums:
        """Give the sums over no frames of (y, x) pixels."""
        return cls(0, np.full(shape, 0, np.uint64), np.full(shape, 0, np.uint64))

    def add(self, image: NDArray[np.uint16]) -> None:
        """Add a frame; in which order they come does not matter.

        Parameters
        ----------
        image : uint16 (y, x), C-contiguous, counts
            Read only.

        Raises
        ------
        ValueError
            If the array is not so.
        """
        _add(read_only_counts(image, self.total.shape), self.total, self.squares)
        self.count += 1


def moment_maps(sums: Sums, offset: float) -> MomentMaps:
    """Compute the moments from sums, each rounded once to float32.

    With q the whole number next to Σx / n and r = Σx - q·n, the variance is (Σx² - 2q·Σx + n·q²) / n - (r/n)². The
    bracket is Σ(x - q)², whole and exact in 64 bits even where its terms wrap; and as |r/n| ≤ ½ the difference cancels
    at most half of it.

    Parameters
    ----------
    sums : Sums
    offset : float, counts
        As for `moments_reference`.

    Returns
    -------
    MomentMaps
        float32; NaN throughout without frames.
    """
    maps = np.full((4, *sums.total.shape), np.nan, np.float32)
    if sums.count:
        _moments(sums.count, sums.total, sums.squares, float(offset), maps[0], maps[1], maps[2], maps[3])
    return MomentMaps(maps[0], maps[1], maps[2], maps[3])


class _Series:
    # Every plane (c, z) has sums of its own: others may have lost other frames.

    def __init__(self, shape: tuple[int, ...], offset: float) -> None:
        self._shape, self._offset = shape, offset
        self._sums = {at: Sums.empty((shape[2], shape[3])) for at in np.ndindex(shape[:2])}

    def take(self, t: int, images: NDArray[np.uint16], present: NDArray[np.bool_], out: Arrays) -> Mapping[str, Rows]:
        for at, sums in self._sums.items():
            if present[at]:
                sums.add(images[at])
        return {}

    def finish(self) -> Arrays:
        made = {f"moments/{name}": np.full(self._shape, np.nan, np.float32) for name in MomentMaps._fields}
        for at, sums in self._sums.items():
            for array, plane in zip(made.values(), moment_maps(sums, self._offset), strict=True):
                array[at] = plane
        return made


def _plan(parameters: Moments, setting: Setting) -> Planned:
    level = setting.level("moments.bin", parameters.bin)
    shape = level.shape[1:]
    products = [
        Product(f"moments/{name}", "czyx", shape, "float32", level.factor_yx, stage="run", meaning=meaning)
        for name, meaning in _MEANINGS.items()
    ]
    return Planned(
        products=tuple(products),
        series=partial(_Series, shape, setting.pedestal),
        level=level.path,
        # Two sums of 8 bytes a pixel, at the end four maps of 4, and those of one plane again.
        held_bytes=32 * int(np.prod(shape)) + 16 * shape[2] * shape[3],
    )


STEP: Final = Step("moments", "derived", "mean, variance, signal to noise, Fano factor over t", Moments, _plan)


@entry
def _add(image: Any, total: Any, squares: Any) -> None:
    for y in range(image.shape[0]):
        row, summed, squared = image[y], total[y], squares[y]
        for x in range(row.size):
            count = np.uint32(row[x])
            summed[x] += np.uint64(count)
            squared[x] += np.uint64(np.uint32(count * count))


@entry
def _moments(
    count: int, total: Any, squares: Any, offset: float, mean: Any, variance: Any, snr: Any, fano: Any
) -> None:
    n, share = np.uint64(count), np.float64(count)
    for y in range(total.shape[0]):
        for x in range(total.shape[1]):
            summed = total[y, x]
            near = (summed + n // np.uint64(2)) // n
            rest = np.float64(np.int64(summed) - np.int64(near * n)) / share
            about = squares[y, x] - np.uint64(2) * near * summed + n * near * near
            spread = np.float64(about) / share - rest * rest
            middle = np.float64(near) + rest
            signal = middle - offset
            mean[y, x] = np.float32(middle)
            variance[y, x] = np.float32(spread)
            snr[y, x] = np.float32(signal / np.sqrt(spread)) if spread > 0 else np.float32(np.nan)
            fano[y, x] = np.float32(spread / signal) if signal > 0 else np.float32(np.nan)
