"""Any binning, any projection, the label of saturation on a GPU: the bits of the float64 reference and the CPU."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from octostream.kernels.binning import MODES as BIN_MODES
from octostream.kernels.cuda_source import BINNINGS
from octostream.kernels.gpu_lane import GpuLane
from octostream.kernels.lane import Lane
from octostream.kernels.projections import MODES
from octostream.kernels.recipe import Recipe
from octostream.kernels.reference import reduce_reference
from octostream.stream import model
from octostream.stream.model import Plan

from .counts import counts_of, kinds
from .gpu_devices import on_every_device
from .mapped import mapped_recipe
from .test_gpu_lane import assert_every_pixel_is_written_and_twice_the_same, assert_same, planned, reduce_all, seeds

#: Around the sizes at which the kernel cuts frames: cells of up to eight pixels, 32 cells of a row, four rows.
sides = st.one_of(st.integers(1, 40), st.sampled_from([63, 64, 65, 127, 129, 255, 257]))
shapes = st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 3), sides, sides).filter(
    lambda shape: np.prod(shape) < 15_000
)
binnings = st.sampled_from(BINNINGS)
some_modes = st.lists(st.sampled_from(MODES), unique=True, max_size=3)
some_axes = st.lists(st.sampled_from("zyx"), unique=True, max_size=3)


def settings_of(binning, along=("z", "y", "x"), modes=MODES, level=65535):
    """Give what a recipe is told; a level of 0 leaves the label out."""
    factor, mode = binning
    listed = ", ".join(f'"{name}"' for name in along), ", ".join(f'"{name}"' for name in modes)
    told = [f"bin.factor={factor}", f"bin.mode={mode}"]
    told += ["projections=false"] if not (along and modes) else []
    told += [f"projections.along=[{listed[0]}]", f"projections.modes=[{listed[1]}]"] if along and modes else []
    return [*told, "saturation=true", f"saturation.level={level}"] if level else told


def both(recipe, plan, frames, device, maps=None, order=None):
    lane, gpu = planned(recipe, plan, maps, keep_raw=False)
    assert not isinstance(gpu, str), gpu
    got, stats = reduce_all(GpuLane(gpu, device), plan, frames, order)
    expected, right = reduce_all(Lane(lane), plan, frames)
    assert stats == right
    return got, expected


@on_every_device
@settings(max_examples=80)
@given(shapes, kinds, seeds, binnings, some_axes, some_modes, st.sampled_from([0, 1, 90, 40000, 65535]), st.data())
@example((2, 1, 3, 33, 65), "any", 1, (8, "binomial"), ["z", "y", "x"], list(MODES), 60000, None)
@example((1, 2, 3, 9, 257), "ends", 2, (4, "max"), ["y"], ["min"], 65535, None)
@example((1, 1, 2, 1, 129), "full", 3, (2, "sum"), ["x", "z"], ["mean"], 0, None)
@example((1, 1, 3, 17, 3), "falling", 4, (1, "mean"), ["z"], ["min", "mean"], 1, None)
def test_whole_numbers_are_exact_for_any_binning_and_view(
    device_of, shape, kind, seed, binning, along, modes, level, data
):
    offset, gain = (98, 1) if data is None else data.draw(st.tuples(st.integers(-300, 70000), st.integers(1, 300)))
    pedestal = 100 if data is None else data.draw(st.integers(0, 65535))
    told = [f"calibrate.offset={offset}", f"calibrate.gain={gain}", f"encode.pedestal={pedestal}", "pyramid.until=3"]
    recipe = Recipe.load("lightsheet", [*told, *settings_of(binning, along, modes, level)])
    frames, plan = counts_of(shape, kind, seed), Plan(shape)
    got, expected = both(recipe, plan, frames, device_of(seed), order=np.random.default_rng(seed).permutation)
    assert_same(got, expected)
    reference = reduce_reference(recipe, frames, {})
    assert_same({path: got[path] for path in reference}, reference)


@on_every_device
@settings(max_examples=60)
@given(shapes, kinds, seeds, binnings, st.booleans(), st.data())
def test_maps_and_hot_pixels(device_of, shape, kind, seed, binning, whole, data):
    rng, frames, plan = np.random.default_rng(seed), counts_of(shape, kind, seed), Plan(shape)
    maps = {}
    if data.draw(st.booleans()):
        maps["calibrate.offset"] = rng.normal(100, 20, shape[3:]).astype(np.float32)
    if data.draw(st.booleans()):
        maps["calibrate.gain"] = rng.uniform(0.3, 3, shape[3:]).astype(np.float32)
    hot = np.argwhere(rng.random(shape[3:]) < data.draw(st.sampled_from([0, 0.02, 0.3])))
    if len(hot) < np.prod(shape[3:]) and max(shape[3:]) < 64:
        maps["hot_pixels.pixels"] = hot.astype(np.int32)
    if whole:
        maps = {
            key: np.rint(value + 0.5).astype(value.dtype) if key[0] == "c" else value for key, value in maps.items()
        }
    recipe = mapped_recipe(maps, "pyramid.until=4", *settings_of(binning))
    assume(not isinstance(planned(recipe, plan, maps)[1], str))
    got, expected = both(recipe, plan, frames, device_of(seed), maps)
    exact = whole or not any(key.startswith("calibrate") for key in maps)
    assert_same(got, expected, tolerance=0 if exact else 1)
    if exact:
        reference = reduce_reference(recipe, frames, maps)
        assert_same({path: got[path] for path in reference}, reference)


@on_every_device
@pytest.mark.parametrize("mode", BIN_MODES)
def test_fractions_are_off_at_ties_only(device_of, mode):
    frames, plan = counts_of((1, 1, 3, 21, 70), "any", 5), Plan((1, 1, 3, 21, 70))
    told = ["calibrate.offset=99.3", "calibrate.gain=0.47", "pyramid.until=20", *settings_of((2, mode))]
    got, expected = both(Recipe.load("lightsheet", told), plan, frames, device_of(1))
    assert_same(got, expected, tolerance=1)
    off = got["0"].astype(np.int64) != expected["0"]
    assert off.mean() < 0.01


@on_every_device
def test_every_pixel_is_written_and_twice_gives_the_same_bits(device_of):
    frames = counts_of((2, 2, 2, 37, 70), "ends", 4)
    assert_every_pixel_is_written_and_twice_the_same(device_of, frames, *settings_of((2, "max")))


@on_every_device
@pytest.mark.parametrize("split", [False, True])
def test_missing_frames_and_split_stacks(device_of, split, monkeypatch):
    """Frames that never came are no minimum and no part of a mean; a part of a stack gives what is merged later."""
    if split:
        monkeypatch.setattr(model, "BLOCK_BYTES", 2 * 9 * 11 * 3)
    plan = Plan((1, 1, 7, 9, 11)) if split else Plan((2, 2, 3, 9, 11))
    frames = counts_of(plan.shape, "any", 1).reshape(-1, 9, 11)
    recipe = Recipe.load("lightsheet", ["pyramid.until=2", *settings_of((2, "mean"), level=30000)])
    lane, gpu = planned(recipe, plan, keep_raw=True)
    there = np.random.default_rng(2).random(plan.shape[:3]) < 0.4
    there.reshape(-1)[-3:] = False
    one, other = GpuLane(gpu, device_of(3)), Lane(lane)
    for _ in range(2):
        for block in plan.blocks:
            present = there.reshape(-1)[block.first : block.last + 1]
            parts = []
            for lane_ in (one, other):
                lane_.begin(block.extent)
                for at in np.flatnonzero(present).tolist():
                    lane_.add(at, frames[block.first + at])
                parts.append(lane_.finish(present.reshape(block.extent)))
            assert_same(*parts)


@on_every_device
@pytest.mark.parametrize("binning", BINNINGS)
def test_hot_pixels_in_every_binning(device_of, binning):
    rng, plan = np.random.default_rng(3), Plan((1, 1, 2, 21, 45))
    hot = {"hot_pixels.pixels": np.argwhere(rng.random((21, 45)) < 0.1).astype(np.int32)}
    hot["calibrate.gain"] = rng.integers(1, 9, (21, 45)).astype(np.float32)
    frames, recipe = counts_of(plan.shape, "dim", 1), mapped_recipe(hot, "pyramid.until=8", *settings_of(binning))
    got, expected = both(recipe, plan, frames, device_of(1), hot)
    assert_same(got, expected)
    assert len(np.unique(got["0"])) > 10
