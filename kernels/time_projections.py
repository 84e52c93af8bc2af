"""Projections of every pixel over t: its maximum, minimum and mean over all time points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from ..stream.model import Product
from ..stream.tables import Rows
from .kinds import LEVEL_SIDE, Choice, Several
from .parameters import Parameters, declared
from .projections import MODES, rounded_share
from .step import Arrays, Planned, Setting, Step

#: Bytes a pixel of what is kept of each, and of what is given at the end.
_HELD: Final = {"max": 2, "min": 2, "mean": 8 + 8 + 2}
_MEANINGS: Final = {
    "max": "maximum over the time points that came, counts with the pedestal; 0 where none did",
    "min": "minimum over the time points that came, counts with the pedestal; 0 where none did",
    "mean": "mean over the time points that came, rounded half to even, counts with the pedestal; 0 where none did",
}


@dataclass(frozen=True)
class TimeProjections(Parameters):
    """Maximum, minimum and mean of every pixel over all time points."""

    step_name: ClassVar[str] = "time_projections"
    bin: int = declared(4, LEVEL_SIDE, "side of a pixel of the level that is looked at")
    modes: tuple[str, ...] = declared(MODES, Several(Choice(MODES)), "what is taken over t")


def time_projections_reference(
    images: NDArray[np.uint16], present: NDArray[np.bool_], modes: tuple[str, ...]
) -> dict[str, NDArray[np.uint16]]:
    """Project a whole run over t.

    Parameters
    ----------
    images : uint16 (t, c, z, y, x), counts
    present : bool (t, c, z)
        Frames that are not there do not count.
    modes : tuple of str
        ``"max"``, ``"min"``, ``"mean"``.

    Returns
    -------
    dict
        uint16 (c, z, y, x) by mode; 0 where no frame is there.
    """
    out = {mode: np.zeros(images.shape[1:], np.uint16) for mode in modes}
    for at in np.ndindex(images.shape[1:3]):
        came = images[:, *at][present[:, *at]]
        for mode in modes if len(came) else ():
            values = came.mean(axis=0, dtype=np.float64) if mode == "mean" else getattr(came, mode)(axis=0)
            out[mode][at] = np.rint(values)
    return out


class _Series:
    def __init__(self, shape: tuple[int, ...], modes: tuple[str, ...]) -> None:
        self._modes = modes
        self._high = np.full(shape, 0, np.uint16) if "max" in modes else None
        self._low = np.full(shape, 65535, np.uint16) if "min" in modes else None
        self._total = np.full(shape, 0, np.uint64) if "mean" in modes else None
        # Planes may have lost different frames.
        self._count = np.zeros(shape[:2], np.int64)

    def take(self, t: int, images: NDArray[np.uint16], present: NDArray[np.bool_], out: Arrays) -> Mapping[str, Rows]:
        for at in zip(*np.nonzero(present), strict=True):
            image = images[at]
            if self._high is not None:
                np.maximum(self._high[at], image, out=self._high[at])
            if self._low is not None:
                np.minimum(self._low[at], image, out=self._low[at])
            if self._total is not None:
                np.add(self._total[at], image, out=self._total[at])
        self._count += present
        return {}

    def finish(self) -> Arrays:
        made: Arrays = {}
        if self._high is not None:
            made["max"] = self._high
        if self._low is not None:
            self._low[self._count == 0] = 0
            made["min"] = self._low
        if self._total is not None:
            made["mean"] = rounded_share(self._total, np.maximum(self._count, 1)[..., None, None])
        return {f"projections/t-{mode}": made[mode] for mode in self._modes}


def _plan(parameters: TimeProjections, setting: Setting) -> Planned:
    level = setting.level("time_projections.bin", parameters.bin)
    shape, side = level.shape[1:], level.factor_yx
    products = [
        Product(f"projections/t-{mode}", "czyx", shape, "uint16", side, stage="run", meaning=_MEANINGS[mode])
        for mode in parameters.modes
    ]
    return Planned(
        products=tuple(products),
        series=partial(_Series, shape, parameters.modes),
        level=level.path,
        held_bytes=sum(_HELD[mode] for mode in parameters.modes) * int(np.prod(shape)),
    )


STEP: Final = Step(
    "time_projections", "derived", "maximum, minimum and mean of every pixel over t", TimeProjections, _plan
)
