"""Candidates of events: pixels that became brighter than some time before, the highest of their neighbourhood."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from .baseline import relative_change_reference
from .compiled import entry, piece
from .counts import read_only_counts
from .events import CANDIDATE, Events
from .gaussian import half_kernel, smooth, smooth_reference


def candidates_reference(change: NDArray[Any], parameters: Events) -> NDArray[np.int64]:
    """Find the pixels above the threshold that are highest within ± ``reach`` pixels.

    Of equal ones the first in reading order counts as the highest.

    Parameters
    ----------
    change : float (y, x)
    parameters : Events

    Returns
    -------
    int64 (n, 2)
        (y, x), in reading order.
    """
    reach = parameters.reach
    highest = maximum_filter(change, 2 * reach + 1, mode="nearest")
    found = []
    for y, x in np.argwhere((change > parameters.threshold) & (change == highest)).tolist():
        top, left = max(y - reach, 0), max(x - reach, 0)
        window = change[top : y + reach + 1, left : x + reach + 1]
        first = np.unravel_index(np.argmax(window), window.shape)
        if (top + first[0], left + first[1]) == (y, x):
            found.append((y, x))
    return np.array(found, np.int64).reshape(-1, 2)


def compare_reference(
    now: NDArray[np.uint16],
    before: NDArray[np.uint16],
    sensor: tuple[int, int],
    parameters: Events,
    background: float,
) -> NDArray[Any]:
    """Find the candidates of an image against one before it in float64.

    Parameters
    ----------
    now, before : uint16 (y, x), counts
    sensor : tuple of int
        Raw frame (y, x), pixels.
    parameters : Events
    background : float, counts
        What a pixel has where there is no light.

    Returns
    -------
    array of `CANDIDATE`, in reading order
    """
    sigma = parameters.sigma / parameters.bin
    smoothed, earlier = (smooth_reference(image.astype(np.float64), sigma) for image in (now, before))
    change = relative_change_reference(smoothed, earlier, background, parameters.floor)
    places = candidates_reference(change, parameters)
    at = to_sensor(places, sensor, parameters.bin)
    return np.array([(y, x, change[tuple(place)]) for (y, x), place in zip(at, places, strict=True)], CANDIDATE)


def to_sensor(places: NDArray[np.integer], sensor: tuple[int, int], side: int) -> NDArray[np.float32]:
    """Give the middles of pixels of a level in raw sensor coordinates.

    Parameters
    ----------
    places : int (n, 2)
        (y, x) in pixels of the level.
    sensor : tuple of int
        Raw frame (y, x), pixels: what is at the edge has only the raw pixels that are there.
    side : int
        Raw pixels that a pixel is long.

    Returns
    -------
    float32 (n, 2), raw pixels
        0 is the middle of the first one.
    """
    first = places.astype(np.int64) * side
    return ((first + np.minimum(first + side, sensor) - 1) / 2).astype(np.float32)


class EventFinder:
    """Finds candidates, in buffers that are used again. Not for several threads at once.

    Parameters
    ----------
    parameters : Events
    sensor : tuple of int
        Raw frame (y, x), pixels.
    background : float, counts
        What a pixel has where there is no light.
    """

    def __init__(self, parameters: Events, sensor: tuple[int, int], background: float) -> None:
        self._parameters, self._sensor, self._background = parameters, sensor, float(background)
        self._weights = half_kernel(parameters.sigma / parameters.bin)
        y, x = (-(-size // parameters.bin) for size in sensor)
        self._change = np.full((y, x), 0, np.float32)
        # Candidates are more than the reach apart, so there cannot be more.
        most = -(-y // (parameters.reach + 1)) * -(-x // (parameters.reach + 1))
        self._found = np.full((most, 2), 0, np.int32)

    def smooth(self, image: NDArray[np.uint16], out: NDArray[np.float32]) -> None:
        """Smooth an image, as `smooth_reference`.

        Parameters
        ----------
        image : uint16 (y, x), C-contiguous, counts
            Of the level; read only.
        out : float32 (y, x)
            Result.

        Raises
        ------
        ValueError
            If the image has another shape or type.
        """
        smooth(read_only_counts(image, self._change.shape), self._weights, out)

    def compare(self, now: NDArray[np.float32], before: NDArray[np.float32]) -> NDArray[Any]:
        """Find the candidates of an image, as `candidates_reference` of `relative_change_reference`.

        Parameters
        ----------
        now, before : float32 (y, x)
            The image, smoothed, and the one it is compared with.

        Returns
        -------
        array of `CANDIDATE`, in reading order
        """
        known, threshold = self._parameters, float(self._parameters.threshold)
        above = _change(now, before, self._background, float(known.floor), threshold, self._change)
        found = self._found[: _find(self._change, threshold, known.reach, self._found) if above else 0]
        return self._table(found, self._change[found[:, 0], found[:, 1]])

    def _table(self, found: NDArray[np.int32], scores: NDArray[np.float32]) -> NDArray[Any]:
        table = np.empty(len(found), CANDIDATE)
        table["y"], table["x"] = to_sensor(found, self._sensor, self._parameters.bin).T
        table["score"] = scores
        return table


@entry
def _change(now: Any, before: Any, background: float, floor: float, threshold: float, out: Any) -> Any:
    # Gives how many pixels are above the threshold.
    above = np.int64(0)
    dark, least, limit = np.float32(background), np.float32(floor), np.float32(threshold)
    for y in range(out.shape[0]):
        a, b, change = now[y], before[y], out[y]
        high = np.int32(0)
        for x in range(change.size):
            value = (a[x] - b[x]) / max(b[x] - dark, least)
            change[x] = value
            high += np.int32(value > limit)
        above += high
    return above


@entry
def _find(change: Any, threshold: float, reach: int, found: Any) -> Any:
    limit = np.float32(threshold)
    count = 0
    for y in range(change.shape[0]):
        row = change[y]
        for x in range(row.size):
            # The nearest neighbours rule nearly every pixel out.
            if row[x] > limit and _is_highest(change, y, x, 1) and _is_highest(change, y, x, reach):
                found[count, 0], found[count, 1] = y, x
                count += 1
    return count


@piece
def _is_highest(change: Any, y: int, x: int, reach: int) -> Any:
    value = change[y, x]
    for i in range(max(y - reach, 0), min(y + reach + 1, change.shape[0])):
        for j in range(max(x - reach, 0), min(x + reach + 1, change.shape[1])):
            other = change[i, j]
            if other > value or (other == value and (i < y or (i == y and j < x))):
                return False
    return True
