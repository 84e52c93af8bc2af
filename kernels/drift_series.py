"""The step drift: how far every time point of a run has moved since the first, and images moved back by it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..stream.errors import RecipeError
from ..stream.model import Product
from ..stream.tables import Column, Rows, Table, rows_of
from .drift import Drift, Shift, drift_reference, window_reach
from .drift_meter import DriftMeter
from .drift_track import DriftTrack
from .step import Arrays, Planned, Setting, Step
from .translation import translate

_PATH: Final = "registered/0"
TABLE: Final = Table(
    "drift",
    (
        Column("frame", "int64", "", "number of the first frame of the time point"),
        Column("dy", "float32", "raw pixel", "how far the field has moved along y since the first time point"),
        Column("dx", "float32", "raw pixel", "the same along x"),
        Column("quality", "float32", "", "highest peak over second peak; near 1 nothing was found, 0: no structure"),
        Column("limited", "bool", "", "the peak lay at the border of the search window: the field may be farther"),
    ),
    "drift of every time point that has images of the channel; where it could not be measured, the last that could",
)


def drift_series_reference(
    images: NDArray[np.uint16], present: NDArray[np.bool_], parameters: Drift
) -> dict[int, Shift]:
    """Measure the drift of a whole run with `drift_reference`.

    Parameters
    ----------
    images : uint16 (t, z, y, x), counts
        Of the channel; 0 where a frame is lost.
    present : bool (t, z)
    parameters : Drift

    Returns
    -------
    dict
        By time point, of those that have images.
    """
    compare = partial(drift_reference, parameters=parameters)
    track = DriftTrack(compare, _window((images.shape[2], images.shape[3]), parameters), parameters.quality)
    return {t: track.take(images[t].max(axis=0)) for t in np.flatnonzero(present.any(axis=1)).tolist()}


def _window(shape: tuple[int, int], parameters: Drift) -> tuple[float, float]:
    y, x = window_reach(shape, parameters)
    return y * parameters.bin, x * parameters.bin


class _Series:
    def __init__(self, parameters: Drift, shape: tuple[int, ...], fill: int) -> None:
        self._parameters, self._frames, self._fill = parameters, shape[0] * shape[1], fill
        size = shape[2], shape[3]
        self._meter = DriftMeter(parameters, size)
        self._track = DriftTrack(self._meter.compare, _window(size, parameters), parameters.quality)
        self._projected = np.full(size, 0, np.uint16)

    def take(self, t: int, images: NDArray[np.uint16], present: NDArray[np.bool_], out: Arrays) -> Mapping[str, Rows]:
        rows: dict[str, Rows] = {}
        channel = self._parameters.channel
        if present[channel].any():
            # Planes that are lost are 0, and change no maximum.
            np.max(images[channel], axis=0, out=self._projected)
            drift = self._track.take(self._meter.spectrum(self._projected))
            rows["drift"] = rows_of(TABLE, [(t * self._frames, *drift)])
        if self._parameters.correct:
            self._correct(images, present, out[_PATH])
        return rows

    def _correct(self, images: NDArray[np.uint16], present: NDArray[np.bool_], out: NDArray[np.uint16]) -> None:
        drift, side = self._track.drift, self._parameters.bin
        for at in zip(*np.nonzero(present), strict=True):
            translate(images[at], -drift.dy / side, -drift.dx / side, self._fill, out[at])

    def finish(self) -> Arrays:
        return {}


def _plan(parameters: Drift, setting: Setting) -> Planned:
    level = setting.level("drift.bin", parameters.bin)
    channels, y, x = setting.plan.shape[1], *level.shape[-2:]
    if parameters.channel >= channels:
        what = f"drift.channel is {parameters.channel}, and the run has {channels} channel{'s' * (channels > 1)}"
        raise RecipeError(what, f"give a number from 0 to {channels - 1}")
    fill = min(max(round(setting.pedestal), 0), 65535)
    meaning = f"level {level.path} moved back by the drift, counts; what was not in the field has {fill}"
    moved = Product(_PATH, "tczyx", level.shape, "uint16", level.factor_yx, stage="series", meaning=meaning)
    return Planned(
        products=(moved,) if parameters.correct else (),
        tables=(TABLE,),
        series=partial(_Series, parameters, level.shape[1:], fill),
        level=level.path,
        passes_on=_PATH if parameters.correct else "",
        # Spectra of three images and of a product, as many while they are made; the band, and two images.
        held_bytes=(8 * 8 + 4) * y * (x // 2 + 1) + 6 * y * x,
    )


STEP: Final = Step("drift", "derived", "shift of every time point against the first, images moved back", Drift, _plan)
