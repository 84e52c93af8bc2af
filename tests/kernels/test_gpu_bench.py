"""The measurement of every GPU form works: on the emulator, whose times say nothing."""

from __future__ import annotations

import numpy as np
from octostream.benchmarks.gpu_kernels import gpu_lines, measure_gpu
from octostream.kernels.gpu_forms import GPU_FORMS

from .gpu_devices import on_every_device

FRAMES = np.random.default_rng(0).poisson(300, (3, 32, 40)).astype(np.uint16)


@on_every_device
def test_every_form_is_measured_beside_a_copy_and_frames_go_through(device_of):
    measured = measure_gpu(device_of(), FRAMES, calls=1)
    names = [result["name"] for result in measured["gpu"]]
    assert names[:4] == ["copy", "heal_cells", "reduce_frames", "finish_frames"]
    assert set(names) >= set(GPU_FORMS)
    assert all(result["ms"] > 0 for result in measured["gpu"])
    assert measured["gpu"][0]["of_copy"] == 1
    assert measured["gpu_hz"] > 0
    lines = gpu_lines(measured)
    assert lines[0] == measured["device"]
    assert all(any(name in line for line in lines) for name in names)
    assert gpu_lines({}) == []
