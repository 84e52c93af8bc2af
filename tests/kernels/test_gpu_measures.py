"""GPU forms of baseline, ΔF/F, events, drift and focus: the CPU form's bits, or the reference within float32."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from octostream.kernels.baseline import (
    Baseline,
    SlidingBaseline,
    baseline_reference,
    relative_change_reference,
)
from octostream.kernels.candidates import EventFinder
from octostream.kernels.drift import Drift, drift_reference
from octostream.kernels.drift_meter import DriftMeter
from octostream.kernels.events import Events
from octostream.kernels.focus import Focus, FocusMeter, focus_reference
from octostream.kernels.gaussian import smooth_reference
from octostream.kernels.gpu_baseline import GpuSlidingBaseline
from octostream.kernels.gpu_drift import GpuDriftMeter
from octostream.kernels.gpu_events import GpuEventFinder
from octostream.kernels.gpu_focus import GpuFocusMeter, cosines
from scipy.fft import dct
from scipy.ndimage import gaussian_filter

from .counts import counts_of, kinds

orders = st.integers(0, 5)
shapes = st.tuples(st.integers(1, 12), st.integers(1, 70))
percentiles = st.floats(0, 100) | st.sampled_from([0, 25, 50, 100])
backgrounds = st.sampled_from([0, 100, 100.3]) | st.floats(0, 65535)


@settings(max_examples=60)
@given(
    st.integers(1, 20), shapes, kinds, percentiles, st.integers(1, 12), backgrounds, st.sampled_from([1e-3, 1, 10]),
    st.integers(0, 99), orders,
)  # fmt: skip
@example(20, (1, 7), "dim", 25, 12, 100.3, 1, 0, 1)
@example(20, (1, 1), "ends", 99.999999, 5, 0, 1, 0, 1)
@example(5, (30, 70), "any", 30, 3, 0, 1, 0, 1)
def test_baselines_are_those_of_the_cpu(device, count, shape, kind, percentile, window, background, floor, seed, order):
    xp, images = device().xp, counts_of((count, *shape), kind, seed)
    parameters = Baseline(percentile=percentile, window=window)
    there, mine = GpuSlidingBaseline(device(order), parameters, shape), SlidingBaseline(parameters, shape)
    assert not device().to_host(there.baseline).any()
    for image in images:
        there.add(xp.asarray(image))
        mine.add(image)
    assert there.points == mine.points
    got = device().to_host(there.baseline)
    # One rounding to float32 each, of numbers that differ by less than 1e-9 counts.
    np.testing.assert_array_max_ulp(got, mine.baseline, 1, np.float32)
    np.testing.assert_allclose(got, baseline_reference(images, parameters)[-1], rtol=1e-5)
    out = xp.full(shape, np.nan, np.float32)
    there.relative_change(xp.asarray(images[0]), background, floor, out)
    expected = relative_change_reference(images[0], got, background, floor)
    np.testing.assert_allclose(device().to_host(out), expected, rtol=1e-5)


def test_a_baseline_next_to_the_background_is_divided_by_its_own_difference(device):
    xp = device().xp
    sliding = GpuSlidingBaseline(device(), Baseline(percentile=25), (1, 3))
    for image in ([[100, 101, 100]], [[101, 100, 65535]]):
        sliding.add(xp.asarray(np.array(image, np.uint16)))
    baseline = device().to_host(sliding.baseline)
    assert baseline.tolist() == [[100.25, 100.25, 16458.75]]
    image, out = np.full((1, 3), 200, np.uint16), xp.zeros((1, 3), np.float32)
    # In float32 this background is 3e-6 counts off, a three thousandth of the difference.
    sliding.relative_change(xp.asarray(image), 100.249, 1e-4, out)
    expected = relative_change_reference(image, baseline, 100.249, 1e-4)
    np.testing.assert_allclose(device().to_host(out), expected, rtol=1e-5)


def test_images_that_do_not_fit_have_no_baseline(device):
    sliding = GpuSlidingBaseline(device(), Baseline(), (4, 6))
    for wrong in (device().xp.zeros((6, 4), np.uint16), device().xp.zeros((4, 6), np.int16)):
        with pytest.raises(ValueError, match="not C-contiguous uint16"):
            sliding.add(wrong)
        with pytest.raises(ValueError, match="not C-contiguous uint16"):
            sliding.relative_change(wrong, 0, 1, sliding.baseline)


def flickering(shape, count, seed):
    """Give images with spots that come and go, some of them equal and near one another."""
    rng = np.random.default_rng(seed)
    images = rng.poisson(300, (count, *shape)).astype(np.float64)
    for _ in range(4):
        y, x, first = (int(rng.integers(size)) for size in (*shape, count))
        images[first : first + 2, y : y + 3, x : x + 3] += 900
    return images.astype(np.uint16)


events = st.builds(
    Events,
    bin=st.sampled_from([1, 2, 4]),
    sigma=st.sampled_from([0, 0.7, 2, 9]),
    threshold=st.sampled_from([0.001, 0.17]),
    distance=st.sampled_from([1, 5, 30]),
)


@settings(max_examples=40)
@given(st.tuples(st.integers(1, 30), st.integers(1, 70)), events, backgrounds, st.integers(0, 99), orders)
@example((30, 70), Events(bin=1, sigma=0, threshold=0.001, distance=1), 100, 0, 3)
def test_candidates_are_equal_bit_for_bit(device, shape, parameters, background, seed, order):
    xp, images = device().xp, flickering(shape, 2, seed)
    sensor = shape[0] * parameters.bin, shape[1] * parameters.bin
    there, mine = (
        GpuEventFinder(device(order), parameters, sensor, background),
        EventFinder(parameters, sensor, background),
    )
    got, expected = xp.zeros((2, *shape), np.float32), np.zeros((2, *shape), np.float32)
    for image, one, other in zip(images, got, expected, strict=True):
        there.smooth(xp.asarray(image), one)
        mine.smooth(image, other)
        np.testing.assert_allclose(
            other, smooth_reference(image.astype(float), parameters.sigma / parameters.bin), rtol=1e-5
        )
    assert device().to_host(got).tobytes() == expected.tobytes()
    for now, before in ((1, 0), (0, 1)):
        found = there.compare(got[now], got[before])
        assert found.tobytes() == mine.compare(expected[now], expected[before]).tobytes()
    with pytest.raises(ValueError, match="not C-contiguous uint16"):
        there.smooth(xp.zeros(shape, np.int16), got[0])


def test_all_rows_of_a_tall_image_are_listed_in_order(device):
    parameters, shape = Events(bin=1, sigma=0, threshold=0.1, distance=1), (700, 8)
    before = np.full(shape, 200, np.float32)
    now = before.copy()
    now[::2, ::2] = 300
    table = GpuEventFinder(device(), parameters, shape, 100).compare(*map(device().xp.asarray, (now, before)))
    assert len(table) == 350 * 4
    assert (np.lexsort([table["x"], table["y"]]) == np.arange(len(table))).all()
    np.testing.assert_allclose(table["score"], relative_change_reference(now, before, 100, 10)[0, 0], rtol=1e-6)


def test_of_equal_pixels_the_first_is_the_highest(device):
    parameters, shape = Events(bin=1, sigma=0, threshold=0.1, distance=4), (30, 40)
    before = np.full(shape, 200, np.float32)
    now = before.copy()
    now[4:6, 10:13] = now[20, 3] = now[20, 8] = now[24, 2] = 300
    table = GpuEventFinder(device(1), parameters, shape, 100).compare(*map(device().xp.asarray, (now, before)))
    assert table.tobytes() == EventFinder(parameters, shape, 100).compare(now, before).tobytes()
    assert [(row["y"], row["x"]) for row in table] == [(4, 10), (20, 3), (20, 8)]


def moving(shape, seed):
    rng = np.random.default_rng(seed)
    scene = gaussian_filter(rng.standard_normal((shape[0] + 40, shape[1] + 40)), 3)
    scene = 400 + 2000 * (scene - scene.min())
    y, x = (int(part) for part in rng.integers(0, 20, 2))
    cut = scene[y : y + shape[0], x : x + shape[1]] + rng.normal(0, 5, shape)
    return np.rint(scene[10 : 10 + shape[0], 10 : 10 + shape[1]]).astype(np.uint16), np.rint(cut).astype(np.uint16)


drifts = st.builds(
    Drift,
    bin=st.sampled_from([1, 2, 4]),
    max_shift=st.sampled_from([1, 4, 64]),
    smooth=st.sampled_from([1, 2]),
    taper=st.sampled_from([0, 0.125, 0.5]),
)


@settings(max_examples=30)
@given(st.tuples(st.integers(40, 90), st.integers(40, 90)), drifts, st.integers(0, 99))
def test_drift_is_that_of_the_reference(device, shape, parameters, seed):
    before, now = moving(shape, seed)
    meter, mine = GpuDriftMeter(device(), parameters, shape), DriftMeter(parameters, shape)
    spectra = [meter.spectrum(device().xp.asarray(image)) for image in (now, before)]
    got, expected = meter.compare(*spectra), drift_reference(now, before, parameters)
    # Where the two highest peaks are alike, float32 may take the other one.
    assume(expected.quality > 1.01)
    for one in (expected, mine.compare(mine.spectrum(now), mine.spectrum(before))):
        assert got[:2] == pytest.approx(one[:2], rel=1e-5, abs=1e-3 * parameters.bin)
        assert got.quality == pytest.approx(one.quality, rel=1e-2)
        assert got.limited == one.limited
    again = GpuDriftMeter(device(), parameters, shape)
    spectra = [again.spectrum(device().xp.asarray(image)) for image in (now, before)]
    assert again.compare(*spectra) == got


@pytest.mark.parametrize("level", [0, 65535])
def test_images_without_structure_have_not_moved(device, level):
    meter, flat = GpuDriftMeter(device(), Drift(), (64, 80)), device().xp.full((64, 80), level, np.uint16)
    spectrum = meter.spectrum(flat)
    assert meter.compare(spectrum, spectrum) == (0, 0, 0, False)
    with pytest.raises(ValueError, match="not C-contiguous uint16"):
        meter.spectrum(flat[:, ::2])


focuses = st.builds(
    Focus,
    offset=st.floats(0, 65535) | st.integers(0, 65535),
    psf=st.floats(1, 9),
    roi=st.integers(1, 50),
)


@settings(max_examples=60)
@given(st.tuples(st.integers(1, 30), st.integers(1, 70)), kinds, focuses, st.integers(0, 99), orders)
@example((1, 1), "any", Focus(offset=0), 0, 0)
@example((3, 3), "ends", Focus(offset=0, psf=1), 0, 0)
@example((30, 264), "any", Focus(), 0, 1)
def test_focus_is_that_of_the_cpu(device, shape, kind, parameters, seed, order):
    image = counts_of(shape, kind, seed)
    meter, there = GpuFocusMeter(device(order), shape, parameters), device().xp.asarray(image)
    got, mine = meter.measure(there), FocusMeter(shape, parameters).measure(image)
    np.testing.assert_array_equal(got[1:], mine[1:])
    np.testing.assert_array_equal(GpuFocusMeter(device(order + 1), shape, parameters).measure(there), got)
    if abs(image.mean() - parameters.offset) > 1e-3:
        expected = focus_reference(image, parameters)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
        assert math.isnan(got.dct) == math.isnan(mine.dct)


def test_cosines_are_those_of_scipy():
    exact = dct(np.eye(31), axis=0, norm="ortho")
    np.testing.assert_allclose(cosines(31, 12), exact[:12], atol=1e-14)


def test_frames_that_do_not_fit_are_not_measured(device):
    meter = GpuFocusMeter(device(), (4, 6), Focus())
    with pytest.raises(ValueError, match="not C-contiguous uint16"):
        meter.measure(device().xp.zeros((6, 4), np.uint16))
