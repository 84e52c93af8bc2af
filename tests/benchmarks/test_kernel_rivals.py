"""What others do in the benchmark of kernels is what ours do: each gives the same values, within what is named.

The whole reduction in NumPy is compared in `test_bench_numpy`, bit for bit. Two are not compared: SciPy's `foreground`,
whose level follows another rule, so that another mask comes out; and the entropy of SciPy's `focus`, which is over all
coefficients and not over those that the optics resolve.
"""

from __future__ import annotations

import numpy as np
import pytest
from octostream.benchmarks.kernel_rivals import lane_rivals, step_rivals
from octostream.kernels.baseline import Baseline, SlidingBaseline, relative_change_reference
from octostream.kernels.binning import bin_reference, plan_cells
from octostream.kernels.candidates import EventFinder
from octostream.kernels.drift import Drift
from octostream.kernels.drift_meter import DriftMeter
from octostream.kernels.events import Events
from octostream.kernels.focus import Focus, focus_reference
from octostream.kernels.histogram import Histogram, tally_reference
from octostream.kernels.moments import moments_reference
from octostream.kernels.quantise import Quantise, quantise_reference

RNG = np.random.default_rng(0)
FRAMES = RNG.poisson(300, (4, 512, 512)).astype(np.uint16)
#: How far the last image of a movie lies from the first, pixels of the level.
MOVED = (-3, 5)


def spots():
    """Give level 1 of a movie: spots that move."""
    y, x = np.mgrid[:96, :128]
    field = sum(900 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 8) for cy, cx in ((30, 30), (60, 90), (44, 70)))
    image = (100 + field + RNG.integers(18, 23, (96, 128))).astype(np.uint16)
    return np.stack(
        [image, np.roll(image, (1, 1), (0, 1)), np.roll(image, (-2, 3), (0, 1)), np.roll(image, MOVED, (0, 1))]
    )


LEVELS = {"0": FRAMES[None, None, :, ::2, ::2], "1": spots()[None, None]}
IMAGES = LEVELS["1"][0, 0]


def made(name):
    """Give what the rivals of a step made of the last frame, by name."""
    return {rival: work() for rival, work in step_rivals(name, FRAMES, LEVELS).items()}


def test_binning_alone_gives_the_means_before_or_after_they_are_rounded():
    rivals = {name: work for name, work in lane_rivals(FRAMES).items() if "binning" in name}
    assert "tensorstore, binning alone" in rivals
    for name, work in rivals.items():
        assert np.abs(np.asarray(work()) - bin_reference(FRAMES[0].astype(float), 2)).max() <= 0.5, name
        work()
        work()
        work()  # all take the frames in the same turn


def test_a_histogram_is_equal_and_percentiles_are_within_a_bin():
    bins, percentiles, squares = made("histogram")["NumPy bincount, percentile, sums"]
    ours = tally_reference(FRAMES[-1], Histogram().width)
    assert (bins == ours.bins).all()
    assert squares == ours.squares
    assert np.abs(percentiles - [ours.percentile(p) for p in Histogram().percentiles]).max() <= Histogram().width


def test_focus_is_that_before_division_by_the_mean_but_for_the_edge():
    tenengrad, brenner, variance, _ = made("focus")["SciPy sobel and dctn"]
    ours, scale = focus_reference(FRAMES[-1], Focus()), (FRAMES[-1].astype(float) - Focus().offset).mean() ** 2
    # SciPy goes on beyond the edge; float32.
    assert tenengrad / scale == pytest.approx(ours.tenengrad, rel=0.01)
    assert (brenner / scale, variance / scale) == pytest.approx((ours.brenner, ours.variance), rel=1e-4)


def test_codes_are_equal_but_for_ties():
    told = Quantise().of_cells(plan_cells((512, 512), 2, "mean").noise)
    off = made("quantise")["NumPy formula"] - quantise_reference(LEVELS["0"][0, 0, -1], told)
    assert np.abs(off).max() <= 1
    assert np.count_nonzero(off) < off.size / 1000


def test_shifts_are_within_a_pixel_of_the_level():
    rivals, meter = made("drift"), DriftMeter(Drift(), IMAGES[0].shape)
    shift = meter.compare(meter.spectrum(IMAGES[-1]), meter.spectrum(IMAGES[0]))
    ours = np.array([shift.dy, shift.dx]) / Drift().bin
    assert np.abs(ours - MOVED).max() < 0.5
    peak = np.array(rivals.pop("NumPy FFT"))
    sizes = np.array(IMAGES[0].shape)
    assert np.abs((peak + sizes // 2) % sizes - sizes // 2 - ours).max() <= 0.5
    for shift, *_ in rivals.values():  # from there to here
        assert np.abs(-shift - ours).max() <= 0.5


def test_moments_are_equal_but_for_the_last_bits():
    mean, variance = made("moments")["NumPy mean and var, all frames at once"]
    ours = moments_reference(IMAGES, 100)
    np.testing.assert_allclose(mean, ours.mean, rtol=1e-6)
    np.testing.assert_allclose(variance, ours.variance, rtol=1e-6)


def test_the_change_is_that_against_the_percentile_of_the_same_70_images():
    change = made("baseline")["NumPy percentile once a call, and ΔF/F"]
    sliding = SlidingBaseline(Baseline(), IMAGES[0].shape)
    for point in np.resize(IMAGES, (Baseline().window, *IMAGES[0].shape)):
        sliding.add(point)
    ours = relative_change_reference(IMAGES[-1], sliding.baseline, 100, Baseline().floor)
    np.testing.assert_allclose(change, ours, rtol=1e-5, atol=1e-5)


def test_candidates_of_events_lie_at_the_same_places():
    finder = EventFinder(Events(), (4 * 96, 4 * 128), 100)
    now, before = (np.zeros(IMAGES[0].shape, np.float32) for _ in range(2))
    finder.smooth(IMAGES[-1], now)
    finder.smooth(IMAGES[-2], before)
    ours = finder.compare(now, before)
    places = made("events")["SciPy gaussian and maximum filter"]
    assert len(places) == 3
    # The middle of a pixel of 4 raw ones.
    assert sorted((4 * places + 1.5).tolist()) == sorted([ours["y"][k], ours["x"][k]] for k in range(len(ours)))
