"""Candidates of events: cells that became brighter than ``lag`` frames before, the highest of their neighbourhood.

What a frame n needs from the frames before it is one smoothed image, that of frame n - lag. It need not be at hand
while a block is reduced: a block compares those of its frames whose partner it has, and gives a part: its candidates,
and the smoothed images of its first and last ``lag`` frames. Parts of neighbouring blocks merge (`EventPart.merge`,
associative) and compare across the border then; an image that was not kept comes back from the stored level 0, bit for
bit, by `EventFinder.smooth`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from .cells import cells_shape, mean_cells, mean_cells_reference
from .compiled import entry, piece
from .events import ROW, Events
from .gaussian import half_kernel, smooth, smooth_reference


def smoothed_reference(image: NDArray[np.uint16], parameters: Events) -> NDArray[np.float64]:
    """Average an image over cells and smooth it.

    Parameters
    ----------
    image : uint16 (y, x)
        Raw counts, or a calibrated image with its pedestal.
    parameters : Events

    Returns
    -------
    float64 (y', x')
    """
    return smooth_reference(mean_cells_reference(image, parameters.bin), parameters.sigma / parameters.bin)


def change_reference(now: NDArray[Any], before: NDArray[Any], parameters: Events) -> NDArray[np.float64]:
    """Give the relative change r = (now - before) / max(before - background, floor) of two smoothed images."""
    before = before.astype(np.float64)
    return (now.astype(np.float64) - before) / np.maximum(before - parameters.background, parameters.floor)


def candidates_reference(change: NDArray[Any], parameters: Events) -> NDArray[np.int64]:
    """Find the cells above the threshold that are highest within ± ``reach`` cells.

    Of equal ones the first in reading order counts as the highest.

    Parameters
    ----------
    change : float (y', x')
    parameters : Events

    Returns
    -------
    int64 (n, 2)
        (y, x) in cells, in reading order.
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


def events_reference(
    frames: Mapping[int, NDArray[np.uint16]], sensor: tuple[int, int], scale: int, parameters: Events
) -> NDArray[Any]:
    """Find the candidates of a whole run in float64.

    Parameters
    ----------
    frames : mapping of uint16 (y, x)
        Images by frame number; lost ones are not there.
    sensor : tuple of int
        Raw frame (y, x), pixels.
    scale : int
        Raw pixels that a pixel of the images is long.
    parameters : Events

    Returns
    -------
    array of `ROW`, by frame, then in reading order
    """
    smoothed = {number: smoothed_reference(image, parameters) for number, image in frames.items()}
    rows = []
    for number in sorted(smoothed):
        if number - parameters.lag in smoothed:
            change = change_reference(smoothed[number], smoothed[number - parameters.lag], parameters)
            places = candidates_reference(change, parameters)
            at = to_sensor(places, sensor, scale * parameters.bin)
            rows += [(number, *at[i], change[tuple(place)]) for i, place in enumerate(places)]
    return np.array(rows, ROW)


def to_sensor(places: NDArray[np.integer], sensor: tuple[int, int], side: int) -> NDArray[np.float32]:
    """Give the middles of cells in raw sensor coordinates.

    Parameters
    ----------
    places : int (n, 2)
        (y, x) in cells.
    sensor : tuple of int
        Raw frame (y, x), pixels: a cell at the edge has only the pixels that are there.
    side : int
        Raw pixels that a cell is long.

    Returns
    -------
    float32 (n, 2), pixels
        0 is the middle of the first pixel.
    """
    first = places.astype(np.int64) * side
    return ((first + np.minimum(first + side, sensor) - 1) / 2).astype(np.float32)


@dataclass(frozen=True)
class EventPart:
    """What is known about a range of frames; neighbouring parts merge.

    Attributes
    ----------
    frames : range
        Frame numbers, lost ones included.
    candidates : array of `ROW`
        Of all pairs of frames with both inside, by frame, then in reading order.
    edges : mapping of float32 (y', x')
        Smoothed images, by frame number, of the first and the last ``lag`` frames: at most 2 · ``lag``.
    """

    frames: range
    candidates: NDArray[Any] = field(default_factory=lambda: np.empty(0, ROW))
    edges: Mapping[int, NDArray[np.float32]] = field(default_factory=dict)

    def merge(self, later: Self, finder: EventFinder) -> EventPart:
        """Join with the part that follows; associative, bit for bit what one part over all frames would be.

        Parameters
        ----------
        later : EventPart
            Begins where this ends.
        finder : EventFinder
            With the parameters of both.

        Returns
        -------
        EventPart

        Raises
        ------
        ValueError
            If the other part does not follow.
        """
        if self.frames.stop != later.frames.start:
            raise ValueError(f"frames from {later.frames.start} do not follow those up to {self.frames.stop - 1}")
        lag = finder.parameters.lag
        pairs = [n for n in later.edges if n - lag in self.edges]
        across = [finder.compare(n, later.edges[n], self.edges[n - lag]) for n in pairs]
        frames = range(self.frames.start, later.frames.stop)
        edges = {**self.edges, **later.edges}
        return EventPart(
            frames,
            _in_order([self.candidates, later.candidates, *across]),
            {n: edges[n] for n in sorted(edges) if n < frames.start + lag or n >= frames.stop - lag},
        )


def _in_order(tables: list[NDArray[Any]]) -> NDArray[Any]:
    whole = np.concatenate([np.empty(0, ROW), *tables])
    return whole[np.argsort(whole["frame"], kind="stable")]


class EventFinder:
    """Finds the candidates of one block after another, in buffers that are used again. Not for several threads at once.

    Parameters
    ----------
    parameters : Events
    sensor : tuple of int
        Raw frame (y, x), pixels.
    scale : int
        Raw pixels that a pixel of the images is long: 1 for raw frames, the binning for level 0.
    """

    def __init__(self, parameters: Events, sensor: tuple[int, int], scale: int = 1) -> None:
        self.parameters = parameters
        self._sensor, self._scale = sensor, scale
        self._shape = cells_shape(sensor, scale)
        shape = cells_shape(self._shape, parameters.bin)
        self._weights = half_kernel(parameters.sigma / parameters.bin)
        self._cells, self._change = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        # Candidates are more than the reach apart, so there cannot be more.
        most = -(-shape[0] // (parameters.reach + 1)) * -(-shape[1] // (parameters.reach + 1))
        self._found = np.zeros((most, 2), np.int32)
        self._spare: list[NDArray[np.float32]] = []
        self._held: dict[int, NDArray[np.float32]] = {}
        self._tables: list[NDArray[Any]] = []
        self._frames = range(0)

    def begin(self, frames: range) -> None:
        """Start a block; what the last one left is forgotten.

        Parameters
        ----------
        frames : range
            Its frame numbers.
        """
        self._frames = frames
        self._spare += self._held.values()
        self._held.clear()
        self._tables.clear()

    def add(self, number: int, image: NDArray[np.uint16]) -> None:
        """Take one frame of the block, in any order, each once.

        Parameters
        ----------
        number : int
            Frame number in the run.
        image : uint16 (y, x), C-contiguous
            Read only.

        Raises
        ------
        ValueError
            If the frame is not of this block, or came before, or the image has another shape or type.
        """
        if number not in self._frames or number in self._held:
            raise ValueError(f"frame {number} is not of the block that was begun, or came before")
        smoothed = self._spare.pop() if self._spare else self._blank()
        self.smooth(image, smoothed)
        self._held[number] = smoothed
        lag = self.parameters.lag
        for now in (number, number + lag):
            if now in self._held and now - lag in self._held:
                self._tables.append(self.compare(now, self._held[now], self._held[now - lag]))

    def finish(self) -> EventPart:
        """Complete the block; frames that never came have no candidates.

        Returns
        -------
        EventPart
            Its images are copies.
        """
        lag = self.parameters.lag
        first, last = self._frames.start + lag, self._frames.stop - lag
        edges = {n: self._kept(self._held[n]) for n in sorted(self._held) if n < first or n >= last}
        return EventPart(self._frames, _in_order(self._tables), edges)

    def smooth(self, image: NDArray[np.uint16], out: NDArray[np.float32]) -> None:
        """Average over cells and smooth, as `smoothed_reference`.

        Parameters
        ----------
        image : uint16 (y, x), C-contiguous
        out : float32 (y', x')
            Result.

        Raises
        ------
        ValueError
            If the image has another shape or type.
        """
        if image.dtype != np.uint16 or image.shape != self._shape or not image.flags.c_contiguous:
            raise ValueError(f"the image is {image.dtype} {image.shape}, not C-contiguous uint16 {self._shape}")
        view = image.view()
        view.flags.writeable = False
        mean_cells(view, self.parameters.bin, self._cells)
        smooth(self._cells, self._weights, out)

    def compare(self, number: int, now: NDArray[np.float32], before: NDArray[np.float32]) -> NDArray[Any]:
        """Find the candidates of a frame, as `candidates_reference` of `change_reference`.

        Parameters
        ----------
        number : int
            Frame number.
        now, before : float32 (y', x')
            Its smoothed image, and that of ``lag`` frames before.

        Returns
        -------
        array of `ROW`, in reading order
        """
        known = self.parameters
        rows = np.int64(_change(now, before, known.background, known.floor, known.threshold, self._change))
        found = self._found[: _find(self._change, known.threshold, known.reach, self._found) if rows else 0]
        return self._table(number, found, self._change[found[:, 0], found[:, 1]])

    def _table(self, number: int, found: NDArray[np.int32], scores: NDArray[np.float32]) -> NDArray[Any]:
        table = np.empty(len(found), ROW)
        table["frame"] = number
        table["y"], table["x"] = to_sensor(found, self._sensor, self._scale * self.parameters.bin).T
        table["score"] = scores
        return table

    # Where smoothed images are held, and what a part has of them: copies.
    def _blank(self) -> Any:
        return np.zeros(self._cells.shape, np.float32)

    def _kept(self, image: Any) -> NDArray[np.float32]:
        return image.copy()


@entry
def _change(now: Any, before: Any, background: float, floor: float, threshold: float, out: Any) -> Any:
    # Gives how many cells are above the threshold.
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
            # The nearest neighbours rule nearly every cell out.
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
