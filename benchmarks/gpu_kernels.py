"""What ``octostream bench kernels`` measures on a GPU: every kernel by the clock of the device, and frames a second."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..kernels.device import Device
from .gpu_work import Work, form_work, pass_work, usual_lane
from .table import aligned

#: Calls of each kernel in a row. A stream takes some 1000 launches ahead, a form has up to twenty of them.
CALLS: Final = 40
#: Size of the copy, which also keeps a stream busy while calls are asked for: 0.4 ms at 2.7 TB/s.
COPY_MB: Final = 512
#: Most copies that keep a stream busy.
MOST_HOLDS: Final = 100
GPU_HEAD: Final = ("on the GPU", "device ms", "MB", "GB/s", "of the copy bandwidth")


@dataclass(frozen=True)
class GpuResult:
    """One kernel, or one form of a step.

    Attributes
    ----------
    name : str
    ms : float
        Between two events of the device around it.
    moved_mb : float or None
        What it reads and writes at least; None where nobody counts it.
    gb_s : float or None
        ``moved_mb`` over ``ms``.
    of_copy : float or None
        ``gb_s`` over the bandwidth of a copy on the device, measured in the same run. Above 1 where what a form keeps
        stays in the cache.
    waits : bool
        Whether the device waited for the host in between, so that ``ms`` is not its own time alone: the form waits for
        a result, or takes longer to ask for than the device could be kept busy.
    """

    name: str
    ms: float
    moved_mb: float | None
    gb_s: float | None
    of_copy: float | None
    waits: bool

    def row(self) -> tuple[str, ...]:
        """Give it as text, in the order of `GPU_HEAD`."""
        ms = f"{self.ms:.4f}{' *' if self.waits else ''}"
        if self.moved_mb is None:
            return self.name, ms, "", "", ""
        return self.name, ms, f"{self.moved_mb:.1f}", f"{self.gb_s:.0f}", f"{self.of_copy:.2f}"

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON types."""
        return asdict(self)


def gpu_results(device: Device, frames: NDArray[np.uint16], calls: int, copy_mb: int) -> Iterator[GpuResult]:
    """Measure a copy on the device, the pass over the frame, and every form of a step.

    Parameters
    ----------
    device : Device
    frames : uint16 (n, y, x), raw counts
        More than the cache of the device holds.
    calls : int
        Of each, in a row, after some that are not counted.
    copy_mb : int
        Size of what is copied; larger than the cache of any device in use.
    """
    stream = device.stream()
    with device.on(stream) as forms:
        source, target = (forms.xp.zeros(copy_mb * 2**20, np.uint8) for _ in range(2))

        def copy(call: int) -> None:
            target[...] = source

        copy_ms, waits = _timed(device, stream, copy, calls, copy)
    moved = 2 * source.nbytes
    copied = moved / copy_ms
    yield GpuResult("copy", copy_ms, moved / 1e6, copied / 1e6, 1.0, waits)
    for work in (*pass_work(device, stream, frames), *_form_work(device, stream, frames)):
        with device.on(stream):
            ms, waits = _timed(device, stream, work.ask, calls, copy)
        moved = work.moved_bytes
        known = (None, None, None) if moved is None else (moved / 1e6, moved / ms / 1e6, moved / ms / copied)
        yield GpuResult(work.name, ms, *known, waits)


def _form_work(device: Device, stream: Any, frames: NDArray[np.uint16]) -> tuple[Work, ...]:
    with device.on(stream) as forms:
        return tuple(form_work(forms, frames))


def frames_per_second(device: Device, frames: NDArray[np.uint16], blocks: int) -> float:
    """Give how many frames a second go from pinned memory of the host through the pass, and their products back.

    Parameters
    ----------
    device : Device
    frames : uint16 (n, y, x), raw counts
        As many as a block has; those in the slots are sent again and again.
    blocks : int
    """
    lane, present = usual_lane(device, frames), np.ones((1, 1, len(frames)), bool)
    began = perf_counter()
    for _ in range(blocks):
        lane.begin((1, 1, len(frames)))
        for at in range(len(frames)):
            lane.send(at, lane.input())
        lane.finish(present)
    return blocks * len(frames) / (perf_counter() - began)


def measure_gpu(
    device: Device, frames: NDArray[np.uint16], calls: int = CALLS, copy_mb: int = COPY_MB
) -> dict[str, Any]:
    """Measure all there is, as JSON types; the parameters are those of `gpu_results`."""
    results = [result.to_json() for result in gpu_results(device, frames, calls, copy_mb)]
    return {"device": str(device.describe()), "gpu": results, "gpu_hz": frames_per_second(device, frames, calls)}


def gpu_lines(measured: Mapping[str, Any]) -> list[str]:
    """Give lines of text for what `measure_gpu` gave; none for nothing."""
    if not measured:
        return []
    rows = [GpuResult(**result).row() for result in measured["gpu"]]
    note = "* waits for the host in between, so this is not the time of the device alone"
    rate = f"{measured['gpu_hz']:.0f} frames/s from pinned memory through the pass, and their products back"
    return [measured["device"], "", *aligned([GPU_HEAD, *rows]), note, "", rate]


def _timed(
    device: Device, stream: Any, ask: Callable[[int], object], calls: int, hold: Callable[[int], object]
) -> tuple[float, bool]:
    # The calls are asked for while the stream still works on what holds it: to ask takes longer than a short kernel.
    ask(0)
    started, first, last = device.timer(), device.timer(), device.timer()
    began = perf_counter()
    _in_a_row(ask, calls)
    _wait(device, stream, first)
    asked_ms = 1e3 * (perf_counter() - began)
    began = perf_counter()
    hold(0)
    _wait(device, stream, first)
    hold_ms = 1e3 * (perf_counter() - began)
    device.record(started, stream)
    _in_a_row(hold, min(math.ceil(2 * asked_ms / hold_ms), MOST_HOLDS))
    device.record(first, stream)
    began = perf_counter()
    _in_a_row(ask, calls)
    asking_ms = 1e3 * (perf_counter() - began)
    _wait(device, stream, last)
    held_ms = device.elapsed_ms(started, first)
    return max(device.elapsed_ms(first, last), 1e-6) / calls, asking_ms > held_ms


def _in_a_row(work: Callable[[int], object], calls: int) -> None:
    for call in range(calls):
        work(call)


def _wait(device: Device, stream: Any, event: Any) -> None:
    device.record(event, stream)
    device.wait(event)
