"""The CUDA kernels against the float64 references and the CPU lane: the same source, emulated or on a GPU."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from octostream.kernels.cuda_source import FACTORS, FORMS
from octostream.kernels.gpu_buffers import BlockLayout, ConstantBuffers, SlotBuffers, places_at
from octostream.kernels.gpu_lane import GpuLane
from octostream.kernels.gpu_launches import plan_launches
from octostream.kernels.gpu_plan import plan_gpu
from octostream.kernels.gpu_structures import TALLY
from octostream.kernels.lane import Lane, plan_lane
from octostream.kernels.projections import ALONG
from octostream.kernels.recipe import Recipe
from octostream.kernels.reference import reduce_reference
from octostream.kernels.statistics import statistics_reference
from octostream.stream.model import Plan

from .counts import counts_of, kinds
from .cuda_emulator.device import POISON, EmulatedDevice
from .gpu_devices import on_every_device
from .mapped import mapped_recipe

#: Around the sizes at which the kernels cut frames: spans of 8, warps of 32 spans, four rows of cells, tiles of 64.
sides = st.one_of(st.integers(1, 40), st.sampled_from([63, 64, 65, 127, 128, 129, 255, 256, 257, 300]))
shapes = st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 3), sides, sides).filter(
    lambda shape: np.prod(shape) < 40_000
)
seeds = st.integers(0, 2**31)


def planned(recipe, plan, maps=None, *, keep_raw=False):
    maps = maps or {}
    lane = plan_lane(recipe, plan, maps, keep_raw=keep_raw)
    return lane, plan_gpu(lane)


def reduce_all(lane, plan, frames, order=None):
    """Reduce every block; products of all blocks put together, and what each frame gave."""
    flat, whole, stats = frames.reshape(-1, *plan.frame_shape), {}, {}
    for block in plan.blocks:
        lane.begin(block.extent)
        for at in range(block.count) if order is None else order(block.count):
            stats[block.first + at] = lane.add(int(at), flat[block.first + at])
        made = lane.finish(np.ones(block.extent, bool))
        assert all(array.flags.c_contiguous for array in made.values())
        whole = {k: np.concatenate([whole[k], v]) if k in whole else v.copy() for k, v in made.items()}
    return whole, stats


def assert_same(got, expected, tolerance=0):
    assert list(got) == list(expected)
    for path, array in expected.items():
        assert got[path].shape == array.shape, path
        assert got[path].dtype == array.dtype, path
        off = np.abs(got[path].astype(np.int64) - array.astype(np.int64)).max()
        assert off <= tolerance, f"{path} is {off} counts off"


@on_every_device
@settings(max_examples=60)
@given(shapes, kinds, seeds, st.sampled_from(FACTORS), st.integers(1, 9), st.data())
@example((1, 1, 1, 1, 1), "any", 0, 2, 256, None)
@example((1, 1, 1, 1, 2049), "ends", 0, 4, 1, None)
@example((1, 1, 1, 2049, 1), "ends", 0, 2, 1, None)
@example((1, 1, 2, 7, 66), "falling", 0, 4, 1, None)
def test_whole_numbers_are_exact_for_any_shape(device_of, shape, kind, seed, factor, until, data):
    offset, gain = (98, 1) if data is None else data.draw(st.tuples(st.integers(-300, 70000), st.integers(1, 300)))
    pedestal = 100 if data is None else data.draw(st.integers(0, 65535))
    frames, plan = counts_of(shape, kind, seed), Plan(shape)
    texts = [f"calibrate.offset={offset}", f"calibrate.gain={gain}", f"bin.factor={factor}"]
    recipe = Recipe.load("lightsheet", [*texts, f"pyramid.until={until}", f"encode.pedestal={pedestal}"])
    lane, gpu = planned(recipe, plan, keep_raw=True)
    got, stats = reduce_all(GpuLane(gpu, device_of(seed)), plan, frames, np.random.default_rng(seed).permutation)
    assert_same(got, reduce_reference(recipe, frames, {}) | {"raw/0": frames})
    assert stats == reduce_all(Lane(lane), plan, frames)[1]
    assert stats == {n: statistics_reference(frame) for n, frame in enumerate(frames.reshape(-1, *shape[3:]))}


@on_every_device
@settings(max_examples=60)
@given(shapes, kinds, seeds, st.sampled_from(FACTORS), st.booleans(), st.data())
def test_maps_and_hot_pixels(device_of, shape, kind, seed, factor, whole, data):
    rng, frames, plan = np.random.default_rng(seed), counts_of(shape, kind, seed), Plan(shape)
    maps = {}
    if data.draw(st.booleans()):
        maps["calibrate.offset"] = rng.normal(100, 20, shape[3:]).astype(np.float32)
    if data.draw(st.booleans()):
        maps["calibrate.gain"] = rng.uniform(0.3, 40, shape[3:]).astype(np.float32)
    hot = np.argwhere(rng.random(shape[3:]) < data.draw(st.sampled_from([0, 0.02, 0.3, 0.8])))
    if len(hot) < np.prod(shape[3:]) and max(shape[3:]) < 64:
        maps["hot_pixels.pixels"] = hot.astype(np.int32)
    if whole:
        maps = {
            key: np.rint(value + 0.5).astype(value.dtype) if key[0] == "c" else value for key, value in maps.items()
        }
    recipe = mapped_recipe(maps, f"bin.factor={factor}", "pyramid.until=4")
    lane, gpu = planned(recipe, plan, maps)
    got, stats = reduce_all(GpuLane(gpu, device_of(seed)), plan, frames)
    expected = reduce_reference(recipe, frames, maps)
    on_cpu, cpu_stats = reduce_all(Lane(lane), plan, frames)
    assert stats == cpu_stats
    if whole:
        assert_same(got, expected)
        assert_same(got, on_cpu)
    else:
        for other in (expected, on_cpu):
            assert_same({"0": got["0"]}, {"0": other["0"]}, tolerance=1)
            ties = got["0"] != other["0"]
            assert ties.mean() <= 0.01 + 1 / ties.size


@on_every_device
@settings(max_examples=40)
@given(st.floats(-1e3, 1e5), st.floats(1e-3, 1e3), kinds, st.integers(0, 99), st.sampled_from(FACTORS))
def test_fractional_numbers_are_off_at_ties_only(device_of, offset, gain, kind, seed, factor):
    frames = counts_of((1, 1, 2, 9, 33), kind, seed)
    recipe = Recipe.load("lightsheet", [f"calibrate.offset={offset}", f"calibrate.gain={gain}", f"bin.factor={factor}"])
    plan = Plan(frames.shape)
    got, _ = reduce_all(GpuLane(planned(recipe, plan)[1], device_of(seed)), plan, frames)
    assert_same(got, reduce_reference(recipe, frames, {}), tolerance=1)


def maps_of_form(form, rng, size):
    """Give maps that need just this form: wide addends for offsets that span many powers of two."""
    maps = {}
    if form[1]:
        finest = {(0, 64): 2.0**-20, (16, 64): 2.0**-10, (32, 64): 2.0**-4}.get(form, 0.5)
        maps["calibrate.offset"] = rng.integers(0, 200 if form[1] == 32 else 2**24, size).astype(np.float32) / 2
        maps["calibrate.offset"][0, 1] = finest
    if form[0]:
        maps["calibrate.gain"] = rng.integers(1, 40, size).astype(np.float32)
        if form[0] == 32:
            maps["calibrate.gain"][0, 1] = 1 + 2.0**-20
    return maps


@on_every_device
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("width", [40, 37])
def test_every_form_of_the_calibration(device_of, form, factor, width):
    rng = np.random.default_rng(7)
    plan = Plan((1, 1, 3, 11, width))
    maps = maps_of_form(form, rng, plan.frame_shape)
    maps["hot_pixels.pixels"] = np.array([[0, 0], [4, 5], [4, 6], [8, 12], [10, width - 1]], np.int32)
    frames = counts_of(plan.shape, "any", 1)
    recipe = mapped_recipe(maps, f"bin.factor={factor}", "pyramid.until=3")
    lane, gpu = planned(recipe, plan, maps)
    assert gpu.fixed.form == form
    device = device_of(5)
    got, stats = reduce_all(GpuLane(gpu, device), plan, frames)
    assert_same(got, reduce_reference(recipe, frames, maps))
    assert stats == reduce_all(Lane(lane), plan, frames)[1]


@on_every_device
def test_huge_map_values_stay_exact(device_of):
    rng = np.random.default_rng(0)
    frames = counts_of((1, 1, 1, 20, 30), "any", 0)
    maps = {
        "calibrate.offset": rng.integers(60000, 65536, (20, 30)).astype(np.float32),
        "calibrate.gain": rng.integers(90001, 99999, (20, 30)).astype(np.float32),
    }
    frames[0, 0, 0] = maps["calibrate.offset"]
    recipe, plan = mapped_recipe(maps), Plan(frames.shape)
    got, _ = reduce_all(GpuLane(planned(recipe, plan, maps)[1], device_of()), plan, frames)
    assert (got["0"] == 100).all()


@on_every_device
def test_sums_and_squares_are_whole_and_exact(device_of):
    frames, plan = counts_of((1, 1, 3, 70, 601), "any", 3), Plan((1, 1, 3, 70, 601))
    frames[0, 0, 1] = 65535
    lane = GpuLane(planned(Recipe.load("lightsheet"), plan)[1], device_of(2))
    lane.begin((1, 1, 3))
    for at in range(3):
        lane.send(at, frames[0, 0, at])
    for at in range(3):
        tally, raw = lane.tally(at), frames[0, 0, at].astype(object)
        assert (tally["sum"], tally["squares"]) == (raw.sum(), (raw * raw).sum())
        assert (65535 - tally["depth"], tally["high"]) == (raw.min(), raw.max())
        assert tally["saturated"] == (raw == 65535).sum()


def assert_every_pixel_is_written_and_twice_the_same(device_of, frames, *overrides):
    plan = Plan(frames.shape)
    listed = np.random.default_rng(1).random(plan.frame_shape) < 0.05
    hot = {"hot_pixels.pixels": np.argwhere(listed).astype(np.int32)}
    gpu = planned(mapped_recipe(hot, "pyramid.until=2", *overrides), plan, hot)[1]
    first, _ = reduce_all(GpuLane(gpu, device_of(0)), plan, frames)
    device = device_of(9)
    lane = GpuLane(gpu, device)
    if isinstance(device, EmulatedDevice):
        lane._products.bytes.fill(POISON)
    for _ in range(2):
        again, _ = reduce_all(lane, plan, frames, np.random.default_rng(5).permutation)
        assert_same(again, first)


@on_every_device
def test_every_pixel_is_written_and_twice_gives_the_same_bits(device_of):
    assert_every_pixel_is_written_and_twice_the_same(device_of, counts_of((2, 2, 2, 37, 300), "any", 4))


@on_every_device
def test_missing_frames_are_zero_and_leave_the_projection(device_of):
    frames, plan = counts_of((2, 2, 3, 9, 11), "any", 1), Plan((2, 2, 3, 9, 11))
    lane, gpu = planned(Recipe.load("lightsheet", ["pyramid.until=2"]), plan, keep_raw=True)
    there = np.zeros((2, 2, 3), bool)
    there.reshape(-1)[[4, 0, 2]] = True
    made = []
    for one in (GpuLane(gpu, device_of()), Lane(lane)):
        reduce_all(one, plan, frames)
        one.begin((2, 2, 3))
        for at in (4, 0, 2):
            one.add(at, frames.reshape(-1, 9, 11)[at])
        made.append(one.finish(there))
    assert_same(*made)


@on_every_device
def test_level_0_of_a_frame_at_any_time(device_of):
    frames, plan = counts_of((1, 1, 4, 20, 50), "any", 1), Plan((1, 1, 4, 20, 50))
    lane, gpu = planned(Recipe.load("lightsheet"), plan)
    gpu_lane, cpu_lane = GpuLane(gpu, device_of(3)), Lane(lane)
    for one in (gpu_lane, cpu_lane):
        one.begin((1, 1, 4))
    for at in (2, 0, 3):
        gpu_lane.send(at, frames[0, 0, at])
        cpu_lane.add(at, frames[0, 0, at])
        assert (gpu_lane.level0(at) == cpu_lane.level0(at)).all()
    early = gpu_lane.level0(2)
    gpu_lane.finish(np.ones((1, 1, 4), bool))
    assert (early == cpu_lane.level0(2)).all()


@on_every_device
def test_blocks_of_part_of_a_stack_and_smaller_last_blocks(device_of, monkeypatch):
    from octostream.stream import model

    monkeypatch.setattr(model, "BLOCK_BYTES", 2 * 12 * 20 * 3)
    for shape in ((1, 1, 7, 12, 20), (5, 1, 2, 12, 20)):
        frames, plan = counts_of(shape, "any", 6), Plan(shape)
        lane, gpu = planned(Recipe.load("lightsheet", ["pyramid.until=4"]), plan)
        assert len({block.extent for block in plan.blocks}) == (2 if shape[0] == 1 else 1)
        one, other = GpuLane(gpu, device_of(1)), Lane(lane)
        for block in plan.blocks:
            parts = []
            for lane_ in (one, other):
                lane_.begin(block.extent)
                for at in range(block.count):
                    lane_.add(at, frames.reshape(-1, 12, 20)[block.first + at])
                parts.append(lane_.finish(np.ones(block.extent, bool)))
            assert_same(*parts)


@on_every_device
def test_deep_pyramids_in_several_launches(device_of):
    # 480 columns halve six times to 8 whole ones, which then lie unaligned behind the levels before.
    for shape in ((1, 1, 2, 1, 480), (1, 1, 2, 130, 65), (1, 1, 1, 129, 128)):
        frames, plan = counts_of(shape, "any", 8), Plan(shape)
        recipe = Recipe.load("lightsheet", ["pyramid.until=1", "bin.factor=1"])
        got, _ = reduce_all(GpuLane(planned(recipe, plan)[1], device_of(4)), plan, frames)
        assert "7" in got
        assert_same(got, reduce_reference(recipe, frames, {}))


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (5, 0, 3, 1, 4, 2)])
def test_several_frames_of_several_stacks_in_one_launch(order):
    plan, device = Plan((3, 1, 2, 21, 260)), EmulatedDevice()
    frames = counts_of(plan.shape, "any", 2).reshape(-1, 21, 260)
    hot = {"hot_pixels.pixels": np.array([[3, 3], [20, 259]], np.int32)}
    lane, gpu = planned(mapped_recipe(hot, "pyramid.until=20"), plan, hot)
    layout, constants = BlockLayout.of(gpu), ConstantBuffers.of(gpu, device)
    block, slot = device.buffer(2 * layout.size), SlotBuffers.of(gpu, device, frames=6)
    block.bytes[: 2 * layout.running].fill(POISON)
    slot.input.bytes[: frames.nbytes] = frames[list(order)].view(np.uint8).reshape(-1)
    slot.input.bytes[places_at(gpu, 6) :] = np.array(order, np.int32).view(np.uint8)
    stream, event = device.stream(), device.event()
    for launch in plan_launches(gpu, constants, slot, layout, block):
        device.launch(launch, stream)
    device.record(event, stream)
    device.wait(event)
    got = block.bytes.view(np.uint16)
    expected, stats = reduce_all(Lane(lane), plan, frames)
    starts = {f"{k}": start for k, start in enumerate(layout.levels)}
    starts |= {f"projections/{ALONG[axis][0]}": start for (axis, _), start in layout.views.items()}
    for path, array in expected.items():
        assert (got[starts[path] : starts[path] + array.size] == array.reshape(-1)).all(), path
    assert slot.tally.bytes.view(TALLY)["high"].tolist() == [stats[n].max for n in order]
    assert not slot.xz.bytes.any()
    assert not slot.yz.bytes.any()
