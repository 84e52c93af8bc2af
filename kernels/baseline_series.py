"""The step baseline: ΔF/F of every time point of a run, against the baseline of its own plane."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..stream.model import Product
from ..stream.tables import Rows
from .baseline import Baseline, SlidingBaseline, baseline_reference, relative_change, relative_change_reference
from .step import Arrays, Planned, Setting, Step

_PATH: Final = "dff/0"


def change_series_reference(
    images: NDArray[np.uint16], present: NDArray[np.bool_], parameters: Baseline, background: float
) -> NDArray[np.float32]:
    """Give ΔF/F of a whole run, in float64 rounded once.

    The points of a plane are the first image that came of each ``every`` time points.

    Parameters
    ----------
    images : uint16 (t, c, z, y, x), counts
    present : bool (t, c, z)
    parameters : Baseline
    background : float, counts

    Returns
    -------
    float32 (t, c, z, y, x)
        NaN where a frame is lost.
    """
    out = np.full(images.shape, np.nan, np.float32)
    for at in np.ndindex(images.shape[1:3]):
        times = np.flatnonzero(present[:, *at])
        groups, first = np.unique(times // parameters.every, return_index=True)
        baselines = baseline_reference(images[times[first], *at], parameters)
        for t in times:
            before = baselines[np.searchsorted(groups, t // parameters.every)]
            out[t, *at] = relative_change_reference(images[t, *at], before, background, parameters.floor)
    return out


class _Series:
    def __init__(self, parameters: Baseline, background: float, shape: tuple[int, ...]) -> None:
        self._parameters, self._background = parameters, background
        planes = list(np.ndindex(shape[:2]))
        self._sliding = {at: SlidingBaseline(parameters, (shape[2], shape[3])) for at in planes}
        self._group = dict.fromkeys(planes, -1)

    def take(self, t: int, images: NDArray[np.uint16], present: NDArray[np.bool_], out: Arrays) -> Mapping[str, Rows]:
        group, floor = t // self._parameters.every, float(self._parameters.floor)
        for at, sliding in self._sliding.items():
            if not present[at]:
                continue
            # Not where t is a multiple: a plane that lost that frame would have no baseline until the next.
            if group != self._group[at]:
                self._group[at] = group
                sliding.add(images[at])
            relative_change(images[at], sliding.baseline, self._background, floor, out[_PATH][at])
        return {}

    def finish(self) -> Arrays:
        return {}


def _plan(parameters: Baseline, setting: Setting) -> Planned:
    level = setting.level("baseline.bin", parameters.bin)
    meaning = (
        f"ΔF/F, change relative to the percentile {parameters.percentile:g} of the last {parameters.window} points: "
        "0.2 is 20 % brighter; NaN where a frame is lost"
    )
    product = Product(_PATH, "tczyx", level.shape, "float32", level.factor_yx, stage="series", meaning=meaning)
    return Planned(
        products=(product,),
        series=partial(_Series, parameters, float(setting.pedestal), level.shape[1:]),
        level=level.path,
        # The window and the pivot of a pixel are uint16, its baseline float32.
        held_bytes=(2 * (parameters.window + 1) + 4) * int(np.prod(level.shape[1:])),
    )


STEP: Final = Step("baseline", "derived", "ΔF/F against a sliding percentile of each pixel", Baseline, _plan)
