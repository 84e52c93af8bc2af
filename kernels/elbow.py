"""Hot pixels: Keller's elbow test on a stack.

The elbow test (clusterPT of the Keller-lab chain) looks for pixels that vary along z otherwise than their neighbours,
or are brighter or darker than them. With D the standard deviation over z, A the mean over z minus the background, and
med the median over 3 × 3 pixels:

    d1 = |D - med D|        d2 = |(A - med A) / med A|        hot where d1 > elbow(d1) or d2 > elbow(d2)

The whole difference is divided: |A - med A / med A|, as some versions have it, is nearly A itself and lists what is
bright. Where sources disagree: the border of the median repeats the edge pixels; D is that of all planes, not of a
sample (a factor, which no elbow sees); a median A between -1 and 1 counts as 1.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from .compiled import entry, piece
from .stack_sums import StackSums

#: Most values of a sorted curve that are looked at.
SAMPLES: Final = 50_000


class Outliers(NamedTuple):
    """What the elbow test found.

    Attributes
    ----------
    mask : bool (y, x)
        Hot pixels.
    deviation : float64 (y, x), counts
        d1.
    brightness : float64 (y, x)
        d2.
    deviation_limit : float, counts
        elbow(d1).
    brightness_limit : float
        elbow(d2).
    """

    mask: NDArray[np.bool_]
    deviation: NDArray[np.float64]
    brightness: NDArray[np.float64]
    deviation_limit: float
    brightness_limit: float


def elbow_of(values: NDArray[np.float64]) -> float:
    """Find the elbow of a sorted curve: the value that is farthest from the chord between the ends.

    The distance along the value axis and the one at right angles to the chord are farthest at the same place. Of more
    than `SAMPLES` values, that many evenly spaced ranks are taken, both ends among them.

    Parameters
    ----------
    values : float64, any shape, at least one, finite

    Returns
    -------
    float
        One of the values; of equally far ones the smallest.
    """
    ranked = np.sort(values, axis=None)
    if ranked.size > SAMPLES:
        ranked = ranked[np.arange(SAMPLES) * (ranked.size - 1) // (SAMPLES - 1)]
    chord = np.linspace(ranked[0], ranked[-1], ranked.size)
    return float(ranked[abs(ranked - chord).argmax()])


def elbow_reference(stack: NDArray[np.uint16], background: float) -> Outliers:
    """Test a stack with NumPy and SciPy.

    Parameters
    ----------
    stack : uint16 (z, y, x), raw counts
        At most `PLANES` of `stack_sums`.
    background : float, counts
        What the camera adds.

    Returns
    -------
    Outliers
    """
    wide, count = stack.astype(np.uint64), np.uint64(len(stack))
    sums, squares = wide.sum(axis=0), (wide * wide).sum(axis=0)
    deviation = np.sqrt((count * squares - sums * sums).astype(np.float64)) / float(count)
    brightness = sums / float(count) - background
    around, near = (median_filter(image, 3, mode="nearest") for image in (deviation, brightness))
    return _outliers(abs(deviation - around), abs((brightness - near) / np.maximum(abs(near), 1)))


def _outliers(deviation: NDArray[np.float64], brightness: NDArray[np.float64]) -> Outliers:
    limits = elbow_of(deviation), elbow_of(brightness)
    return Outliers((deviation > limits[0]) | (brightness > limits[1]), deviation, brightness, *limits)


def find_outliers(sums: StackSums, background: float) -> Outliers:
    """Test a stack, as `elbow_reference`, bit for bit.

    Parameters
    ----------
    sums : StackSums
        Over its planes.
    background : float, counts
        What the camera adds.

    Returns
    -------
    Outliers

    Raises
    ------
    ValueError
        If there is no plane.
    """
    if not sums.count:
        raise ValueError("a stack without planes cannot be tested")
    deviation, brightness = sums.deviation(), sums.mean() - background
    _depart(deviation, False)
    _depart(brightness, True)
    return _outliers(deviation, brightness)


@entry
def _depart(image: Any, relative: bool) -> None:
    # Puts the distance of every pixel from the median of its 3 × 3 neighbourhood in its place; edge pixels repeat.
    height, width = image.shape
    rows = np.empty((3, width + 2))
    sorted_ = np.empty((3, width + 2))
    _load(image[0], rows[0])
    _load(image[0], rows[1])
    for y in range(height):
        _load(image[min(y + 1, height - 1)], rows[(y + 2) % 3])
        _sort_columns(rows[0], rows[1], rows[2], sorted_)
        _replace(sorted_[0], sorted_[1], sorted_[2], relative, image[y])


@piece
def _load(line: Any, row: Any) -> None:
    row[1 : line.size + 1] = line
    row[0], row[line.size + 1] = line[0], line[line.size - 1]


@piece
def _sort_columns(a: Any, b: Any, c: Any, out: Any) -> None:
    low, middle, high = out[0], out[1], out[2]
    for x in range(a.size):
        least, most = min(a[x], b[x]), max(a[x], b[x])
        low[x], high[x] = min(least, c[x]), max(most, c[x])
        middle[x] = max(least, min(most, c[x]))


@piece
def _replace(low: Any, middle: Any, high: Any, relative: bool, line: Any) -> None:
    # The median of nine: the median of the largest low, the median middle and the smallest high of three columns.
    for x in range(line.size):
        bottom = max(max(low[x], low[x + 1]), low[x + 2])
        top = min(min(high[x], high[x + 1]), high[x + 2])
        a, b, c = middle[x], middle[x + 1], middle[x + 2]
        centre = max(min(a, b), min(max(a, b), c))
        median = max(min(bottom, top), min(max(bottom, top), centre))
        line[x] = abs((line[x] - median) / max(abs(median), 1.0)) if relative else abs(line[x] - median)
