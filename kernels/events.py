"""Events: places that became brighter, by a relative change that lasts: candidates seen in N of M frames.

What a frame needs from the frames before it, and how a block gets it, is said in `candidates`. Whether a candidate
lasts is decided afterwards, from the table of candidates of the run alone; so no result depends on which worker had
which block.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..stream.errors import RecipeError
from ..stream.tables import Column
from .cells import check_side
from .limits import check_number, check_whole

#: What the table of a run holds, one row an event. Candidates have the same columns, one row for each of their frames.
COLUMNS: Final = (
    Column("frame", "int64", "", "number of the frame in which the event was first seen"),
    Column("y", "float32", "pixel", "row on the sensor, 0 is the middle of the first pixel"),
    Column("x", "float32", "pixel", "column on the sensor"),
    Column("score", "float32", "", "largest relative change until the event was confirmed, 0.2 is 20 % brighter"),
)
#: One row of the table.
ROW: Final = np.dtype([(column.name, column.dtype) for column in COLUMNS])


@dataclass(frozen=True)
class Events:
    """Parameters of the search for events; lengths are in pixels of the images that are searched.

    Attributes
    ----------
    bin : int, pixels
        Side of the cells that are averaged first: 1, 2 (default), 4, 8 or 16.
    sigma : float, pixels
        Standard deviation of the Gaussian that smooths, from 0 to 64, default 2.
    lag : int, frames
        How far back the image lies that a frame is compared with, from 1 to 100, default 3.
    threshold : float
        Relative change above which a place is a candidate, from 0.001 to 1000, default 0.17.
    background : float, counts
        What the image has where there is no light, from 0 to 65535, default 100.
    floor : float, counts
        Least brightness above the background that is divided by, so that noise in the dark is no event; from 0.001 to
        65535, default 10.
    distance : float, pixels
        Candidates of one frame are farther apart than this along y or x, the higher one wins; from 1 to 4096,
        default 30. Candidates of different frames within half of it are the same event.
    needed, among : int, frames
        An event has a candidate in at least N = ``needed`` (default 2) of M = ``among`` (default 3) consecutive
        frames. A step in brightness is seen for ``lag`` frames, so 1 ≤ N ≤ M and N ≤ ``lag``; M up to 100.

    Raises
    ------
    RecipeError
        If a value is outside its range.
    """

    bin: int = 2
    sigma: float = 2.0
    lag: int = 3
    threshold: float = 0.17
    background: float = 100.0
    floor: float = 10.0
    distance: float = 30.0
    needed: int = 2
    among: int = 3

    def __post_init__(self) -> None:
        check_side("events.bin", self.bin)
        check_number("events.sigma", self.sigma, "pixels", 0, 64)
        check_whole("events.lag", self.lag, "frames", 1, 100)
        check_number("events.threshold", self.threshold, "relative change", 1e-3, 1e3)
        check_number("events.background", self.background, "counts", 0, 65535)
        check_number("events.floor", self.floor, "counts", 1e-3, 65535)
        check_number("events.distance", self.distance, "pixels", 1, 4096)
        check_whole("events.among", self.among, "frames", 1, 100)
        check_whole("events.needed", self.needed, "frames", 1, self.among)
        if self.needed > self.lag:
            what = f"events.needed is {self.needed}, events.lag {self.lag}"
            raise RecipeError(what, "a step in brightness is seen for lag frames: need no more than that")

    @property
    def reach(self) -> int:
        """How many cells around a candidate have none higher, at least 1."""
        return max(int(self.distance // self.bin), 1)


@dataclass
class _Track:
    # Candidates of one event in the last M frames.
    hits: list[Any]
    reported: bool = False


def confirm(candidates: NDArray[Any], parameters: Events, scale: int = 1) -> NDArray[Any]:
    """Keep what has candidates in N of M frames, one row an event.

    Frame by frame, the highest score first, a candidate continues the nearest event that had one in the M - 1 frames
    before, within half of ``distance`` along y and x and not continued in this frame yet; else it begins one. An event
    is reported as soon as N of the last M frames have it, and once: it ends when M frames have none.

    Parameters
    ----------
    candidates : array of `ROW`
        Of the whole run, or of its beginning: frames that come later only add rows. Their order does not matter.
    parameters : Events
    scale : int
        Raw pixels that a pixel of the images is long: the coordinates are the sensor's, ``distance`` the images'.

    Returns
    -------
    array of `ROW`, in the order in which they were confirmed
        ``frame`` is the first of the candidates in those M frames; place and score are those of the highest.
    """
    order = np.lexsort([candidates["x"], candidates["y"], -candidates["score"], candidates["frame"]])
    ranked = candidates[order]
    starts = np.unique(ranked["frame"], return_index=True)[1].tolist()
    tracks: list[_Track] = []
    events: list[Any] = []
    for start, stop in pairwise([*starts, len(ranked)]):
        rows = ranked[start:stop]
        frame = rows[0]["frame"]
        tracks = [track for track in tracks if track.hits[-1]["frame"] > frame - parameters.among]
        for track in _continued(tracks, rows, parameters.distance * scale / 2):
            track.hits = [hit for hit in track.hits if hit["frame"] > frame - parameters.among]
            if not track.reported and len(track.hits) >= parameters.needed:
                track.reported = True
                best = max(track.hits, key=lambda hit: hit["score"])
                events.append((track.hits[0]["frame"], best["y"], best["x"], best["score"]))
    return np.array(events, ROW)


def _continued(tracks: list[_Track], rows: NDArray[Any], within: float) -> list[_Track]:
    # Gives the track of each candidate of one frame; new ones are put at the end of the list.
    places = np.array([(t.hits[-1]["y"], t.hits[-1]["x"]) for t in tracks], np.float64).reshape(-1, 2)
    free = np.full(len(tracks), True)
    found = []
    for row in rows:
        apart = abs(places - (row["y"], row["x"])).max(axis=1)
        open_ = np.flatnonzero(free & (apart <= within))
        if open_.size:
            nearest = open_[apart[open_].argmin()]
            free[nearest] = False
            track = tracks[nearest]
            track.hits.append(row)
        else:
            track = _Track([row])
            tracks.append(track)
        found.append(track)
    return found
