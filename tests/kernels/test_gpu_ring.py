"""The ring of slots, on a device that does everything as late as it may.

Nothing is allocated for a frame, nobody waits but for the slot that is needed, memory in use is left alone.
"""

from __future__ import annotations

import numpy as np
import pytest
from octostream.kernels.gpu_lane import GpuLane
from octostream.kernels.gpu_plan import plan_gpu
from octostream.kernels.lane import Lane, plan_lane
from octostream.kernels.recipe import Recipe
from octostream.stream.model import Plan

from .cuda_emulator.device import EmulatedDevice

PLAN = Plan((1, 1, 12, 10, 24))
FRAMES = np.random.default_rng(3).integers(0, 65536, PLAN.shape[2:], np.uint16)
LANE = plan_lane(Recipe.load("lightsheet", ["pyramid.until=4"]), PLAN, {}, keep_raw=False)
THERE = np.ones((1, 1, 12), bool)


def lane_on(device, slots=3):
    return GpuLane(plan_gpu(LANE), device, slots)


def on_cpu():
    lane = Lane(LANE)
    lane.begin((1, 1, 12))
    stats = [lane.add(at, frame) for at, frame in enumerate(FRAMES)]
    return lane.finish(THERE), stats


def assert_right(made):
    for path, array in on_cpu()[0].items():
        np.testing.assert_array_equal(made[path], array, path)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("slots", [3, 4])
def test_streams_in_any_order_come_to_the_same(seed, slots):
    lane = lane_on(EmulatedDevice(seed), slots)
    for _ in range(2):
        lane.begin((1, 1, 12))
        for at in np.random.default_rng(seed).permutation(12):
            lane.send(int(at), FRAMES[at])
        made = lane.finish(THERE)
        assert_right(made)
    assert [int(lane.tally(at)["high"]) for at in range(12)] == [stats.max for stats in on_cpu()[1]]


def test_a_frame_allocates_nothing_and_waits_for_its_slot_alone():
    device = EmulatedDevice(1)
    lane = lane_on(device)
    lane.begin((1, 1, 12))
    device.log.clear()
    for at in range(12):
        lane.send(at, FRAMES[at])
    assert not {"buffer", "pinned", "prepare"} & set(device.log)
    assert device.log.count("wait") == 12 - 3
    one = device.log[: device.log.index("record", device.log.index("download")) + 1]
    assert one == [
        "upload",
        "order",
        "reduce_frames<2, 0, 0>",
        "finish_frames",
        "halve_levels",
        "record",
        "download",
        "record",
    ]
    device.log.clear()
    assert lane.tally(11)["high"] == FRAMES[11].max()
    assert device.log == ["wait"]
    assert lane.tally(11)["high"] == FRAMES[11].max()
    assert device.log == ["wait"]


def test_what_is_received_into_pinned_memory_is_not_copied_again():
    device = EmulatedDevice(2)
    lane = lane_on(device)
    lane.begin((1, 1, 12))
    used = set()
    for at in range(12):
        pixels = lane.input()
        assert pixels is lane.input()
        used.add(pixels.ctypes.data)
        np.copyto(pixels, FRAMES[at])
        lane.send(at, pixels)
    assert len(used) == 3
    assert_right(lane.finish(THERE))


def test_the_callers_frame_is_free_at_once():
    lane, frame = lane_on(EmulatedDevice(4)), np.empty_like(FRAMES[0])
    lane.begin((1, 1, 12))
    for at in range(12):
        frame[:] = FRAMES[at]
        frame.flags.writeable = False
        lane.send(at, frame)
        frame.flags.writeable = True
        frame.fill(7)
    assert_right(lane.finish(THERE))


@pytest.mark.parametrize("ordered", [True, False])
def test_kernels_that_raise_the_same_projection_never_overlap(monkeypatch, ordered):
    if not ordered:
        monkeypatch.setattr(EmulatedDevice, "order", lambda self, stream, event: None)
    device = EmulatedDevice(6)
    lane = lane_on(device)
    lane.begin((1, 1, 12))
    for at in range(12):
        lane.send(at, FRAMES[at])
    lane.finish(THERE)
    assert (device.overlaps == 0) is ordered


def test_two_slots_are_too_few():
    with pytest.raises(ValueError, match="at least 3 slots"):
        lane_on(EmulatedDevice(), slots=2)
