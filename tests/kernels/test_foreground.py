"""Foreground masks: bit for bit the same in both forms, SciPy's Gaussian, NumPy's percentile, empty chunks."""

from __future__ import annotations

import math
import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from octostream.kernels import foreground as module
from octostream.kernels.foreground import (
    Foreground,
    ForegroundMasker,
    foreground_reference,
    level_of,
    sampled_reference,
    smooth_reference,
)
from octostream.kernels.foreground_step import CELL, TABLE
from octostream.kernels.pyramid import halve_reference
from octostream.stream.errors import RecipeError
from octostream.stream.model import Pixel, Plan
from scipy.ndimage import correlate1d, gaussian_filter

from .blockwise import run, same
from .counts import counts_of, kinds

DATA = Path(__file__).parents[2].parent / "shared" / "data"

shapes = st.tuples(st.integers(1, 7), st.integers(1, 24), st.integers(1, 40))
parameters = st.builds(
    Foreground,
    threshold=st.floats(0, 1),
    percentile=st.floats(0, 100),
    sigma=st.floats(0.5, 16),
    size=st.integers(0, 4).map(lambda radius: 2 * radius + 1) | st.just(65),
    z_step=st.floats(0.05, 20),
)


def masked(masker, stack):
    return masker.mask(stack, np.full(stack.shape, 7, np.uint8))


def assert_same(got, expected):
    assert got.level == expected.level
    assert got.foreground == expected.foreground
    assert got.mask.dtype == np.uint8
    assert (got.mask == expected.mask).all()
    assert (got.background == expected.background).all()


@given(
    shapes, kinds, st.integers(0, 99), parameters, st.tuples(*[st.integers(1, 9)] * 3), st.sampled_from([1, 9, 65536])
)
@example((1, 1, 1), "any", 0, Foreground(), (1, 1, 1), 65536)
@example((7, 24, 40), "ends", 0, Foreground(size=65, sigma=16), (3, 7, 11), 9)
@example((7, 24, 40), "full", 0, Foreground(size=1), (3, 7, 11), 1)
@example((3, 1, 40), "any", 0, Foreground(size=9, sigma=8, z_step=0.05), (3, 7, 11), 1)
def test_both_forms_are_equal_bit_for_bit(shape, kind, seed, p, chunk, enough):
    stack = counts_of(shape, kind, seed)
    with pytest.MonkeyPatch.context() as patch:
        # A level from few pixels of a small stack stands for one from few pixels of a large stack.
        patch.setattr(module, "_ENOUGH", enough)
        expected = foreground_reference(stack, p, chunk)
        got = masked(ForegroundMasker(shape, p, chunk), stack)
    assert_same(got, expected)
    if kind in ("dark", "full"):
        assert (got.level, got.foreground) == (stack[0, 0, 0], 0)
        assert got.background.all()


@given(shapes, kinds, st.integers(0, 99), parameters)
def test_smoothing_is_scipys(shape, kind, seed, p):
    stack = counts_of(shape, kind, seed)
    along_z, along_yx = (weights / 256 for weights in p.weights())
    exact = correlate1d(stack.astype(np.float64), along_z, 0, mode="nearest")
    exact = correlate1d(correlate1d(exact, along_yx, 1, mode="nearest"), along_yx, 2, mode="nearest")
    # Half of 1/256 count is rounded away before the last direction.
    assert abs(smooth_reference(stack, p) / 65536 - exact).max() <= 1 / 512 + 1e-6


@pytest.mark.parametrize(("z_step", "deviation", "radius"), [(1, 2, 2), (4, 1, 1), (0.5, 4, 4)])
def test_the_gaussian_is_the_one_that_was_asked_for(z_step, deviation, radius):
    stack = counts_of((9, 30, 31), "any", 1)
    exact = gaussian_filter(stack.astype(float), (deviation, 2, 2), radius=(radius, 2, 2), mode="nearest")
    # Weights in 256ths are at most 1/256 off, of three directions.
    assert abs(smooth_reference(stack, Foreground(z_step=z_step)) / 65536 - exact).max() < 65536 * 0.02


@given(parameters)
def test_weights_are_whole_and_add_up(p):
    for weights in p.weights():
        exact = weights.astype(np.int64)
        assert exact.sum() == 256
        assert (exact >= 0).all()
        assert (exact == exact[::-1]).all()
    radius = p.size // 2
    gauss = np.exp(-0.5 * (np.arange(-radius, radius + 1) / p.sigma) ** 2)
    assert abs(p.weights()[1] - 256 * gauss / gauss.sum()).max() <= 1 + 1e-9


@given(st.lists(st.integers(0, 65535 * 65536), min_size=1, max_size=300), st.floats(0, 100), st.floats(0, 1))
@example([5, 5, 5], 1.0, 0.4)
@example([0, 10, 20], 100.0, 0.4)
def test_the_level_is_between_background_and_mean(values, percentile, threshold):
    values = np.array(values, np.uint32)
    low = float(np.percentile(values.astype(np.float64), percentile, method="inverted_cdf"))
    above = values[values > low]
    expected = low + threshold * (above.mean(dtype=np.float64) - low) if above.size else low
    assert abs(level_of(values, Foreground(threshold, percentile)) - expected) <= 1
    assert level_of(values, Foreground(0, percentile)) == low


def test_the_level_by_hand():
    # One of four is background; the mean of the rest is 400.
    assert level_of(np.array([100, 500, 300, 400]), Foreground(0.4, 25)) == 100 + 0.4 * 300
    assert level_of(np.array([100, 500, 300, 400]), Foreground(0.4, 26)) == 300 + 0.4 * 150


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 300, 300), (5, 700, 511), (40, 600, 600)])
def test_the_level_is_taken_from_enough_pixels_of_every_column(shape):
    at = np.arange(math.prod(shape)).reshape(shape)
    taken = sampled_reference(at)
    assert len(np.unique(taken)) == len(taken)
    assert min(math.prod(shape), 40_000) <= len(taken) <= 3 * 65536
    assert len(np.unique(taken % shape[2])) == shape[2]
    assert len(np.unique(taken // (shape[1] * shape[2]))) == shape[0]


def specimen(offset=100):
    """Give a bright ball in the corner of a noisy stack, and its mask."""
    rng = np.random.default_rng(0)
    z, y, x = np.ogrid[:12, :128, :160]
    ball = (4 * (z - 6)) ** 2 + (y - 40) ** 2 + (x - 50) ** 2 < 24**2
    return (offset + rng.poisson(10 + 200.0 * ball)).astype(np.uint16), ball


def test_a_specimen_is_found_and_chunks_without_it_are_background():
    stack, ball = specimen()
    p = Foreground(z_step=4, threshold=1.0)
    got = masked(ForegroundMasker(stack.shape, p, (12, 32, 32)), stack)
    assert (got.mask.astype(bool) & ball).sum() > 0.95 * ball.sum()
    y, x = np.ogrid[:128, :160]
    assert got.mask[:, (y - 40) ** 2 + (x - 50) ** 2 > 28**2].sum() < 0.001 * ball.sum()
    near = np.zeros((1, 4, 5), bool)
    near[0, :3, :3] = True
    assert (got.background | near).all()
    assert not got.background[0, 0:2, 1].any()


def test_an_offset_changes_nothing():
    (low, _), (high, _) = specimen(), specimen(offset=1100)
    chunk = (5, 50, 50)
    one, other = (masked(ForegroundMasker(low.shape, Foreground(), chunk), stack) for stack in (low, high))
    assert other.level == one.level + 1000
    assert (other.mask == one.mask).all()
    assert (other.background == one.background).all()


def test_large_stacks_are_sampled_alike():
    stack = counts_of((3, 300, 310), "any", 0)
    p = Foreground(z_step=3)
    assert_same(
        masked(ForegroundMasker(stack.shape, p, (2, 64, 64)), stack), foreground_reference(stack, p, (2, 64, 64))
    )


def test_one_masker_masks_every_stack_as_if_it_were_the_first():
    stack, chunk = counts_of((5, 20, 30), "any", 0), (2, 8, 8)
    masker = ForegroundMasker(stack.shape, Foreground(), chunk)
    masked(masker, counts_of((5, 20, 30), "ends", 1))
    assert_same(masked(masker, stack[:3]), foreground_reference(stack[:3], Foreground(), chunk))
    assert_same(masked(masker, stack), foreground_reference(stack, Foreground(), chunk))
    assert stack.flags.writeable
    stack.flags.writeable = False
    assert_same(masked(masker, stack), foreground_reference(stack, Foreground(), chunk))


def test_threads_with_their_own_maskers_agree():
    stack, chunk = counts_of((4, 100, 90), "any", 0), (4, 32, 32)
    results = []
    threads = [
        threading.Thread(
            target=lambda: results.append(masked(ForegroundMasker(stack.shape, Foreground(), chunk), stack))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == 4
    for result in results:
        assert_same(result, foreground_reference(stack, Foreground(), chunk))


def test_stacks_that_do_not_fit_are_refused():
    masker, stack = ForegroundMasker((4, 5, 6), Foreground(), (4, 4, 4)), counts_of((5, 5, 12), "any", 0)
    small = np.ascontiguousarray(stack[:, :, :6])
    wrong = [small, small[:0], small[0], stack[:4, :, ::2], small[:4].astype(np.int16)]
    wrong.append(np.ascontiguousarray(small[:4, :4]))
    for array in wrong:
        with pytest.raises(ValueError, match="not C-contiguous uint16"):
            masked(masker, array)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (
            "threshold",
            1.1,
            "foreground.threshold is 1.1: it must be a finite number of parts of the mean signal from 0 to 1",
        ),
        ("percentile", -1, "foreground.percentile is -1"),
        ("percentile", math.nan, "foreground.percentile is NaN"),
        ("sigma", 0.4, "foreground.sigma is 0.4: it must be a finite number of pixels from 0.5 to 16"),
        ("size", 4, "foreground.size is 4: it must be odd"),
        ("size", 67, "foreground.size is 67: it must be a whole number of pixels from 1 to 65"),
        ("size", 2.5, "foreground.size is 2.5"),
        ("z_step", 0.009, "foreground.z_step is 0.009: it must be a number of pixels from 0.01 to 1000, or 0"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(name, value, words):
    with pytest.raises(RecipeError) as caught:
        Foreground(**{name: value})
    assert words in str(caught.value)


def test_real_lattice_stack():
    path = DATA / "lattice_lightsheet_raw.tif"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    stack = tifffile.imread(path)
    p, chunk = Foreground(z_step=2.5), (16, 64, 64)
    got = masked(ForegroundMasker(stack.shape, p, chunk), stack)
    assert_same(got, foreground_reference(stack, p, chunk))
    inside, outside = stack[got.mask == 1].mean(), stack[got.mask == 0].mean()
    assert inside > outside + 10


def corner_of(shape, seed):
    """Give stacks with a bright corner of random size, in noise."""
    rng = np.random.default_rng(seed)
    frames = 100 + rng.poisson(9, shape)
    z, y, x = (rng.integers(1, size + 1) for size in shape[2:])
    frames[:, :, :z, :y, :x] += 3000
    return frames.astype(np.uint16)


stacks = st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 3), st.integers(1, 140), st.integers(1, 140))


@settings(max_examples=25)
@given(stacks, st.integers(0, 99), st.booleans(), st.integers(3, 20), st.floats(0, 0.5), st.sampled_from([1, 2]))
@example((2, 1, 2, 140, 130), 1, True, 20, 0.0, 1)
def test_the_step_masks_stacks_and_leaves_cells_out(shape, seed, omit, block_frames, share, factor):
    frames = corner_of(shape, seed)
    lost = set(np.flatnonzero(np.random.default_rng(seed).random(math.prod(shape[:3])) < share).tolist())
    lane = [f"bin.factor={factor}", "pyramid.until=1"]
    # In noise alone the level is somewhere within it; all that is bright is foreground.
    step = ["foreground=true", "foreground.threshold=1", f"foreground.omit={'true' if omit else 'false'}"]
    before = run(lane, frames, lost=lost, block_frames=block_frames).arrays
    got = run([*lane, *step], frames, lost=lost, seed=seed, block_frames=block_frames)
    there = np.array([n not in lost for n in range(math.prod(shape[:3]))]).reshape(-1, shape[2])
    expected, rows = before["0"].copy(), []
    labels = np.zeros(expected.shape, np.uint8)
    for stack, planes in enumerate(there):
        if not planes.any():
            continue
        at = divmod(stack, shape[1])
        mask = foreground_reference(expected[at][planes], Foreground(threshold=1), (1, CELL, CELL))
        labels[at][planes] = mask.mask
        rows.append((stack * shape[2], mask.level, mask.foreground, mask.background.sum()))
        wide = mask.background.repeat(CELL, 1).repeat(CELL, 2)[:, : expected.shape[3], : expected.shape[4]]
        if omit:
            expected[at][planes] = np.where(wide, 0, expected[at][planes])
    assert (got.arrays["labels/foreground"] == labels).all()
    assert (got.arrays["0"] == expected).all()
    assert list(zip(*got.tables[TABLE.name].values(), strict=True)) == rows
    for level in (p for p in got.reduction.products if p.path.isdigit() and p.path != "0"):
        assert level.follows == "halved"
        expected = halve_reference(expected)
        assert (got.arrays[level.path] == expected).all(), level.path
    for path in ("projections/xy", "projections/xz", "projections/yz"):
        assert (got.arrays[path] == before[path]).all()
    assert same(run([*lane, *step], frames, lost=lost, block_frames=block_frames), got)


def test_cells_without_specimen_are_empty_in_every_level():
    frames = np.full((1, 1, 2, 256, 256), 100, np.uint16)
    frames[0, 0, 1, :40, 200:] = 900
    got = run(["bin.factor=1", "pyramid.until=1", "foreground=true", "foreground.size=1"], frames).arrays
    assert not got["0"][0, 0, 0].any()
    assert got["0"][0, 0, 1, :64, 192:].all()
    assert not got["0"][0, 0, 1, 64:].any()
    assert not got["0"][0, 0, 1, :, :192].any()
    assert [np.count_nonzero(got[f"{k}"]) for k in range(7)] == [64**2 >> 2 * k for k in range(7)]
    assert got["projections/xy"].all()


def test_cells_stay_in_their_planes_when_others_are_lost():
    frames = np.full((1, 1, 4, 70, 130), 100, np.uint16)
    frames[0, 0, 1, :9, :9] = frames[0, 0, 3, 66:, 129:] = 900
    got = run(["bin.factor=1", "foreground=true", "foreground.size=1"], frames, lost=[0]).arrays["0"][0, 0]
    assert [np.count_nonzero(plane) for plane in got] == [0, 64 * 64, 0, 6 * 2]
    assert got[3, 64:, 128:].all()


def products(got):
    return {product.path: product for product in got.reduction.products}


def test_what_is_said_of_levels_and_projections_is_true():
    frames = corner_of((1, 1, 2, 130, 130), 0)
    kept, left_out = (products(run(["foreground=true", f"foreground.omit={o}"], frames)) for o in ("false", "true"))
    assert "omitted" in left_out["0"].attributes
    assert not kept["0"].attributes
    assert (kept["projections/xz"].follows, left_out["projections/xz"].follows) == ("level 0", "")
    label = left_out["labels/foreground"]
    assert (label.shows, label.dtype, label.shape, label.factor_yx) == ("label", "uint8", kept["0"].shape, 2)


def test_the_distance_of_planes_is_that_of_the_run():
    frames = counts_of((1, 1, 7, 40, 60), "any", 0)
    plan = Plan(frames.shape, pixel=Pixel(z_um=0.1, y_um=0.2, x_um=0.2))
    known = run(["foreground=true"], frames, plan=plan).arrays["labels/foreground"]
    told, other = (
        run(["foreground=true", f"foreground.z_step={z}"], frames).arrays["labels/foreground"] for z in (0.25, 1)
    )
    assert (known == told).all()
    assert (known != other).any()
    assert (run(["foreground=true"], frames).arrays["labels/foreground"] == other).all()


def test_stacks_longer_than_a_block_are_refused():
    with pytest.raises(
        RecipeError, match=r"foreground needs whole stacks.*5 planes.*: take stacks of at most 4 planes"
    ):
        run(["foreground=true"], counts_of((1, 1, 5, 8, 8), "any", 0), block_frames=4)
