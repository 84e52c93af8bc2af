"""The measurement of every GPU form works: on the emulator, whose times say nothing."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from octostream.benchmarks import gpu_kernels
from octostream.benchmarks.gpu_kernels import GpuResult, frames_per_second, gpu_lines, measure_gpu
from octostream.benchmarks.gpu_work import pass_work
from octostream.kernels.gpu_forms import GPU_FORMS
from octostream.kernels.gpu_lane import GpuLane

from .cuda_emulator.device import EmulatedDevice
from .gpu_devices import on_every_device

FRAMES = np.random.default_rng(0).poisson(300, (4, 32, 40)).astype(np.uint16)
PASS = {
    "numbers": ("heal_cells", "reduce_frames", "finish_frames"),
    "maps": ("heal_cells", "reduce_frames", "finish_frames"),
    "binomial": ("heal_any_cells", "reduce_cells", "finish_frames"),
}


@on_every_device
def test_every_form_is_measured_beside_a_copy_and_frames_go_through(device_of):
    measured = measure_gpu(device_of(), FRAMES, calls=1, copy_mb=1)
    names = [result["name"] for result in measured["gpu"]]
    kernels = [f"{name}, {what}" for what, launched in PASS.items() for name in launched]
    assert names == ["copy", *kernels, *GPU_FORMS]
    assert all(result["ms"] > 0 for result in measured["gpu"])
    assert measured["gpu"][0]["of_copy"] == 1
    assert measured["gpu_hz"] > 0
    lines = gpu_lines(measured)
    assert lines[0] == measured["device"]
    assert all(any(name in line for line in lines) for name in names)
    assert gpu_lines({}) == []


def test_the_bytes_of_the_pass_are_those_that_the_page_says():
    frames = np.full((3, 64, 64), 300, np.uint16)
    moved = {work.name: work.moved_bytes for work in pass_work(EmulatedDevice(), None, frames)}
    # Of 2048 x 2048 pixels 14.7 and 35.7 MB: raw frame, level 0, the maximum along z twice; gains and addends of maps.
    assert moved["reduce_frames, numbers"] == moved["reduce_cells, binomial"] == 64 * 64 * (2 + 3 * 2 / 4)
    assert moved["reduce_frames, maps"] == 64 * 64 * (2 + 3 * 2 / 4 + 4 + 4 / 4)
    assert moved["finish_frames, numbers"] is None


def test_where_no_bytes_are_counted_none_are_shown():
    lines = gpu_lines({"device": "it", "gpu_hz": 1.0, "gpu": [vars(GpuResult("x", 1.0, None, None, None, waits=True))]})
    assert lines[3].split() == ["x", "1.0000", "*"]


class Recording(EmulatedDevice):
    """Keeps what was uploaded of the size of a frame and its place, and notes the kernels in between."""

    def __init__(self):
        super().__init__()
        self.done = []

    def upload(self, target, source, stream):
        if source.nbytes in range(FRAMES[0].nbytes, FRAMES[0].nbytes + 32):
            self._ask("note", stream, lambda: self.done.append(source[: FRAMES[0].nbytes].tobytes()))
        super().upload(target, source, stream)


def test_it_is_frames_that_go_through_and_products_that_come_back(monkeypatch):
    finished, real = [], GpuLane.finish

    def finish(self, present):
        finished.append(present.all())
        return real(self, present)

    monkeypatch.setattr(GpuLane, "finish", finish)
    device = Recording()
    assert frames_per_second(device, FRAMES, 2) > 0
    assert len(finished) == 1 + 2
    assert len(device.done) == 3 + 2 * len(FRAMES)
    assert set(device.done) <= {frame.tobytes() for frame in FRAMES}


def test_every_launch_of_the_pass_is_on_another_frame():
    device = Recording()
    work = next(work for work in pass_work(device, device.stream(), FRAMES) if work.name == "reduce_frames, numbers")
    assert sorted(device.done) == sorted(frame.tobytes() for frame in FRAMES)
    launched = []
    device.launch = lambda launch, stream: launched.append(launch.arguments[0].tobytes())
    for call in range(len(FRAMES) + 1):
        work.ask(call)
    assert len(set(launched)) == len(FRAMES)
    assert launched[-1] == launched[0]


class Clocked:
    """A host that takes 10 µs to ask for anything, and a device that does one thing after another."""

    def __init__(self):
        self.host_s = self.device_s = 0.0

    def timer(self):
        return SimpleNamespace(at=0.0)

    def ask(self, seconds):
        self.host_s += 10e-6
        self.device_s = max(self.device_s, self.host_s) + seconds

    def record(self, event, stream):
        event.at = self.device_s = max(self.device_s, self.host_s)

    def wait(self, event):
        self.host_s = max(self.host_s, event.at) + 5e-6

    def elapsed_ms(self, first, last):
        return 1e3 * (last.at - first.at)


@pytest.mark.parametrize("host_waits", [False, True])
def test_a_kernel_that_is_shorter_than_a_launch_is_timed_by_the_device(monkeypatch, host_waits):
    device = Clocked()
    monkeypatch.setattr(gpu_kernels, "perf_counter", lambda: device.host_s)

    def work(call):
        device.ask(2e-6)
        if host_waits:
            done = device.timer()
            device.record(done, None)
            device.wait(done)

    ms, waits = gpu_kernels._timed(device, None, work, 40, lambda call: device.ask(4e-4))
    assert waits == host_waits
    assert ms > 10e-3 if host_waits else ms == pytest.approx(2e-3)
