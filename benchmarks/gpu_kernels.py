"""What ``octostream bench kernels`` measures on a GPU: every kernel by the clock of the device, and frames a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..kernels.accelerator import Accelerator
from ..kernels.baseline import Baseline
from ..kernels.device import Device, Launch
from ..kernels.drift import Drift
from ..kernels.events import Events
from ..kernels.focus import Focus
from ..kernels.foreground import Foreground
from ..kernels.gpu_forms import GPU_FORMS
from ..kernels.gpu_lane import GpuLane
from ..kernels.gpu_plan import plan_gpu
from ..kernels.lane import plan_lane
from ..kernels.quantise import Quantise
from ..kernels.recipe import Recipe
from ..stream.model import Plan
from .table import aligned

#: Calls of each kernel in a row.
CALLS: Final = 100
GPU_HEAD: Final = ("on the GPU", "device ms", "MB", "GB/s", "of the copy bandwidth")


@dataclass(frozen=True)
class GpuResult:
    """One kernel, or one form of a step.

    Attributes
    ----------
    name : str
    ms : float
        Between two events of the device around it.
    moved_mb : float
        What it reads and writes at least.
    gb_s : float
        ``moved_mb`` over ``ms``.
    of_copy : float
        ``gb_s`` over the bandwidth of a copy on the device, measured in the same run.
    """

    name: str
    ms: float
    moved_mb: float
    gb_s: float
    of_copy: float

    def row(self) -> tuple[str, ...]:
        """Give it as text, in the order of `GPU_HEAD`."""
        return self.name, f"{self.ms:.4f}", f"{self.moved_mb:.1f}", f"{self.gb_s:.0f}", f"{self.of_copy:.2f}"

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON types."""
        return asdict(self)


def gpu_results(device: Device, frames: NDArray[np.uint16], calls: int, copy_mb: int = 64) -> Iterator[GpuResult]:
    """Measure a copy on the device, the pass over the frame, and every form of a step.

    Parameters
    ----------
    device : Device
    frames : uint16 (n, y, x), raw counts
    calls : int
        Of each, in a row, after one that is not counted.
    copy_mb : int
        Size of what is copied; larger than the cache of any device in use.
    """
    stream = device.stream()
    with device.on(stream) as forms:
        source, target = (forms.xp.zeros(copy_mb * 2**20, np.uint8) for _ in range(2))
        copy_ms = _timed(device, stream, lambda: target.__setitem__(..., source), calls)
    copied = 2 * source.nbytes / copy_ms
    yield GpuResult("copy", copy_ms, 2 * source.nbytes / 1e6, copied / 1e6, 1.0)
    for name, moved, work in (*_pass(device, stream, frames), *_steps(device, stream, frames)):
        with device.on(stream):
            ms = _timed(device, stream, work, calls)
        yield GpuResult(name, ms, moved / 1e6, moved / ms / 1e6, moved / ms / copied)


def frames_per_second(device: Device, frames: NDArray[np.uint16], calls: int) -> float:
    """Give how many frames a second go from pinned memory of the host through the pass, one block after another."""
    lane = _lane(device, frames)
    began, count = perf_counter(), 0
    for _ in range(calls):
        lane.begin((1, 1, len(frames)))
        for at in range(len(frames)):
            lane.send(at, lane.input())
        lane.stats(len(frames) - 1)
        count += len(frames)
    return count / (perf_counter() - began)


def measure_gpu(device: Device, frames: NDArray[np.uint16], calls: int = CALLS) -> dict[str, Any]:
    """Measure all there is, as JSON types.

    Parameters
    ----------
    device : Device
    frames : uint16 (n, y, x), raw counts
    calls : int
        As for `gpu_results`.
    """
    results = [result.to_json() for result in gpu_results(device, frames, calls)]
    return {"device": str(device.describe()), "gpu": results, "gpu_hz": frames_per_second(device, frames, calls)}


def gpu_lines(measured: Mapping[str, Any]) -> list[str]:
    """Give lines of text for what `measure_gpu` gave; none for nothing."""
    if not measured:
        return []
    rows = [GpuResult(**result).row() for result in measured["gpu"]]
    rate = f"{measured['gpu_hz']:.0f} frames/s from pinned memory through the pass"
    return [measured["device"], "", *aligned([GPU_HEAD, *rows]), "", rate]


def _timed(device: Device, stream: Any, work: Callable[[], object], calls: int) -> float:
    work()
    first, last = device.timer(), device.timer()
    device.record(first, stream)
    for _ in range(calls):
        work()
    device.record(last, stream)
    device.wait(last)
    return max(device.elapsed_ms(first, last), 1e-6) / calls


def _lane(device: Device, frames: NDArray[np.uint16]) -> GpuLane:
    plan = Plan((1, 1, *frames.shape))
    gpu = plan_gpu(plan_lane(Recipe.load("lightsheet", ["hot_pixels.pixels=[[0, 0]]"]), plan, {}, keep_raw=False))
    assert not isinstance(gpu, str)
    return GpuLane(gpu, device)


def _pass(device: Device, stream: Any, frames: NDArray[np.uint16]) -> Iterator[tuple[str, int, Callable[[], object]]]:
    lane, raw = _lane(device, frames), frames[0].nbytes
    # Of 2 x 2 means: level 0, the running maximum read and written; then level 0 read and what follows written.
    moved = {"reduce_frames": raw + 3 * raw // 4, "halve_levels": raw // 4 + raw // 12}
    for launch in lane.launches:
        name = launch.kernel.partition("<")[0]

        def work(launch: Launch = launch, owner: GpuLane = lane) -> None:
            device.launch(launch, stream)  # the owner has the memory that it works in

        yield name, moved.get(name, 0), work


def _steps(device: Device, stream: Any, frames: NDArray[np.uint16]) -> Iterator[tuple[str, int, Callable[[], object]]]:
    with device.on(stream) as forms:
        made = {name: (moved, work) for name, moved, work in _forms(forms, frames)}
    for name in GPU_FORMS:
        yield (name, *made[name])


def _forms(forms: Accelerator, frames: NDArray[np.uint16]) -> Iterator[tuple[str, int, Callable[[], object]]]:
    xp = forms.xp
    raw, level = xp.asarray(frames[0]), xp.asarray(np.ascontiguousarray(frames[:, ::4, ::4]))
    image, shape, sensor = level[0], level.shape[1:], frames.shape[1:]
    tallier = GPU_FORMS["histogram"](forms, 16)
    yield "histogram", raw.nbytes, lambda: tallier.ask(raw, 0)
    focus = GPU_FORMS["focus"](forms, sensor, Focus())
    yield "focus", raw.nbytes, lambda: focus.ask(raw, 0)
    quantiser = GPU_FORMS["quantise"](forms, Quantise())
    codes = xp.zeros(sensor, quantiser.codes.dtype)
    yield "quantise", raw.nbytes + codes.nbytes, lambda: quantiser.quantise(raw, codes)
    masker, mask = (
        GPU_FORMS["foreground"](forms, level.shape, Foreground(), (1, 64, 64)),
        xp.zeros(level.shape, np.uint8),
    )
    yield "foreground", level.nbytes + mask.nbytes, lambda: masker.mask(level, mask)
    drift = GPU_FORMS["drift"](forms, Drift(), shape)
    reference = drift.spectrum(image)
    yield "drift", image.nbytes + 4 * reference.nbytes, lambda: drift.compare(drift.spectrum(image), reference)
    mover, moved = GPU_FORMS["translation"](forms), xp.zeros(shape, np.uint16)
    yield "translation", 2 * image.nbytes, lambda: mover.translate(image, 1.5, -2.25, 100, moved)
    finder = GPU_FORMS["events"](forms, Events(), sensor, 100)
    now, before = (xp.zeros([-(-n // 4) for n in sensor], np.float32) for _ in range(2))
    yield "events", 6 * now.nbytes, lambda: (finder.smooth(image, now), finder.compare(now, before))
    hot = GPU_FORMS["hot_test"](forms, sensor)
    yield "hot_test", 17 * raw.nbytes, lambda: (hot.clear(), hot.add(raw[None]))
    sums = GPU_FORMS["moments"](forms, shape)
    yield "moments", level.nbytes + 16 * image.nbytes, lambda: sums.add(level)
    over_t = GPU_FORMS["time_projections"](forms, shape)
    yield "time_projections", level.nbytes + 12 * image.nbytes, lambda: over_t.add(level)
    sliding = GPU_FORMS["baseline"](forms, Baseline(), shape)
    yield "baseline", (Baseline().window + 6) * image.nbytes, lambda: sliding.add(image)
