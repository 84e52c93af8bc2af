"""The step events: what became brighter in a run, plane by plane, and lasted."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..stream.tables import Column, Rows, Table, rows_of
from .candidates import EventFinder, compare_reference
from .events import Events, EventTracks
from .step import Arrays, Planned, Setting, Step

TABLE: Final = Table(
    "events",
    (
        # An event is known when it is confirmed: rows that are in the order of `frame` are never put in between.
        Column("frame", "int64", "", "number of the frame that confirmed the event"),
        Column("first", "int64", "", "number of the frame in which it was first seen"),
        Column("c", "int32", "", "channel"),
        Column("z", "int32", "", "plane"),
        Column("y", "float32", "raw pixel", "row on the sensor, 0 is the middle of the first pixel"),
        Column("x", "float32", "raw pixel", "column on the sensor"),
        Column("score", "float32", "", "largest relative change until it was confirmed, 0.2 is 20 % brighter"),
    ),
    "places that became brighter for some time points, each once; where drift was corrected, as the field lay first",
)


def event_series_reference(
    images: NDArray[np.uint16],
    present: NDArray[np.bool_],
    sensor: tuple[int, int],
    parameters: Events,
    background: float,
) -> list[tuple[int, int, int, int, float, float, float]]:
    """Find the events of a whole run, with candidates in float64.

    Parameters
    ----------
    images : uint16 (t, c, z, y, x), counts
    present : bool (t, c, z)
    sensor : tuple of int
        Raw frame (y, x), pixels.
    parameters : Events
    background : float, counts

    Returns
    -------
    list of tuple
        Rows of the table, in its order.
    """
    _, channels, planes = present.shape
    rows = []
    for c, z in np.ndindex(channels, planes):
        tracks = EventTracks(parameters)
        for t in np.flatnonzero(present[:, c, z]).tolist():
            before = t - parameters.lag
            if before >= 0 and present[before, c, z]:
                pair = images[t, c, z], images[before, c, z]
                found = compare_reference(*pair, sensor, parameters, background)
                for first, *event in tracks.take(t, found).tolist():
                    numbers = [(at * channels + c) * planes + z for at in (t, first)]
                    rows.append((*numbers, c, z, *event))
    return sorted(rows, key=lambda row: row[0])


class _Series:
    def __init__(self, parameters: Events, sensor: tuple[int, int], background: float, shape: tuple[int, ...]) -> None:
        self._lag = parameters.lag
        self._finder = EventFinder(parameters, sensor, background)
        # The smoothed images of the time points that are still needed, and which those are.
        self._smoothed = np.full((self._lag + 1, *shape), 0, np.float32)
        self._times = np.full((self._lag + 1, *shape[:2]), -1, np.int64)
        self._tracks = {at: EventTracks(parameters) for at in np.ndindex(shape[:2])}

    def take(self, t: int, images: NDArray[np.uint16], present: NDArray[np.bool_], out: Arrays) -> Mapping[str, Rows]:
        now, before = t % (self._lag + 1), (t + 1) % (self._lag + 1)
        channels, planes = present.shape
        rows: list[tuple[Any, ...]] = []
        for (c, z), tracks in self._tracks.items():
            if not present[c, z]:
                continue
            self._finder.smooth(images[c, z], self._smoothed[now, c, z])
            self._times[now, c, z] = t
            # A frame that was lost left an older one in its place.
            if self._times[before, c, z] == t - self._lag >= 0:
                found = self._finder.compare(self._smoothed[now, c, z], self._smoothed[before, c, z])
                for first, *event in tracks.take(t, found).tolist() if found.size else ():
                    numbers = [(at * channels + c) * planes + z for at in (t, first)]
                    rows.append((*numbers, c, z, *event))
        return {"events": rows_of(TABLE, rows)}

    def finish(self) -> Arrays:
        return {}


def _plan(parameters: Events, setting: Setting) -> Planned:
    level = setting.level("events.bin", parameters.bin)
    shape = level.shape[1:]
    return Planned(
        tables=(TABLE,),
        series=partial(_Series, parameters, setting.plan.frame_shape, setting.pedestal, shape),
        level=level.path,
        held_bytes=4 * (parameters.lag + 1) * int(np.prod(shape)) + 4 * shape[2] * shape[3],
        # An image has at most ``most`` candidates; each is of one event, and an event takes ``needed`` of them.
        rows_per_image=-(-parameters.most // parameters.needed),
    )


STEP: Final = Step("events", "derived", "places that became brighter for some time points, as a table", Events, _plan)
