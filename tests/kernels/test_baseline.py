"""Baseline: exactly NumPy's percentile, over runs that lost frames too; ΔF/F is finite everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from octostream.kernels.baseline import (
    Baseline,
    SlidingBaseline,
    baseline_reference,
    relative_change,
    relative_change_reference,
)
from octostream.kernels.baseline_series import change_series_reference
from octostream.stream.errors import RecipeError
from scipy.ndimage import percentile_filter

from .followed import followed, images_of, planned, same
from .followed import kinds as runs
from .followed import shapes as run_shapes

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


def slide(points, parameters):
    """Give the baseline after each point."""
    sliding = SlidingBaseline(parameters, points.shape[1:])
    out = []
    for point in points:
        sliding.add(point)
        out.append(sliding.baseline.copy())
    return np.array(out)


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


@given(st.integers(1, 9), st.integers(1, 40), st.integers(0, 99), st.floats(0, 65535), st.floats(1e-3, 100))
@example(3, 4, 0, 65535.0, 1e-3)
def test_relative_change_is_that_of_the_reference_and_finite(height, width, seed, background, floor):
    rng = np.random.default_rng(seed)
    points = rng.choice(np.array([0, 1, 99, 100, 101, 500, 65535], np.uint16), (5, height, width))
    before = slide(points, Baseline())[-1]
    out = np.full((height, width), np.nan, np.float32)
    relative_change(points[0], before, background, floor, out)
    # Both divide in float64; only the last rounding differs.
    np.testing.assert_allclose(out, relative_change_reference(points[0], before, background, floor), rtol=1e-6)
    assert np.isfinite(out).all()


def test_relative_change_says_what_it_should():
    out = np.zeros((1, 4), np.float32)
    before = np.array([[200, 100, 50, 104]], np.float32)
    relative_change(np.array([[250, 90, 60, 114]], np.uint16), before, 100.0, 5.0, out)
    assert out.tolist() == [[0.5, -2, 2, 2]]


@given(run_shapes, runs, st.integers(0, 99), st.sampled_from([0, 0.3, 1]), st.integers(1, 4), st.integers(1, 4))
@example((1, 1, 1, 1, 1), "full", 0, 0, 1, 1)
@example((7, 2, 3, 4, 5), "any", 0, 0.5, 3, 2)
def test_a_run_is_followed_as_the_reference_does(shape, kind, seed, lost, every, window):
    values = {"bin": 1, "percentile": 30, "window": window, "every": every, "floor": 2}
    texts = [f"baseline.{name}={value}" for name, value in values.items()]
    images, present = images_of(shape, kind, seed, lost)
    reduction = planned(shape, "baseline=true", "encode.pedestal=90", *texts)
    result = followed(reduction, images, present)
    exact = change_series_reference(images, present, Baseline(**values), 90)
    got = result[0]["dff/0"]
    assert (np.isnan(got) == ~present[..., None, None]).all()
    np.testing.assert_allclose(got, exact, rtol=1e-6)
    assert same(result, followed(reduction, images, present))


def test_a_point_that_is_lost_is_made_up_for():
    # One point each 3 time points: 0 is lost and 1 stands for it, 3 is there, of 6 and later none is.
    values = [0, 200, 260, 220, 260, 320, 0, 0]
    images = np.array(values, np.uint16).reshape(8, 1, 1, 1, 1)
    reduction = planned(images.shape, "baseline=true", "baseline.bin=1", "baseline.every=3", "baseline.percentile=100")
    made, _ = followed(reduction, images, images[..., 0, 0] > 0)
    expected = [np.nan, 0, 0.6, 0, 40 / 120, 100 / 120, np.nan, np.nan]
    np.testing.assert_allclose(made["dff/0"].ravel(), expected, rtol=1e-6)


def test_images_are_only_read_and_must_fit():
    sliding, out = SlidingBaseline(Baseline(), (4, 6)), np.zeros((4, 6), np.float32)
    image = points_of((4, 6), "any", 0)
    image.flags.writeable = False
    sliding.add(image)
    relative_change(image, sliding.baseline, 100, 1, out)
    for wrong in (image[:3], image.astype(np.int16)):
        with pytest.raises(ValueError, match=r"not uint16 \(4, 6\)"):
            sliding.add(wrong)
    for wrong in (image[:3], image.astype(np.int16), np.zeros((4, 12), np.uint16)[:, ::2]):
        with pytest.raises(ValueError, match=r"not C-contiguous uint16 \(4, 6\)"):
            relative_change(wrong, sliding.baseline, 100, 1, out)
    assert sliding.points == 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"percentile": 101}, "baseline.percentile is 101: it must be a finite number of percent from 0 to 100"),
        ({"percentile": float("nan")}, "baseline.percentile is NaN"),
        ({"window": 0}, "baseline.window is 0: it must be a whole number of points from 1 to 1000"),
        ({"window": 1001}, "baseline.window is 1001"),
        ({"every": 0}, "baseline.every is 0"),
        ({"bin": 3}, "baseline.bin is 3: it must be 1, 2, 4, 8, 16, 32 or 64 raw pixels"),
        ({"floor": 0}, "baseline.floor is 0"),
    ],
)
def test_parameters_outside_their_range_are_refused(values, words):
    with pytest.raises(RecipeError) as caught:
        Baseline(**values)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
