"""Calibration maps from dark frames: offset, read-noise variance, and which pixels to list as hot.

With D the raw counts of n frames taken without light, for each pixel

    offset = mean D        variance = Σ (D - offset)² / (n - 1)

Both come from exact integer sums. The offset is the camera's bias, the variance its read noise (Huang et al. 2013,
Nature Methods 10, 653). A pixel is listed as hot where its noise is more than ``factor`` times the median pixel's:

    variance > factor² · max(median variance, 1/12)

1/12 is the variance of rounding to whole counts. What is compared is noise with noise because a listed pixel takes the
median of its neighbours: that is worth it where its own noise is larger than the neighbours' noise and what the image
changes between them. How much the pixels of a camera differ, which k·MAD measures, says nothing about either
(docs/decisions/0014-hot-pixels-from-dark-frames.md has the figures).

A pixel that never changes is stuck, dark or at full scale, and listed as well, where that cannot be chance: the median
variance is at least 1/4 and the frames are at least `FEW`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from ..stream.errors import RecipeError, SourceError
from .stack_sums import PLANES, StackSums

#: Listed is what has so many times the noise of the median pixel.
FACTOR: Final = 4.5
#: Of fewer frames the noise of a pixel is known to no better than 10 %, and stuck pixels are not looked for.
FEW: Final = 50
#: More pixels listed than this, percent, is worth a look.
MANY: Final = 2.0
#: Frames without light differ in their mean by less than this, in units of the read noise or of one count.
FRAMES_VARY: Final = 1.0
#: The offset of regions differs by less than this, in the same units.
REGIONS_VARY: Final = 3.0
_REGION: Final = 32
_ROUNDING: Final = 1 / 12
_FULL_SCALE: Final = tuple((1 << bits) - 1 for bits in range(8, 17))
_COVER: Final = "cover the camera, let it warm up, and take at least 100 frames without light"


@dataclass(frozen=True)
class DarkMaps:
    """What dark frames say of a camera.

    Attributes
    ----------
    frames : int
        How many there were.
    offset : float32 (y, x), counts
    variance : float32 (y, x), counts²
    noise : float, counts
        Read noise of the median pixel.
    limit : float, counts
        Pixels with more noise are listed.
    hot : int32 (n, 2)
        Listed pixels (y, x), sorted.
    stuck : int
        How many of them never change.
    """

    frames: int
    offset: NDArray[np.float32]
    variance: NDArray[np.float32]
    noise: float
    limit: float
    hot: NDArray[np.int32]
    stuck: int

    @property
    def percent(self) -> float:
        """Listed pixels, percent."""
        return 100 * len(self.hot) / self.offset.size

    @property
    def level(self) -> float:
        """Mean offset of the pixels that are not listed, counts."""
        kept = np.ones(self.offset.shape, bool)
        kept[tuple(self.hot.T)] = False
        return float(self.offset.mean(where=kept, dtype=np.float64)) if kept.any() else float("nan")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is usable but should be looked at, a line each with what to do."""
        said = []
        if self.frames < FEW:
            error = 100 / np.sqrt(2 * (self.frames - 1))
            said.append(f"{self.frames} frames tell the noise of a pixel to {error:.0f} % only: take 100 or more")
        if self.percent > MANY:
            said.append(
                f"more than {MANY:g} % of the pixels are listed: see that the camera was dark and as cold as in "
                "experiments, and shorten the exposure; or list fewer with a larger --factor"
            )
        if float(np.median(self.offset)) < 2 * self.noise:
            said.append(
                "the offset is so near 0 that noise is cut off there: raise the offset in the camera's settings"
            )
        return tuple(said)


class DarkFrames:
    """Sums over dark frames; memory does not grow with their number.

    Parameters
    ----------
    shape : tuple of int
        Frame (y, x), pixels.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._sums = StackSums(shape)
        self._darkest, self._brightest = np.inf, -np.inf

    def add(self, frame: NDArray[np.uint16]) -> None:
        """Add a frame.

        Parameters
        ----------
        frame : uint16 (y, x), C-contiguous, raw counts
            Read only.

        Raises
        ------
        SourceError
            If the frames would be more than the sums hold.
        """
        if self._sums.count == PLANES:
            raise SourceError(f"there are more than {PLANES} dark frames", "give fewer; 100 to 1000 are plenty")
        self._sums.add(frame[np.newaxis])
        mean = float(frame.mean())
        self._darkest, self._brightest = min(self._darkest, mean), max(self._brightest, mean)

    def maps(self, factor: float = FACTOR) -> DarkMaps:
        """Make the maps.

        Parameters
        ----------
        factor : float
            A pixel is listed where its noise is more than so many times that of the median pixel; 1 to 1000.

        Returns
        -------
        DarkMaps

        Raises
        ------
        SourceError
            If these are not dark frames of a working camera: one alone, all the same, saturated, or lit.
        RecipeError
            If the factor is outside its range.
        """
        if not 1 <= factor <= 1000:
            raise RecipeError(f"factor is {factor}", "it must be a number of times the median noise from 1 to 1000")
        count = self._sums.count
        if count < 2:
            raise SourceError("one frame has no noise to measure", "give a stack of dark frames, 100 or more")
        offset = self._sums.mean()
        variance = self._sums.deviation() ** 2 * (count / (count - 1))
        self._refuse(offset, variance)
        middle = float(np.median(variance))
        noise = float(np.sqrt(max(middle, _ROUNDING)))
        stuck = (variance == 0) & (count >= FEW and middle >= 0.25)
        hot = np.argwhere(stuck | (variance > (factor * noise) ** 2)).astype(np.int32)
        return DarkMaps(
            count,
            offset.astype(np.float32),
            variance.astype(np.float32),
            noise,
            factor * noise,
            hot,
            int(np.count_nonzero(stuck)),
        )

    def _refuse(self, offset: NDArray[np.float64], variance: NDArray[np.float64]) -> None:
        still = variance == 0
        top = float(offset.max())
        share = 100 * float((still & (offset == top)).mean())
        if top in _FULL_SCALE and share > 1:
            raise SourceError(f"{share:.0f} % of the pixels are saturated (at {top:g} counts in every frame)", _COVER)
        if still.all():
            raise SourceError("all frames are the same, so there is no noise to measure", "give the frames as taken")
        noise = _quiet(variance, self._sums.count)
        spread = self._brightest - self._darkest
        if spread > FRAMES_VARY * noise:
            what = f"the frames' means differ by {spread:.1f} counts, with a noise of {noise:.1f}: light came in"
            raise SourceError(what, _COVER)
        spread = _spread(offset)
        if spread > REGIONS_VARY * noise:
            what = f"the mean image varies by {spread:.1f} counts, with a noise of {noise:.1f}, like a lit scene"
            raise SourceError(what, _COVER)


def _quiet(variance: NDArray[Any], count: int) -> float:
    """Give the noise that the quieter pixels have, counts: of a lit scene they tell the camera's noise best.

    Of pixels that all have the same noise, the lowest tenth would show this share of it in so many frames. In fewer
    than ten frames, rounding leaves too many pixels without any: there it is the lower half. A count at least: how
    even an offset is has nothing to do with how little noise there is.
    """
    part = 0.1 if count >= 10 else 0.5
    share = chdtri(count - 1, 1 - part) / (count - 1)
    return max(1.0, float(np.sqrt(np.quantile(variance, part) / share)))


def _spread(offset: NDArray[Any]) -> float:
    """Give by how much regions differ; single pixels and columns may do so in any camera.

    Of each region the mean without the lowest and highest tenth counts: hot pixels do not move it, nor does a camera
    whose columns have two levels, between which a median would jump.
    """
    rows, columns = (np.array_split(np.arange(size), max(1, size // _REGION)) for size in offset.shape)
    regions = [_trimmed(offset[y[0] : y[-1] + 1, x[0] : x[-1] + 1]) for y in rows for x in columns]
    low, high = np.percentile(regions, [2, 98])
    return float(high - low)


def _trimmed(values: NDArray[Any]) -> float:
    ranked = np.sort(values, axis=None)
    out = ranked.size // 10
    return float(ranked[out : ranked.size - out].mean())
