"""NumPy does the same work: its products are ours, bit for bit."""

from itertools import islice

import numpy as np
import pytest
import xxhash
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from octostream.benchmarks.contestant import Task
from octostream.benchmarks.numpy_reduction import Constants, reduce_plain, reduce_tuned
from octostream.benchmarks.numpy_store import NumpyStore
from octostream.benchmarks.numpy_zarr import STORE, gather, work
from octostream.benchmarks.workload import OFFSET, Workload
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.sinks.layout import array_path
from octostream.stream.model import Plan

COUNTS = st.one_of(st.integers(0, 65535), st.integers(90, 110), st.sampled_from([0, 65534, 65535]))
SHAPES = st.tuples(st.integers(1, 33), st.integers(1, 33))
FRAMES = SHAPES.flatmap(lambda shape: arrays(np.uint16, shape, elements=COUNTS))
REDUCTIONS = [reduce_plain, reduce_tuned]


def ours(frames, until=4):
    """Reduce frames (z, y, x) with octostream's own kernels."""
    recipe = Recipe.load("lightsheet", [f"calibrate.offset={OFFSET}", f"pyramid.until={until}"])
    reduction = plan_reduction(recipe, Plan((1, 1, *frames.shape)))
    reducer = reduction.reducer()
    reducer.begin(reduction.plan.blocks[0])
    stats = [reducer.add(number, frame) for number, frame in enumerate(frames)]
    return reduction, reducer.finish(), stats


@pytest.mark.parametrize("reduce_frame", REDUCTIONS)
@settings(deadline=None, max_examples=60)
@given(frame=FRAMES)
def test_any_frame(reduce_frame, frame):
    reduction, wanted, stats = ours(frame[None])
    got = reduce_frame(frame, len(reduction.lane.levels), Constants(OFFSET))
    parts = gather(reduction.plan.blocks[0], [got])
    assert parts.keys() == wanted.keys()
    for path, part in wanted.items():
        np.testing.assert_array_equal(parts[path], part, err_msg=path, strict=True)
    assert got.stats == stats[0]


@pytest.mark.parametrize("reduce_frame", REDUCTIONS)
def test_the_recorded_stack(reduce_frame, lattice):
    bank = Workload(lattice, (407, 305)).bank()[:10]
    reduction, wanted, stats = ours(bank, until=64)
    got = [reduce_frame(frame, len(reduction.lane.levels), Constants(OFFSET)) for frame in bank]
    for path, part in gather(reduction.plan.blocks[0], got).items():
        np.testing.assert_array_equal(part, wanted[path], err_msg=path, strict=True)
    assert [g.stats for g in got] == stats


@pytest.mark.parametrize("tuned", [False, True])
def test_the_store_holds_every_product_of_every_frame(workload, tmp_path, tuned):
    measurement = work(Task("numpy", workload, tmp_path, 0.0, {"tuned": tuned}))
    bank = workload.bank()
    _, wanted, stats = ours(bank, until=256)
    assert measurement.frames == 88
    assert measurement.raw_bytes == bank.nbytes
    for product in workload.reduction(0.0).products:
        array = zarr.open_array(tmp_path / STORE / array_path(product), mode="r")
        assert array.shape == product.shape
        np.testing.assert_array_equal(array[:1], wanted[product.path], err_msg=product.path, strict=True)
    columns = {n: zarr.open_array(tmp_path / STORE / "frames" / n, mode="r")[...] for n in ("min", "max", "checksum")}
    assert columns["min"].tolist() == [s.min for s in stats]
    assert columns["max"].tolist() == [s.max for s in stats]
    assert columns["checksum"].tolist() == [xxhash.xxh3_64_intdigest(frame.data) for frame in bank]


def test_stacks_of_several_blocks_and_a_stack_cut_short(tmp_path):
    frames = np.random.default_rng(5).integers(0, 400, (12, 40, 56), dtype=np.uint16)
    plan = Plan((2, 1, 6, 40, 56), rate_hz=2.5)
    recipe = Recipe.load("lightsheet", [f"calibrate.offset={OFFSET}", "pyramid.until=16"])
    reduction = plan_reduction(recipe, plan)
    assert plan.blocks.step == (1, 1, 2)
    reducer = reduction.reducer()
    store = NumpyStore(tmp_path / "a", plan, reduction.products)
    wanted = {p.path: np.zeros(p.shape, np.uint16) for p in reduction.products}
    rows = []
    for block in islice(plan.blocks, 5):  # the last block of the second stack never comes
        got = [reduce_tuned(frames[n], len(reduction.lane.levels), Constants(OFFSET)) for n in block.frames]
        store.write(block, gather(block, got))
        rows += [(g.stats, 7) for g in got]
        reducer.begin(block)
        for number in block.frames:
            reducer.add(number, frames[number])
        t, _, z = block.origin
        for path, part in reducer.finish().items():
            if path == "projections/xy":
                wanted[path][t] = np.maximum(wanted[path][t], part[0])
            else:
                wanted[path][t, :, z : z + block.extent[2]] = part[0]
    store.finish(rows)
    for product in reduction.products:
        array = zarr.open_array(tmp_path / "a" / array_path(product), mode="r")
        np.testing.assert_array_equal(array[...], wanted[product.path], err_msg=product.path, strict=True)
