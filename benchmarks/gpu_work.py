"""The work that ``octostream bench kernels`` asks of a GPU: the launches of the pass over a frame, the forms of steps.

Each call is on other frames than the last, and all are more than a cache holds: what is read comes from memory.
What a form keeps for itself, such as sums, may stay in the cache, as it does when frames come.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.accelerator import Accelerator
from ..kernels.baseline import Baseline
from ..kernels.device import Device
from ..kernels.drift import Drift
from ..kernels.events import Events
from ..kernels.focus import Focus
from ..kernels.foreground import Foreground
from ..kernels.gpu_forms import GPU_FORMS
from ..kernels.gpu_lane import GpuLane
from ..kernels.gpu_plan import GpuPlan, plan_gpu
from ..kernels.gpu_ring import SLOTS
from ..kernels.quantise import Quantise
from ..stream.model import Plan
from .kernel_cases import calibration_maps, lane_plan

#: Images of a level, of a sixteenth of the pixels, for the forms that follow a run.
IMAGES: Final = 256
#: Every pass has pixels to heal.
_HOT: Final = "hot_pixels.pixels=[[0, 0]]"


class Work(NamedTuple):
    """Something that a device is asked to do.

    Attributes
    ----------
    name : str
    moved_bytes : int or None
        What a call reads and writes at least; None where nobody counts it.
    ask : callable
        Takes the number of the call.
    """

    name: str
    moved_bytes: int | None
    ask: Callable[[int], object]


def usual_lane(device: Device, frames: NDArray[np.uint16]) -> GpuLane:
    """Give the lane of the recipe ``lightsheet`` with offset and gain as numbers, a frame in each slot."""
    return _lane(device, _plan(frames, {}), frames, SLOTS)


def pass_work(device: Device, stream: Any, frames: NDArray[np.uint16]) -> Iterator[Work]:
    """Give every launch of the pass over a frame: with numbers, with maps, and that of any other recipe.

    Parameters
    ----------
    device : Device
    stream : stream
        In which they are launched.
    frames : uint16 (n, y, x), raw counts
        One lies in each slot.
    """
    maps = calibration_maps(frames.shape[1:])
    plans = {
        "numbers": _plan(frames, {}),
        "maps": _plan(frames, maps),
        "binomial": _plan(frames, {}, "bin.mode=binomial"),
    }
    for what, plan in plans.items():
        lane, moved = _lane(device, plan, frames, max(SLOTS, len(frames))), _moved(plan, frames[0].nbytes)
        for step, launch in enumerate(lane.launches[0]):
            name = launch.kernel.partition("<")[0]

            def ask(call: int, step: int = step, lane: GpuLane = lane) -> None:
                device.launch(lane.launches[call % len(lane.launches)][step], stream)

            yield Work(f"{name}, {what}", moved.get(name), ask)


def form_work(forms: Accelerator, frames: NDArray[np.uint16]) -> Iterator[Work]:
    """Give every form of a step, in the order of `GPU_FORMS`.

    Parameters
    ----------
    forms : Accelerator
    frames : uint16 (n, y, x), raw counts
    """
    made = {work.name: work for work in _forms(forms, frames)}
    for name in GPU_FORMS:
        yield made[name]


def _plan(frames: NDArray[np.uint16], maps: dict[str, NDArray[np.float32]], *overrides: str) -> GpuPlan:
    gpu = plan_gpu(lane_plan(Plan((1, 1, *frames.shape)), maps, _HOT, *overrides))
    assert not isinstance(gpu, str)
    return gpu


def _lane(device: Device, plan: GpuPlan, frames: NDArray[np.uint16], slots: int) -> GpuLane:
    lane = GpuLane(plan, device, slots)
    lane.begin((1, 1, len(frames)))
    for slot in range(slots):
        np.copyto(lane.input(), frames[slot % len(frames)])
        lane.send(slot % len(frames), lane.input())
    lane.finish(np.ones((1, 1, len(frames)), bool))
    return lane


def _moved(plan: GpuPlan, raw: int) -> dict[str, int]:
    first, *others = (2 * math.prod(size) for size in plan.levels)
    # Level 0 is written, the maximum along z read and written.
    reduced = raw + plan.fixed.gain_map.nbytes + plan.fixed.addend_map.nbytes + 3 * first
    return {"reduce_frames": reduced, "reduce_cells": reduced, "halve_levels": first + sum(others)}


def _forms(forms: Accelerator, frames: NDArray[np.uint16]) -> Iterator[Work]:
    xp, n, sensor = forms.xp, len(frames), frames.shape[1:]
    raw, level = xp.asarray(frames), frames[:, ::4, ::4]
    images = xp.asarray(np.ascontiguousarray(np.tile(level, (max(1, IMAGES // n), 1, 1))))
    stacks, shape, size = images.reshape(-1, *level.shape), level.shape[1:], images[0].nbytes

    def frame(call: int) -> Any:
        return raw[call % n]

    def image(call: int) -> Any:
        return images[call % len(images)]

    def stack(call: int) -> Any:
        return stacks[call % len(stacks)]

    tallier = GPU_FORMS["histogram"](forms, 16)
    yield Work("histogram", frames[0].nbytes, lambda call: tallier.ask(frame(call), 0))
    focus = GPU_FORMS["focus"](forms, sensor, Focus())
    yield Work("focus", frames[0].nbytes, lambda call: focus.ask(frame(call), 0))
    quantiser = GPU_FORMS["quantise"](forms, Quantise())
    codes = xp.zeros(frames.shape, quantiser.codes.dtype)
    moved = frames[0].nbytes + codes[0].nbytes
    yield Work("quantise", moved, lambda call: quantiser.quantise(frame(call), codes[call % n]))
    masker = GPU_FORMS["foreground"](forms, level.shape, Foreground(), (1, 64, 64))
    mask = xp.zeros(level.shape, np.uint8)
    yield Work("foreground", stacks[0].nbytes + mask.nbytes, lambda call: masker.mask(stack(call), mask))
    drift = GPU_FORMS["drift"](forms, Drift(), shape)
    reference = drift.spectrum(images[0])
    moved = size + 4 * reference.nbytes
    yield Work("drift", moved, lambda call: drift.compare(drift.spectrum(image(call)), reference))
    mover, out = GPU_FORMS["translation"](forms), xp.zeros(images.shape, np.uint16)
    yield Work(
        "translation", 2 * size, lambda call: mover.translate(image(call), 1.5, -2.25, 100, out[call % len(out)])
    )
    finder = GPU_FORMS["events"](forms, Events(), sensor, 100)
    now, before = (xp.zeros([-(-side // 4) for side in sensor], np.float32) for _ in range(2))
    yield Work("events", 6 * now.nbytes, lambda call: (finder.smooth(image(call), now), finder.compare(now, before)))
    hot = GPU_FORMS["hot_test"](forms, sensor)
    yield Work("hot_test", 17 * frames[0].nbytes, lambda call: (hot.clear(), hot.add(frame(call)[None])))
    sums = GPU_FORMS["moments"](forms, shape)
    yield Work("moments", stacks[0].nbytes + 16 * size, lambda call: sums.add(stack(call)))
    over_t = GPU_FORMS["time_projections"](forms, shape)
    yield Work("time_projections", stacks[0].nbytes + 12 * size, lambda call: over_t.add(stack(call)))
    sliding = GPU_FORMS["baseline"](forms, Baseline(), shape)
    yield Work("baseline", (Baseline().window + 6) * size, lambda call: sliding.add(image(call)))
