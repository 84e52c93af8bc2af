"""The elbow test on a stack: both forms bit for bit, planted pixels found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import example, given
from hypothesis import strategies as st
from octostream.kernels import elbow as module
from octostream.kernels.elbow import (
    SAMPLES,
    elbow_of,
    elbow_reference,
    find_outliers,
)
from octostream.kernels.recipe import Recipe
from octostream.kernels.stack_sums import PLANES, StackSums
from scipy.ndimage import gaussian_filter, median_filter

from .counts import counts_of, kinds

DATA = Path(__file__).parents[2].parent / "shared" / "data"
shapes = st.tuples(st.integers(1, 9), st.integers(1, 20), st.integers(1, 40))


def scene_of(shape, seed, hot=(), dead=()):
    """Give a smooth scene with photon noise; hot pixels flicker high, dead ones stay at the offset."""
    rng = np.random.default_rng(seed)
    light = gaussian_filter(rng.random(shape), (2, 6, 6)) * 400
    stack = 100 + rng.poisson(light) + rng.normal(0, 1.5, shape)
    for y, x in hot:
        stack[:, y, x] = 900 + rng.normal(0, 300, shape[0])
    for y, x in dead:
        stack[:, y, x] = 100
    return stack.clip(0, 65535).astype(np.uint16)


def sums_of(stack):
    sums = StackSums(stack.shape[1:])
    sums.add(stack)
    return sums


@given(shapes, kinds, st.integers(0, 99), st.sampled_from([0.0, 100.0, 40000.5]), st.data())
@example((1, 1, 1), "ends", 0, 100.0, None)
@example((7, 1, 40), "any", 0, 100.0, None)
@example((7, 20, 1), "any", 0, 100.0, None)
def test_both_forms_are_equal_bit_for_bit_however_planes_came(shape, kind, seed, background, data):
    stack = counts_of(shape, kind, seed)
    stack.flags.writeable = False
    order = np.random.default_rng(seed).permutation(len(stack))
    cut = 0 if data is None else data.draw(st.integers(0, len(stack)))
    sums = StackSums(shape[1:])
    for z in order[:cut]:
        sums.add(stack[z : z + 1])
    sums.add(stack[order[cut:]])
    got, exact = find_outliers(sums, background), elbow_reference(stack, background)
    assert got[3:] == exact[3:]
    assert all((one == other).all() for one, other in zip(got[:3], exact[:3], strict=True))
    assert sums.deviation() == pytest.approx(stack.std(axis=0, dtype=np.float64), rel=1e-9, abs=1e-6)
    assert sums.mean() == pytest.approx(stack.mean(axis=0, dtype=np.float64), rel=1e-12)
    sums.clear()
    sums.add(stack)
    assert (find_outliers(sums, background).mask == exact.mask).all()


def test_sums_of_the_most_planes_are_exact():
    plane = np.array([[[65535, 0, 1]]], np.uint16)
    sums = StackSums((1, 3))
    sums.add(np.broadcast_to(plane, (PLANES - 1, 1, 3)).copy())
    sums.add(plane - np.uint16(1))
    assert sums.deviation()[0] == pytest.approx([1 / 256, 65535 / 256, 1 / 256], rel=1e-4)
    with pytest.raises(ValueError, match="more than 65536 planes"):
        sums.add(plane)
    assert sums.count == PLANES


def test_planted_pixels_are_found():
    hot, dead = [(5, 7), (5, 8), (30, 41), (63, 95), (0, 0)], [(12, 50), (40, 3)]
    stack = scene_of((40, 64, 96), 1, hot, dead)
    found = np.argwhere(find_outliers(sums_of(stack), 100).mask)
    places = set(map(tuple, found.tolist()))
    assert set(hot + dead) <= places
    assert len(places) < 0.01 * stack[0].size
    recipe = Recipe.load("lightsheet", [f"hot_pixels.pixels={found.tolist()}"])
    assert recipe.resolve((64, 96))


def test_the_whole_difference_is_divided():
    # A bright spot is not hot. With |A - med A / med A| its middle would be.
    stack = np.full((5, 41, 41), 110, np.uint16)
    y, x = np.mgrid[:41, :41] - 20
    stack += np.rint(2000 * np.exp(-(y**2 + x**2) / 50)).astype(np.uint16)
    stack[:, 3, 4] += 100
    assert np.argwhere(find_outliers(sums_of(stack), 100).mask).tolist() == [[3, 4]]


def test_noise_alone_has_an_elbow_and_a_flat_stack_no_hot_pixel():
    noise = counts_of((30, 100, 100), "dim", 0)
    assert 0.02 < find_outliers(sums_of(noise), 100).mask.mean() < 0.4
    assert not find_outliers(sums_of(np.full((3, 9, 9), 500, np.uint16)), 100).mask.any()


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60))
def test_the_elbow_is_farthest_from_the_chord(values):
    ranked = sorted(values)
    got = elbow_of(np.array(values))
    ends = np.array([0.0, len(ranked) - 1]), np.array([ranked[0], ranked[-1]])
    along = np.array([ends[0][1] - ends[0][0], ends[1][1] - ends[1][0]])
    off = [abs(along[0] * (v - ends[1][0]) - along[1] * i) for i, v in enumerate(ranked)]
    # At right angles to the chord, as it is told; ties within rounding may go either way.
    assert max(off) - max(d for d, v in zip(off, ranked, strict=True) if v == got) <= 1e-9 * max(off)


def test_a_long_curve_is_sampled_at_even_ranks_with_both_ends():
    curve = np.append(10 * np.linspace(0, 1, 200_001) ** 8, 1000.0)
    ranks = np.floor(np.linspace(0, curve.size - 1, SAMPLES) + 1e-9).astype(int)
    assert len(set(ranks)) == SAMPLES
    sampled = curve[ranks]
    chord = np.linspace(sampled[0], sampled[-1], SAMPLES)
    assert sampled[-1] == 1000
    # Without the last value the elbow would be far down the curve.
    assert sampled[abs(sampled - chord).argmax()] > 9.9
    assert elbow_of(np.random.default_rng(0).permutation(curve)) == sampled[abs(sampled - chord).argmax()]


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 99), st.booleans())
def test_the_median_is_scipys(height, width, seed, relative):
    rng = np.random.default_rng(seed)
    image = rng.choice([0.25, 0.5, 3.0, -7.5, 40.0], (height, width)) if seed % 2 else rng.normal(0, 9, (height, width))
    near = median_filter(image, 3, mode="nearest")
    exact = abs((image - near) / np.maximum(abs(near), 1)) if relative else abs(image - near)
    module._depart(image, relative)
    assert (image == exact).all()


def test_a_recorded_stack_with_planted_pixels():
    path = DATA / "lattice_lightsheet_raw.tif"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    stack = tifffile.imread(path)
    rng = np.random.default_rng(0)
    planted = {(10, 10), (200, 100), (319, 255), (160, 128)}
    for y, x in planted:
        stack[:, y, x] = rng.integers(200, 4000, len(stack))
    found = set(map(tuple, np.argwhere(find_outliers(sums_of(stack), 98).mask).tolist()))
    assert planted <= found
    assert len(found) < 0.01 * stack[0].size


def test_what_does_not_fit_is_refused():
    sums = StackSums((4, 6))
    with pytest.raises(ValueError, match="without planes"):
        find_outliers(sums, 100)
    image = np.zeros((2, 4, 6), np.uint16)
    for wrong in (image[0], image[:, :3], image.astype(np.int16), np.zeros((2, 4, 12), np.uint16)[:, :, ::2]):
        with pytest.raises(ValueError, match="not C-contiguous uint16"):
            sums.add(wrong)
    assert sums.count == 0
