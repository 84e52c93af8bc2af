"""Baseline: exactly NumPy's percentile, whoever takes over in the middle; ΔF/F is finite everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from octostream.kernels.baseline import (
    Baseline,
    SlidingBaseline,
    baseline_reference,
    relative_change_reference,
)
from octostream.stream.errors import RecipeError
from scipy.ndimage import percentile_filter

kinds = st.sampled_from(["any", "few", "ends", "rising", "falling", "flat"])


def points_of(shape, kind, seed):
    rng = np.random.default_rng(seed)
    if kind == "few":
        return rng.integers(100, 104, shape, dtype=np.uint16)
    if kind == "ends":
        return rng.choice(np.array([0, 1, 65534, 65535], np.uint16), shape)
    if kind == "flat":
        return np.full(shape, 65535, np.uint16)
    if kind in ("rising", "falling"):
        ramp = np.linspace(0, 65535, shape[0]).astype(np.uint16)[:, None, None]
        return np.broadcast_to(ramp if kind == "rising" else ramp[::-1], shape).copy()
    return rng.integers(0, 65536, shape, dtype=np.uint16)


def slide(points, parameters, first=0):
    """Give the baseline after each point from ``first`` on, by a worker that reads only the points it needs."""
    sliding = SlidingBaseline(parameters, points.shape[1:])
    out = []
    for t in range(max(first - parameters.window + 1, 0), len(points)):
        sliding.add(t * parameters.every, points[t])
        if t >= first:
            out.append(sliding.baseline.copy())
    return np.array(out).reshape(-1, *points.shape[1:])


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 3), st.integers(1, 40)),
    kinds,
    st.integers(0, 99),
    st.integers(1, 25) | st.just(70),
    st.sampled_from([0, 10, 25, 50, 100]) | st.floats(0, 100),
)
@example((80, 2, 33), "any", 0, 70, 25)
@example((9, 1, 1), "ends", 0, 4, 50)
def test_it_is_numpys_percentile_bit_for_bit(shape, kind, seed, window, percentile):
    points = points_of(shape, kind, seed)
    parameters = Baseline(percentile=percentile, window=window)
    assert slide(points, parameters).tobytes() == baseline_reference(points, parameters).tobytes()


@pytest.mark.parametrize(("window", "percentile"), [(69, 25), (61, 10), (5, 50), (3, 100), (4, 0), (1, 30)])
def test_it_is_scipys_where_no_rank_lies_between(window, percentile):
    points = points_of((150, 3, 5), "any", 1)
    # SciPy's window is centred; this one ends at its point.
    size, origin = (window, 1, 1), ((window - 1) // 2, 0, 0)
    exact = percentile_filter(points, percentile, size=size, origin=origin)
    got = slide(points, Baseline(percentile=percentile, window=window))
    assert (got[window - 1 :] == exact[window - 1 :]).all()


@given(st.integers(0, 60), kinds, st.integers(1, 20), st.integers(0, 9))
def test_a_worker_that_takes_over_needs_the_last_points_only(first, kind, window, seed):
    points = points_of((61, 2, 7), kind, seed)
    parameters = Baseline(window=window, percentile=30)
    assert (slide(points, parameters, first) == slide(points, parameters)[first:]).all()


def test_only_multiples_of_every_are_points():
    points = points_of((20, 4, 5), "any", 2)
    sliding = SlidingBaseline(Baseline(window=3, every=4), (4, 5))
    for number, image in enumerate(points):
        sliding.add(number, image)
    assert (sliding.baseline == baseline_reference(points[::4], Baseline(window=3))[-1]).all()
    sliding.clear()
    assert not sliding.baseline.any()
    sliding.add(8, points[0])
    assert (sliding.baseline == points[0]).all()


@given(st.integers(1, 9), st.integers(1, 40), st.integers(0, 99), st.floats(0, 65535), st.floats(1e-3, 100))
@example(3, 4, 0, 65535.0, 1e-3)
def test_relative_change_is_that_of_the_reference_and_finite(height, width, seed, background, floor):
    rng = np.random.default_rng(seed)
    points = rng.choice(np.array([0, 1, 99, 100, 101, 500, 65535], np.uint16), (5, height, width))
    parameters = Baseline(background=background, floor=floor)
    sliding = SlidingBaseline(parameters, (height, width))
    for number, image in enumerate(points):
        sliding.add(number, image)
    out = np.full((height, width), np.nan, np.float32)
    sliding.relative_change(points[0], out)
    # Both divide in float64; only the last rounding differs.
    np.testing.assert_allclose(out, relative_change_reference(points[0], sliding.baseline, parameters), rtol=1e-6)
    assert np.isfinite(out).all()


def test_relative_change_says_what_it_should():
    sliding = SlidingBaseline(Baseline(background=100, floor=5), (1, 4))
    sliding.add(0, np.array([[200, 100, 50, 104]], np.uint16))
    out = np.zeros((1, 4), np.float32)
    sliding.relative_change(np.array([[250, 90, 60, 114]], np.uint16), out)
    assert out.tolist() == [[0.5, -2, 2, 2]]


def test_caller_images_are_only_read_and_must_fit():
    sliding = SlidingBaseline(Baseline(), (4, 6))
    image = points_of((4, 6), "any", 0)
    image.flags.writeable = False
    sliding.add(0, image)
    sliding.relative_change(image, np.zeros((4, 6), np.float32))
    for wrong in (image[:3], image.astype(np.int16), np.zeros((4, 12), np.uint16)[:, ::2]):
        with pytest.raises(ValueError, match=r"not C-contiguous uint16 \(4, 6\)"):
            sliding.add(1, wrong)
        with pytest.raises(ValueError, match=r"not C-contiguous uint16 \(4, 6\)"):
            sliding.relative_change(wrong, np.zeros((4, 6), np.float32))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"percentile": 101}, "baseline.percentile is 101: it must be a number of percent from 0 to 100"),
        ({"percentile": float("nan")}, "baseline.percentile is nan"),
        ({"window": 0}, "baseline.window is 0: it must be a whole number of points from 1 to 1000"),
        ({"window": 1001}, "baseline.window is 1001"),
        ({"every": 0}, "baseline.every is 0"),
        ({"background": -1}, "baseline.background is -1"),
        ({"floor": 0}, "baseline.floor is 0"),
    ],
)
def test_parameters_outside_their_range_are_refused(values, words):
    with pytest.raises(RecipeError) as caught:
        Baseline(**values)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
