"""The lane on the device that there is: what a GPU does not do, and what happens when it is full or lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from octostream.kernels import gpu_reducers
from octostream.kernels.block_work import GpuWork
from octostream.kernels.gpu_plan import plan_gpu
from octostream.kernels.lane import plan_lane
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.stream.errors import DeviceLostError
from octostream.stream.model import Plan

from .cuda_emulator.device import EmulatedDevice
from .gpu_devices import on_every_device


def frames_of(shape):
    return np.random.default_rng(1).integers(0, 65536, shape, np.uint16)


def reduce_block(reducer, frames):
    reducer.begin(reducer._reduction.plan.blocks[0])
    for number, frame in enumerate(frames.reshape(-1, *frames.shape[3:])):
        reducer.add(number, frame)
    return reducer.finish()


def assert_same(got, expected):
    assert list(got) == list(expected)
    for path, array in expected.items():
        np.testing.assert_array_equal(got[path], array, path)


@pytest.mark.parametrize("mode", ["mean", "sum"])
def test_what_the_kernels_do_not_do_is_left_to_the_cpu(mode, caplog):
    plan, device = Plan((1, 1, 2, 16, 16)), EmulatedDevice()
    recipe = Recipe.load("lightsheet", ["calibrate.gain=1e12", f"bin.mode={mode}"])
    frames, reduction = frames_of(plan.shape), plan_reduction(recipe, plan)
    with caplog.at_level("WARNING"):
        reducer = reduction.reducer(device)
        got = reduce_block(reducer, frames)
    assert "62 bits" in caplog.text
    assert not device.log
    assert not reducer.instead
    assert_same(got, reduce_block(reduction.reducer(), frames))


def test_gains_of_many_thousands_and_frames_of_a_billion_pixels():
    lane = plan_lane(Recipe.load("lightsheet", ["calibrate.gain=123456.7"]), Plan((1, 1, 1, 8, 8)), {}, keep_raw=False)
    assert not isinstance(plan_gpu(lane), str)
    assert "2^30" in str(plan_gpu(replace(lane, frame_shape=(2**15, 2**15))))


@on_every_device
def test_steps_beside_the_lane_make_the_same_on_the_device(device_of):
    frames, plan = frames_of((1, 2, 3, 40, 60)), Plan((1, 2, 3, 40, 60))
    reduction = plan_reduction(Recipe.load("lightsheet", ["focus=true", "histogram=true"]), plan, keep_raw=True)
    assert len(reduction.steps) == 2
    on_gpu, on_cpu = reduction.reducer(device_of(2)), reduction.reducer()
    assert isinstance(on_gpu._work, GpuWork)
    assert_same(reduce_block(on_gpu, frames), reduce_block(on_cpu, frames))
    assert on_gpu.tables().keys() == on_cpu.tables().keys()
    assert on_cpu.tables()
    for name, rows in on_cpu.tables().items():
        for column, values in rows.items():
            tolerance = 1e-5 if values.dtype.kind == "f" else 0
            np.testing.assert_allclose(on_gpu.tables()[name][column], values, rtol=tolerance, err_msg=column)


EVERY = ["focus=true", "histogram=true", "hot_test=true", "foreground=true", "quantise=true"]


@pytest.mark.parametrize("gain", [1, 20], ids=["codes of 16 bits", "codes of 8 bits"])
def test_a_block_takes_nothing_of_the_device_that_was_not_taken_before_its_first_frame(gain, monkeypatch):
    # Else a GPU that fills up late would end the worker, again in its next life, and leave nothing to the CPU.
    monkeypatch.setattr(gpu_reducers, "QUANTISED_AT_ONCE", 999)
    frames, plan = frames_of((2, 1, 3, 40, 70)), Plan((2, 1, 3, 40, 70))
    reduction = plan_reduction(Recipe.load("lightsheet", [*EVERY, f"quantise.gain={gain}"]), plan)
    assert {step.on_gpu.name for step in reduction.steps} == set(gpu_reducers.GPU_REDUCERS)
    device = EmulatedDevice(1)
    reducer = reduction.reducer(device)
    assert "array" in device.log
    device.log.clear()
    got = reduce_block(reducer, frames)
    assert not {"array", "buffer", "pinned", "prepare"} & set(device.log)
    assert_same(got, reduce_block(reduction.reducer(), frames))


def test_a_full_gpu_leaves_the_block_to_the_cpu(caplog):
    frames, plan = frames_of((1, 1, 3, 20, 30)), Plan((1, 1, 3, 20, 30))
    reduction = plan_reduction(Recipe.load("lightsheet"), plan)
    with caplog.at_level("WARNING"):
        got = reduce_block(reduction.reducer(EmulatedDevice(fail_after=5)), frames)
    assert "reduced on the CPU: the emulated device is gone" in caplog.text
    assert_same(got, reduce_block(reduction.reducer(), frames))


def test_a_recipe_without_steps_beside_the_lane_asks_for_none_of_their_forms():
    # They are compiled together when the first is asked for: it takes seconds, and may fail.
    device, plan = EmulatedDevice(), Plan((1, 1, 3, 20, 30))
    for beside in ([], ["keep=true"]):
        reduce_block(plan_reduction(Recipe.load("lightsheet", beside), plan).reducer(device), frames_of(plan.shape))
    assert "prepare" in device.log
    assert "on" not in device.log


def test_a_lost_gpu_is_one_error_wherever_it_happens():
    frames, plan = frames_of((1, 1, 4, 9, 16)), Plan((1, 1, 4, 9, 16))
    reduction = plan_reduction(Recipe.load("lightsheet", ["pyramid.until=4"]), plan)
    whole = EmulatedDevice()
    reducer = reduction.reducer(whole)
    made = len(whole.log)
    reduce_block(reducer, frames)
    for calls in range(len(whole.log) - made):
        device = EmulatedDevice()
        reducer = reduction.reducer(device)
        device.calls_left = calls
        with pytest.raises(DeviceLostError, match="is gone"):
            reduce_block(reducer, frames)


def test_frames_are_taken_without_a_wait_but_for_their_slot():
    plan = Plan((1, 1, 7, 9, 16))
    recipe = Recipe.load("lightsheet", ["pyramid.until=4", "histogram=true", "focus=true"])
    device, frames = EmulatedDevice(3), frames_of(plan.shape)
    reducer = plan_reduction(recipe, plan).reducer(device)
    reducer.begin(plan.blocks[0])
    device.log.clear()
    for number, frame in enumerate(frames.reshape(-1, 9, 16)):
        reducer.take(number, frame)
    assert not {"buffer", "pinned", "prepare", "to_host"} & set(device.log)
    assert device.log.count("wait") == 7 - 3
    assert reducer.stats(6).max == frames[0, 0, 6].max()
    assert device.log.count("wait") == 7 - 3 + 1
