"""Baseline and ΔF/F: a sliding percentile of each pixel over time, and the change relative to it.

Keller's functional chain takes the percentile 25 (one photon) or 10 (two photons) over 70 time points. The window here
ends at the point it is for, so that the result is there while the recording runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .compiled import entry, piece
from .counts import read_only_counts
from .kinds import LEVEL_SIDE, Number, Whole
from .parameters import Parameters, declared


@dataclass(frozen=True)
class Baseline(Parameters):
    """Sliding percentile of each pixel over time, and the change relative to it."""

    step_name: ClassVar[str] = "baseline"
    bin: int = declared(4, LEVEL_SIDE, "side of a pixel of the level that is looked at")
    percentile: float = declared(25, Number("percent", 0, 100), "of the window; 10 where pixels hold few photons")
    window: int = declared(70, Whole("points", 1, 1000), "points that a baseline is made of; at first those there are")
    # A point costs as much as 50 images of ΔF/F, and a window over seconds needs no more than tens of points.
    every: int = declared(
        1, Whole("time points", 1, 10000), "one point of the window each so many; 10 or more suits planes at 100 Hz"
    )
    floor: float = declared(
        1, Number("counts", 1e-3, 65535), "least F0 above the pedestal that is divided by, so that ΔF/F stays finite"
    )


def baseline_reference(points: NDArray[np.uint16], parameters: Baseline) -> NDArray[np.float32]:
    """Take the percentile of each pixel over the last ``window`` points, as NumPy defines it (linear between ranks).

    Parameters
    ----------
    points : uint16 (t, y, x), counts
        Binned images, one every ``every`` images.
    parameters : Baseline

    Returns
    -------
    float32 (t, y, x), counts
        F0: the float64 percentile, rounded once.
    """
    out = np.empty(points.shape, np.float32)
    for t in range(len(points)):
        window = points[max(t - parameters.window + 1, 0) : t + 1].astype(np.float64)
        out[t] = np.percentile(window, parameters.percentile, axis=0)
    return out


def relative_change_reference(
    image: NDArray[Any], baseline: NDArray[Any], background: float, floor: float
) -> NDArray[np.float64]:
    """Give ΔF/F = (F - F0) / max(F0 - background, floor).

    Parameters
    ----------
    image : uint16 or float (..., y, x), counts
        F.
    baseline : float (..., y, x), counts
        F0.
    background : float, counts
        What a pixel has where there is no light.
    floor : float, counts
        Least difference that is divided by.

    Returns
    -------
    float64 (..., y, x)
        0.2 is 20 % above the baseline; always finite.
    """
    before = baseline.astype(np.float64)
    return (image - before) / np.maximum(before - background, floor)


class SlidingBaseline:
    """The baseline of one series of images, in buffers that are used again. Not for several threads at once.

    Parameters
    ----------
    parameters : Baseline
    shape : tuple of int
        Image (y, x), pixels.

    Attributes
    ----------
    points : int
        How many it has taken.
    baseline : float32 (y, x), counts
        F0 after the last point; 0 before the first.
    """

    def __init__(self, parameters: Baseline, shape: tuple[int, int]) -> None:
        self.points = 0
        self.baseline = np.full(shape, 0, np.float32)
        self._percentile, self._window = parameters.percentile, parameters.window
        # All points of one row lie together, so that a scan over the window reads memory in order.
        self._ring = np.full((shape[0], parameters.window, shape[1]), 0, np.uint16)
        self._lower = np.full(shape, 0, np.uint16)
        self._scratch = np.full((5, shape[1]), 0, np.uint16)

    def add(self, image: NDArray[np.uint16]) -> None:
        """Take the next point.

        Parameters
        ----------
        image : uint16 (y, x), counts
            Read only.

        Raises
        ------
        ValueError
            If the image has another shape or type.
        """
        if image.dtype != np.uint16 or image.shape != self.baseline.shape:
            raise ValueError(f"the image is {image.dtype} {image.shape}, not uint16 {self.baseline.shape}")
        at = self.points % self._window
        self.points += 1
        count = min(self.points, self._window)
        # As NumPy does, so that the sums and products are the same.
        place = self._percentile / 100 * (count - 1)
        rank = min(math.floor(place), count - 1)
        self._ring[:, at] = image
        _advance(self._ring, count, rank, place - rank, self._lower, self._scratch, self.baseline)


def relative_change(
    image: NDArray[np.uint16],
    baseline: NDArray[np.float32],
    background: float,
    floor: float,
    out: NDArray[np.float32],
) -> None:
    """Give ΔF/F, as `relative_change_reference`.

    Parameters
    ----------
    image : uint16 (y, x), C-contiguous, counts
        Read only.
    baseline : float32 (y, x), counts
    background, floor : float, counts
        As for the reference.
    out : float32 (y, x)
        Result.

    Raises
    ------
    ValueError
        If the image has another shape or type.
    """
    _relative_change(read_only_counts(image, out.shape), baseline, background, floor, out)


@entry
def _advance(ring: Any, count: int, rank: int, share: float, lower: Any, scratch: Any, out: Any) -> None:
    # One point came and at most one went, so the value of a rank is what it was before, or the next one below or above
    # in the new window. A scan over the window tells which, many pixels at a time. With one point any pivot will do.
    below, same, under, over, second = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    for y in range(out.shape[0]):
        pivot, window, line = lower[y], ring[y], out[y]
        for x in range(pivot.size):
            below[x], same[x], under[x], over[x], second[x] = 0, 0, 0, 65535, 65535
        for i in range(count):
            _count(window[i], pivot, below, same, under, over, second)
        for x in range(pivot.size):
            less, upto = np.int32(below[x]), np.int32(below[x]) + np.int32(same[x])
            low, high = over[x], second[x]
            if rank < less:
                low = under[x]
                high = pivot[x] if upto > less else over[x]
            elif rank < upto:
                low = pivot[x]
                high = pivot[x] if rank + 1 < upto else over[x]
            pivot[x] = low
            line[x] = _between(np.float64(low), np.float64(high), share) if share > 0 else np.float32(low)


@piece
def _count(values: Any, pivot: Any, below: Any, same: Any, under: Any, over: Any, second: Any) -> None:
    # How many values are below the pivot, how many equal it, the highest below it, the two lowest above it.
    for x in range(pivot.size):
        value, middle = values[x], pivot[x]
        below[x] = np.uint16(below[x] + np.uint16(value < middle))
        same[x] = np.uint16(same[x] + np.uint16(value == middle))
        under[x] = max(under[x], value if value < middle else np.uint16(0))
        above = value if value > middle else np.uint16(65535)
        second[x] = min(second[x], max(over[x], above))
        over[x] = min(over[x], above)


@piece
def _between(low: float, high: float, share: float) -> Any:
    # From the nearer end, as NumPy does, so that both ends are met exactly.
    step = high - low
    return np.float32(high - step * (1 - share) if share >= 0.5 else low + step * share)


@entry
def _relative_change(image: Any, baseline: Any, background: float, floor: float, out: Any) -> None:
    for y in range(out.shape[0]):
        row, before, line = image[y], baseline[y], out[y]
        for x in range(line.size):
            ground = np.float64(before[x])
            line[x] = np.float32((np.float64(row[x]) - ground) / max(ground - background, floor))
