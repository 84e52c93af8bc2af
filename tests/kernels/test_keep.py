"""Keep or skip: metrics as NumPy gives them, decisions by the rule, and nothing but projections of what is skipped."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from octostream.kernels.keep import Keep, PlaneBins, StackMeter, metric_reference
from octostream.stream.errors import RecipeError

from .blockwise import run, same
from .counts import counts_of, kinds

DATA = Path(__file__).parents[2].parent / "shared" / "data"
METRICS = ("snr", "entropy", "mean", "max")
shapes = st.tuples(st.integers(1, 5), st.integers(1, 20), st.integers(1, 40))


def judged(stack, metric, pedestal=100.0, order=None):
    meter = StackMeter(metric, pedestal, PlaneBins())
    meter.add(np.ones((3, 4), np.uint16))
    meter.clear()
    for z in range(len(stack)) if order is None else order:
        meter.add(stack[z])
    return meter.metric()


@given(shapes, kinds, st.integers(0, 99), st.sampled_from(METRICS))
@example((2, 1, 1), "any", 0, "snr")
@example((2, 1, 140_001), "full", 0, "mean")
@example((1, 2, 140_001), "ends", 0, "snr")
def test_metrics_are_numpys_in_any_order(shape, kind, seed, metric):
    stack = counts_of(shape, kind, seed)
    stack.flags.writeable = False
    got, expected = judged(stack, metric), metric_reference(stack, metric, 100.0)
    assert math.isclose(got, expected, rel_tol=1e-6, abs_tol=1e-4)
    assert judged(stack, metric, order=range(len(stack))[::-1]) == got


def test_noise_has_no_structure_and_a_specimen_has():
    rng = np.random.default_rng(0)
    noise = rng.normal(100, 2, (4, 128, 128))
    y, x = np.ogrid[:128, :128]
    ball = 20.0 * ((y - 40) ** 2 + (x - 60) ** 2 < 15**2)
    empty, dim = (np.rint(stack).astype(np.uint16) for stack in (noise, noise + ball))
    assert judged(empty, "snr") < 0.1
    assert 1 < judged(dim, "snr") < 20
    assert judged(dim, "snr", pedestal=0) == judged(dim, "snr")
    assert judged(np.full((2, 3, 4), 7, np.uint16), "snr") == 0
    assert judged(np.array([[[1, 1], [9, 9]]], np.uint16), "snr") == math.inf
    assert judged(np.array([[[100, 104], [108, 112]]], np.uint16), "entropy") == 2
    assert judged(dim, "max") == dim.max() - 100


stacks = st.tuples(st.integers(1, 4), st.integers(1, 2), st.integers(1, 3), st.integers(1, 20), st.integers(1, 30))


@settings(max_examples=40)
@given(stacks, st.integers(0, 99), st.sampled_from(METRICS), st.integers(0, 3), st.integers(3, 20), st.floats(0, 0.7))
def test_the_step_keeps_what_the_rule_says(shape, seed, metric, every, block_frames, share):
    rng = np.random.default_rng(seed)
    light = rng.choice([0, 3, 50, 3000], shape[:2])[:, :, None, None, None]
    frames = (100 + rng.poisson(light + np.zeros(shape))).astype(np.uint16)
    frames[..., : shape[3] // 2, :] += (5 * light).astype(np.uint16)
    lost = set(np.flatnonzero(rng.random(math.prod(shape[:3])) < share).tolist())
    lane = ["pyramid.until=4", "histogram=true"]
    threshold = {"snr": 1.0, "entropy": 2.0, "mean": 40.0, "max": 60.0}[metric]
    step = ["keep=true", f"keep.metric={metric}", f"keep.threshold={threshold}", f"keep.every={every}"]
    before = run(lane, frames, lost=lost, block_frames=block_frames).arrays
    got = run([*lane, *step], frames, lost=lost, seed=seed, block_frames=block_frames)
    there = np.array([n not in lost for n in range(math.prod(shape[:3]))]).reshape(-1, shape[2])
    kept, rows = np.zeros(len(there), bool), []
    for stack, planes in enumerate(there):
        if planes.any():
            value = metric_reference(before["0"][divmod(stack, shape[1])][planes], metric, 100)
            kept[stack] = value >= threshold or (every and stack // shape[1] % every == 0)
            rows.append((stack * shape[2], value, kept[stack]))
    table = got.tables["keep"]
    assert [(f, k) for f, k in zip(table["frame"], table["kept"], strict=True)] == [(f, k) for f, _, k in rows]
    assert np.allclose(table["metric"], [value for _, value, _ in rows], rtol=1e-5, atol=1e-4)
    for path, array in before.items():
        expected = np.where(kept.reshape(*shape[:2], 1, 1, 1), array, 0) if path.isdigit() else array
        assert (got.arrays[path] == expected).all(), path
    assert same(run([*lane, *step], frames, lost=lost, block_frames=block_frames), got)


def test_labels_of_what_is_skipped_are_empty_and_codes_are_of_what_is_kept():
    frames = np.full((2, 1, 2, 20, 20), 100, np.uint16)
    frames[:, :, :, :9, :9] += np.array([30, 300], np.uint16).reshape(2, 1, 1, 1, 1)
    # All but the corner is left out before: the mean would be smaller if it were taken after that.
    steps = ["bin.factor=1", "foreground=true", "foreground.size=1", "keep=true", "keep.metric=mean", "quantise=true"]
    got = run([*steps, "keep.threshold=20"], frames)
    assert got.tables["keep"]["kept"].tolist() == [0, 1]
    assert got.tables["foreground"]["foreground"].tolist() == [2 * 81, 2 * 81]
    assert [got.arrays["labels/foreground"][t].any() for t in (0, 1)] == [False, True]
    assert [got.arrays["0"][t].any() for t in (0, 1)] == [False, True]
    products = {product.path: product for product in got.reduction.products}
    assert products["0"].attributes.keys() == {"omitted", "skipped", "quantise"}
    assert products["projections/xy"].follows == ""
    assert got.arrays["projections/xy"][0].any()


def test_what_cannot_be_is_refused():
    frames = np.zeros((1, 1, 5, 8, 8), np.uint16)
    with pytest.raises(RecipeError, match=r"the recipe makes none: add the step projections, or leave keep out"):
        run(["projections=false", "keep=true"], frames)
    with pytest.raises(RecipeError, match=r"keep needs whole stacks.*: take stacks of at most 4 planes"):
        run(["keep=true"], frames, block_frames=4)
    with pytest.raises(RecipeError, match=r"keep.metric is .*: it must be snr, entropy, mean or max"):
        Keep(metric="median")


def test_a_recorded_stack_is_kept():
    path = DATA / "lattice_lightsheet_raw.tif"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    rng = np.random.default_rng(0)
    frames = tifffile.imread(path)[None, None, ::8]
    dark = np.rint(rng.normal(98, 2, frames.shape)).astype(np.uint16)
    for metric, threshold in (("snr", 0.5), ("entropy", 3), ("mean", 10), ("max", 100)):
        steps = ["keep=true", f"keep.metric={metric}", f"keep.threshold={threshold}", "calibrate.offset=98"]
        assert run(steps, np.concatenate([frames, dark])).tables["keep"]["kept"].tolist() == [1, 0], metric
