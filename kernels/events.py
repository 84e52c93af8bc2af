"""Events: places that became brighter, by a relative change that lasts: candidates seen in N of M time points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from ..stream.errors import RecipeError
from .kinds import LEVEL_SIDE, Number, Whole
from .parameters import Parameters, declared

#: A candidate: where it is on the sensor, raw pixels, and its relative change.
CANDIDATE: Final = np.dtype([("y", "float32"), ("x", "float32"), ("score", "float32")])
#: An event: the time point in which it was first seen, and its highest candidate.
EVENT: Final = np.dtype([("first", "int64"), *((name, "float32") for name in ("y", "x", "score"))])


@dataclass(frozen=True)
class Events(Parameters):
    """Places that became brighter, by a relative change that lasts.

    Raises
    ------
    RecipeError
        If a value is outside its range, or more time points are needed than can be.
    """

    step_name: ClassVar[str] = "events"
    bin: int = declared(4, LEVEL_SIDE, "side of a pixel of the level that is looked at")
    sigma: float = declared(4, Number("raw pixels", 0, 256), "standard deviation of the Gaussian that smooths")
    lag: int = declared(3, Whole("time points", 1, 100), "how far back the image lies that one is compared with")
    threshold: float = declared(
        0.17, Number("", 1e-3, 1e3), "relative change above which a place is a candidate: 0.17 is 17 % brighter"
    )
    floor: float = declared(
        10, Number("counts", 1e-3, 65535), "least brightness above the pedestal that is divided by, against noise"
    )
    distance: float = declared(
        30,
        Number("raw pixels", 1, 65535),
        "candidates of one image are farther apart along y or x; those of different ones within half are one event",
    )
    # A step in brightness is seen for as many time points as the lag is long.
    needed: int = declared(2, Whole("time points", 1, 100), "an event has a candidate in so many; at most the lag")
    among: int = declared(3, Whole("time points", 1, 100), "of so many in a row")
    # Where a whole scene changes there are thousands, and none of them is an event; following them would take longer
    # than the next image.
    most: int = declared(64, Whole("candidates", 1, 10_000), "so many of an image are followed at most, the highest")

    def __post_init__(self) -> None:
        """Check every value, and those that are counts of time points against each other."""
        super().__post_init__()
        if self.needed > self.among:
            what = f"events.needed is {self.needed}, events.among {self.among}"
            raise RecipeError(what, "need no more time points than there are")
        if self.needed > self.lag:
            what = f"events.needed is {self.needed}, events.lag {self.lag}"
            raise RecipeError(what, "a step in brightness is seen for lag time points: need no more than that")

    @property
    def reach(self) -> int:
        """How many pixels of the level around a candidate have none higher, at least 1."""
        return max(int(self.distance // self.bin), 1)


@dataclass
class _Track:
    # Candidates of one event in the last M time points: (time point, y, x, score).
    hits: list[tuple[int, float, float, float]]
    reported: bool = False


class EventTracks:
    """Keeps what has candidates in N of M time points of one plane, one row an event.

    The highest score first, and no more than ``most``, a candidate continues the nearest event that had one in the
    M - 1 time points before, within half of ``distance`` along y and x and not continued at this time point yet; else
    it begins one. An event is reported as soon as N of the last M time points have it, and once: it ends when M have
    none.

    Parameters
    ----------
    parameters : Events
    """

    def __init__(self, parameters: Events) -> None:
        self._needed, self._among = parameters.needed, parameters.among
        self._within, self._most = parameters.distance / 2, parameters.most
        self._tracks: list[_Track] = []

    def take(self, t: int, candidates: NDArray[Any]) -> NDArray[Any]:
        """Take the candidates of the next time point that has any.

        Parameters
        ----------
        t : int
        candidates : array of `CANDIDATE`
            Their order does not matter.

        Returns
        -------
        array of `EVENT`
            What is confirmed by them. ``first`` is the first of the candidates in those M time points; place and score
            are those of the highest.
        """
        ranked = candidates[np.lexsort([candidates["x"], candidates["y"], -candidates["score"]])][: self._most]
        self._tracks = [track for track in self._tracks if track.hits[-1][0] > t - self._among]
        events = []
        for track in self._continued([(t, *row) for row in ranked.tolist()]):
            track.hits = [hit for hit in track.hits if hit[0] > t - self._among]
            if not track.reported and len(track.hits) >= self._needed:
                track.reported = True
                events.append((track.hits[0][0], *max(track.hits, key=lambda hit: hit[3])[1:]))
        return np.array(events, EVENT)

    def _continued(self, hits: list[tuple[int, float, float, float]]) -> list[_Track]:
        # Gives the track of each candidate; new ones are put at the end of the list.
        places = np.array([track.hits[-1][1:3] for track in self._tracks], np.float64).reshape(-1, 2)
        free = np.full(len(places), True)
        found = []
        for hit in hits:
            apart = abs(places - hit[1:3]).max(axis=1)
            open_ = np.flatnonzero(free & (apart <= self._within))
            if open_.size:
                nearest = open_[apart[open_].argmin()]
                free[nearest] = False
                track = self._tracks[nearest]
                track.hits.append(hit)
            else:
                track = _Track([hit])
                self._tracks.append(track)
            found.append(track)
        return found
