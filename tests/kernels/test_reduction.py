"""The compiled reduction against the float64 references, over shapes, data, recipes and orders of arrival."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from octostream.kernels import lane as lane_module
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import BlockReducer, plan_reduction, warm_up
from octostream.kernels.reference import reduce_reference
from octostream.kernels.statistics import statistics_reference
from octostream.stream import model
from octostream.stream.errors import RecipeError
from octostream.stream.model import FrameStats, Plan, Product

from .counts import counts_of, kinds
from .mapped import mapped_recipe

DATA = Path(__file__).parents[2].parent / "shared" / "data"

shapes = st.tuples(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 6), st.integers(1, 21), st.integers(1, 75)
).filter(lambda shape: np.prod(shape) < 60_000)
factors, modes = st.sampled_from([1, 2, 4, 8]), st.sampled_from(["mean", "sum", "max", "binomial"])


def reduce_all(reducer: BlockReducer, frames, order=None):
    """Reduce every block and merge the parts as a store would."""
    plan = reducer._reduction.plan
    whole = {p.path: np.zeros(p.shape, p.dtype) for p in reducer._reduction.products}
    stats = {}
    flat = frames.reshape(-1, *plan.frame_shape)
    for block in plan.blocks:
        reducer.begin(block)
        for number in block.frames if order is None else order(list(block.frames)):
            stats[number] = reducer.add(number, flat[number])
        merge(reducer, whole, block)
    return whole, stats


def merge(reducer, whole, block):
    at = dict(zip("tcz", block.origin, strict=True))
    size = dict(zip("tcz", block.extent, strict=True))
    parts = reducer.finish()
    assert set(parts) == set(whole)
    for product in reducer._reduction.products:
        part = parts[product.path]
        assert part.dtype == product.dtype
        assert part.flags.c_contiguous
        where = tuple(slice(at[a], at[a] + size[a]) if a in at else slice(None) for a in product.axes)
        target = whole[product.path][where]
        assert part.shape == target.shape
        target[...] = np.maximum(target, part) if product.fold == "max" else part


def assert_equal(got, expected, tolerance=0):
    for path, array in expected.items():
        assert got[path].shape == array.shape
        off = np.abs(got[path].astype(np.int64) - array.astype(np.int64)).max()
        assert off <= tolerance, f"{path} is {off} counts off"


@settings(deadline=None, max_examples=120)
@given(shapes, kinds, st.integers(0, 2**32 - 1), factors, modes, st.integers(1, 9), st.data())
@example((1, 1, 1, 1, 1), "any", 0, 2, "mean", 256, None)
@example((1, 1, 1, 1, 1), "any", 0, 2, "binomial", 256, None)
@example((1, 1, 1, 1, 70), "ends", 0, 4, "mean", 1, None)
@example((1, 1, 2, 7, 66), "falling", 0, 4, "mean", 1, None)
@example((1, 1, 2, 17, 66), "full", 0, 8, "binomial", 1, None)
def test_whole_numbers_are_exact_for_any_shape(shape, kind, seed, factor, mode, until, data):
    offset, gain = (98, 1) if data is None else data.draw(st.tuples(st.integers(-300, 70000), st.integers(1, 300)))
    pedestal = 100 if data is None else data.draw(st.integers(0, 65535))
    limit = 4 if data is None else data.draw(st.integers(1, 30))
    frames = counts_of(shape, kind, seed)
    texts = [f"calibrate.offset={offset}", f"calibrate.gain={gain}", f"bin.factor={factor}"]
    texts += [f"bin.mode={mode}"]
    recipe = Recipe.load("lightsheet", [*texts, f"pyramid.until={until}", f"encode.pedestal={pedestal}"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "BLOCK_BYTES", 2 * shape[3] * shape[4] * limit)
        reducer = plan_reduction(recipe, Plan(shape), keep_raw=True).reducer()
        shuffle = np.random.default_rng(seed).permutation
        got, stats = reduce_all(reducer, frames, lambda numbers: shuffle(numbers).tolist() + numbers[:2])
    assert_equal(got, reduce_reference(recipe, frames, {}) | {"raw/0": frames})
    flat = frames.reshape(-1, *shape[3:])
    assert stats == {number: statistics_reference(flat[number]) for number in range(len(flat))}


@settings(deadline=None, max_examples=60)
@given(shapes, kinds, st.integers(0, 2**32 - 1), factors, modes, st.booleans(), st.data())
def test_maps_and_hot_pixels(shape, kind, seed, factor, mode, whole, data):
    rng = np.random.default_rng(seed)
    frames, size = counts_of(shape, kind, seed), shape[3:]
    maps = {}
    if data.draw(st.booleans()):
        maps["calibrate.offset"] = rng.normal(100, 20, size).astype(np.float32)
    if data.draw(st.booleans()):
        maps["calibrate.gain"] = rng.uniform(0.3, 40, size).astype(np.float32)
    hot = np.argwhere(rng.random(size) < data.draw(st.sampled_from([0, 0.02, 0.3, 0.8])))
    if len(hot) < np.prod(size):
        maps["hot_pixels.pixels"] = hot.astype(np.int32)
    if whole:
        maps = {
            key: np.rint(value + 0.5).astype(value.dtype) if key[0] == "c" else value for key, value in maps.items()
        }
    recipe = mapped_recipe(maps, f"bin.factor={factor}", f"bin.mode={mode}", "pyramid.until=4")
    got, _ = reduce_all(plan_reduction(recipe, Plan(shape), maps).reducer(), frames)
    expected = reduce_reference(recipe, frames, maps)
    if whole:
        assert_equal(got, expected)
    else:
        assert_equal({"0": got["0"]}, {"0": expected["0"]}, tolerance=1)
        ties = got["0"] != expected["0"]
        assert ties.mean() <= 0.01 + 1 / ties.size


@settings(deadline=None, max_examples=40)
@given(st.floats(-1e3, 1e5), st.floats(1e-3, 1e3), kinds, st.integers(0, 99), factors)
def test_fractional_numbers_are_off_at_ties_only(offset, gain, kind, seed, factor):
    frames = counts_of((1, 1, 2, 9, 33), kind, seed)
    recipe = Recipe.load("lightsheet", [f"calibrate.offset={offset}", f"calibrate.gain={gain}", f"bin.factor={factor}"])
    got, _ = reduce_all(plan_reduction(recipe, Plan(frames.shape)).reducer(), frames)
    assert_equal(got, reduce_reference(recipe, frames, {}), tolerance=1)


def test_huge_map_values_stay_exact():
    rng = np.random.default_rng(0)
    frames = counts_of((1, 1, 1, 20, 30), "any", 0)
    maps = {
        "calibrate.offset": rng.integers(60000, 65536, (20, 30)).astype(np.float32),
        "calibrate.gain": rng.integers(90001, 99999, (20, 30)).astype(np.float32),
    }
    frames[0, 0, 0] = maps["calibrate.offset"]
    recipe = mapped_recipe(maps)
    reduction = plan_reduction(recipe, Plan(frames.shape), maps)
    got, _ = reduce_all(reduction.reducer(), frames)
    assert reduction.lane.calibration.base_map.dtype == np.float64
    assert (got["0"] == 100).all()


@pytest.mark.parametrize(("gain", "frames"), [(0.5, 0), (99_999, 1)])
def test_rare_maps_are_compiled_before_frames_come(monkeypatch, gain, frames):
    maps, called = {"calibrate.gain": np.full((6, 6), gain, np.float32)}, []
    maps["calibrate.gain"][2, 3] += 0.25 + gain / 1000
    plain = lane_module.reduce_frame
    monkeypatch.setattr(lane_module, "reduce_frame", lambda *a, **k: called.append(a[0].max()) or plain(*a, **k))
    plan_reduction(mapped_recipe(maps), Plan((1, 1, 1, 6, 6)), maps).reducer()
    assert called == [0] * frames


def test_real_lattice_stack():
    path = DATA / "lattice_lightsheet_raw.tif"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    frames = tifffile.imread(path)[None, None]
    plan = Plan(frames.shape, rate_hz=40.0)
    recipe = Recipe.load("lightsheet", ["calibrate.offset=98", "pyramid.until=20"])
    reduction = plan_reduction(recipe, plan, keep_raw=True)
    got, stats = reduce_all(reduction.reducer(), frames)
    assert plan.blocks.splits_stacks
    assert_equal(got, reduce_reference(recipe, frames, {}) | {"raw/0": frames})
    # Once more without any code of the references.
    level0 = np.rint((frames - 98.0).reshape(88, 160, 2, 128, 2).mean((2, 4))) + 100
    assert (got["0"][0, 0] == level0).all()
    assert (got["projections/xz"][0, 0] == level0.max(1)).all()
    assert stats[7].mean == frames[0, 0, 7].mean(dtype=np.float64)


def test_products_of_a_camera_frame():
    products = plan_reduction(Recipe.load("lightsheet"), Plan((2, 3, 5, 2048, 2047)), keep_raw=True).products
    assert products == (
        Product("0", "tczyx", (2, 3, 5, 1024, 1024), "uint16", 2),
        Product("1", "tczyx", (2, 3, 5, 512, 512), "uint16", 4, follows="halved"),
        Product("2", "tczyx", (2, 3, 5, 256, 256), "uint16", 8, follows="halved"),
        Product("projections/xy", "tcyx", (2, 3, 1024, 1024), "uint16", 2, "max", follows="level 0"),
        Product("projections/xz", "tczx", (2, 3, 5, 1024), "uint16", 2, follows="level 0"),
        Product("projections/yz", "tczy", (2, 3, 5, 1024), "uint16", 2, follows="level 0"),
        Product("raw/0", "tczyx", (2, 3, 5, 2048, 2047), "uint16", 1),
    )
    assert [p.path for p in plan_reduction(Recipe.load("lightsheet"), Plan((1, 1, 1, 512, 100))).products[:2]] == [
        "0",
        "projections/xy",
    ]


def test_missing_frames_are_zero_and_leave_the_projection():
    rng = np.random.default_rng(1)
    frames = rng.integers(200, 60000, (2, 2, 3, 9, 11), dtype=np.uint16)
    plan = Plan(frames.shape)
    reducer = plan_reduction(Recipe.load("lightsheet", ["pyramid.until=2"]), plan, keep_raw=True).reducer()
    full, _ = reduce_all(reducer, frames)
    reducer.begin(plan.blocks[0])
    flat = frames.reshape(-1, 9, 11)
    for number in (4, 0, 2):
        reducer.add(number, flat[number])
    part = reducer.finish()
    there = np.zeros((2, 2, 3), bool)
    there.reshape(-1)[[4, 0, 2]] = True
    for path, array in part.items():
        if path == "projections/xy":
            expected = np.where(there[..., None, None], full["0"], 0).max(axis=2)
        else:
            expected = full[path] * there.reshape(*there.shape, *[1] * (array.ndim - 3))
        assert (array == expected).all(), path


def test_buffers_are_reused_and_smaller_blocks_fit():
    plan = Plan((5, 2, 2, 6, 6), rate_hz=8.0)
    frames = counts_of(plan.shape, "any", 3)
    reducer = plan_reduction(Recipe.load("lightsheet"), plan).reducer()
    assert [b.extent for b in plan.blocks] == [(2, 2, 2), (2, 2, 2), (1, 2, 2)]
    first = None
    for block in plan.blocks:
        reducer.begin(block)
        for number in block.frames:
            reducer.add(number, frames.reshape(-1, 6, 6)[number])
        parts = reducer.finish()
        first = parts if first is None else first
        assert all(np.shares_memory(parts[path], first[path]) for path in parts)
        assert parts["0"].shape == (*block.extent, 3, 3)


def test_caller_pixels_are_only_read():
    pixels = counts_of((5, 7), "any", 0)
    before = pixels.copy()
    reducer = plan_reduction(Recipe.load("lightsheet", ["hot_pixels.pixels=[[1,1]]"]), Plan((1, 1, 1, 5, 7))).reducer()
    reducer.begin(reducer._reduction.plan.blocks[0])
    stats = reducer.add(0, pixels)
    assert (pixels == before).all()
    assert pixels.flags.writeable
    plane = reducer.level0(0).copy()
    reducer.begin(reducer._reduction.plan.blocks[0])
    shifted = np.frombuffer(b"\0" + before.tobytes(), np.uint16, offset=1).reshape(5, 7)
    assert not shifted.flags.writeable
    assert reducer.add(0, shifted) == stats
    assert (reducer.level0(0) == plane).all()


def test_a_block_that_was_finished_takes_no_frame_and_leaves_no_rows():
    plan = Plan((4, 1, 2, 6, 6), rate_hz=4.0)
    reducer = plan_reduction(Recipe.load("lightsheet", ["histogram=true"]), plan).reducer()
    pixels = np.full((6, 6), 300, np.uint16)
    reducer.begin(plan.blocks[0])
    stats = reducer.add(0, pixels)
    arrays = {path: array.copy() for path, array in reducer.finish().items()}
    assert reducer.tables()["histogram"]["frame"].tolist() == [0]
    with pytest.raises(ValueError, match="frame 1 came after its block was finished"):
        reducer.add(1, pixels)
    # One that was counted may come again.
    assert reducer.add(0, pixels) == stats
    assert all((array == arrays[path]).all() for path, array in reducer.finish().items())
    reducer.begin(plan.blocks[1])
    assert reducer.tables() == {}


def test_a_frame_that_does_not_belong_is_refused():
    plan = Plan((4, 1, 2, 6, 6), rate_hz=4.0)
    reducer = plan_reduction(Recipe.load("lightsheet"), plan).reducer()
    pixels = np.zeros((6, 6), np.uint16)
    with pytest.raises(ValueError, match="no block"):
        reducer.finish()
    with pytest.raises(ValueError, match="frame 0 is not of the block"):
        reducer.add(0, pixels)
    reducer.begin(plan.blocks[1])
    for number in (3, 8):
        with pytest.raises(ValueError, match=f"frame {number} is not of the block"):
            reducer.add(number, pixels)
    with pytest.raises(ValueError, match="frame 4 was not added"):
        reducer.level0(4)
    for wrong in (pixels[:5], pixels.astype(np.int16), np.zeros((6, 12), np.uint16)[:, ::2], pixels.astype(">u2")):
        with pytest.raises(ValueError, match="frame 4 is"):
            reducer.add(4, wrong)
    with pytest.raises(ValueError, match="not a block of this plan"):
        reducer.begin(Plan((4, 1, 2, 6, 6)).blocks[0])


def test_rows_longer_than_a_32_bit_sum():
    frames = counts_of((1, 1, 2, 1, 140_001), "full", 0)
    frames[0, 0, 1, 0, 70_000:] = 7
    reducer = plan_reduction(Recipe.load("lightsheet", ["pyramid.until=100000"]), Plan(frames.shape)).reducer()
    got, stats = reduce_all(reducer, frames)
    assert_equal(got, reduce_reference(reducer._reduction.recipe, frames, {}))
    assert stats == {0: statistics_reference(frames[0, 0, 0]), 1: statistics_reference(frames[0, 0, 1])}
    assert stats[0] == FrameStats(65535, 65535, 65535.0, 140_001)


def test_threads_with_their_own_reducers_agree():
    frames = counts_of((1, 1, 16, 64, 96), "any", 5)
    hot = [[y, x] for y in range(0, 64, 3) for x in range(0, 96, 2)]
    reduction = plan_reduction(Recipe.load("lightsheet", [f"hot_pixels.pixels={hot}"]), Plan(frames.shape))
    expected = reduce_reference(reduction.recipe, frames, {})
    assert not np.shares_memory(
        reduction.reducer()._work._lane._hot.scratch, reduction.reducer()._work._lane._hot.scratch
    )
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(reduce_all(reduction.reducer(), frames)[0])) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == 4
    for result in results:
        assert_equal(result, expected)


@pytest.mark.parametrize("key", ["calibrate.offset", "calibrate.gain", "hot_pixels.pixels"])
def test_maps_are_checked_again_on_arrival(key):
    good = np.array([[1, 1]], np.int32) if key[0] == "h" else np.full((6, 6), 2, np.float32)
    recipe = mapped_recipe({key: good})
    plan = Plan((1, 1, 1, 6, 6))
    plan_reduction(recipe, plan, {key: good})
    with pytest.raises(RecipeError, match=f"{key} .*needs the map"):
        plan_reduction(recipe, plan, {})
    with pytest.raises(RecipeError, match=f"{key} map .* is not the one"):
        plan_reduction(recipe, plan, {key: good + good.dtype.type(1)})
    with pytest.raises(RecipeError, match=r"5 x 5|outside the 1 x 1"):
        plan_reduction(recipe, Plan((1, 1, 1, 1, 1)) if key[0] == "h" else plan, {key: good[:5, :5]})


def test_a_file_that_was_not_resolved_is_refused(tmp_path):
    recipe = Recipe.load("lightsheet", [f"calibrate.gain={tmp_path / 'gain.npy'}"])
    with pytest.raises(RecipeError, match="still a file"):
        plan_reduction(recipe, Plan((1, 1, 1, 6, 6)))


def test_a_dead_region_is_refused():
    hot = [[y, x] for y in range(70) for x in range(70)]
    with pytest.raises(RecipeError, match="every pixel within 32"):
        plan_reduction(Recipe.load("lightsheet", [f"hot_pixels.pixels={hot}"]), Plan((1, 1, 1, 70, 70)))


def test_warm_up_leaves_nothing_to_compile_for_maps():
    from octostream.kernels.fused import _reduce_frame

    warm_up()
    before = len(_reduce_frame.signatures), len(lane_module.halve.signatures)
    maps = {"calibrate.gain": np.full((8, 8), 0.5, np.float32), "calibrate.offset": np.full((8, 8), 99, np.float32)}
    reduce_all(
        plan_reduction(mapped_recipe(maps), Plan((1, 1, 1, 8, 8)), maps).reducer(), counts_of((1, 1, 1, 8, 8), "any", 0)
    )
    assert (len(_reduce_frame.signatures), len(lane_module.halve.signatures)) == before
