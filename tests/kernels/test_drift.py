"""Drift of one image against another: true shifts are found, both forms agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import example, given
from hypothesis import strategies as st
from octostream.kernels.binning import bin_reference
from octostream.kernels.drift import (
    BEST,
    Drift,
    Shift,
    band_pass,
    drift_reference,
    peak_of,
    taper,
)
from octostream.kernels.drift_meter import DriftMeter
from octostream.kernels.translation import translate
from octostream.stream.errors import RecipeError
from scipy.ndimage import gaussian_filter, zoom
from scipy.signal import windows

from .scenes import moved, texture

DATA = Path(__file__).parents[2].parent / "shared" / "data"
NOTHING = Shift(0.0, 0.0, 0.0, False)


def level_of(image, parameters):
    """Give the level that the step would look at."""
    return np.ascontiguousarray(np.rint(bin_reference(image.astype(np.float64), parameters.bin)), np.uint16)


def measured(image, reference, parameters):
    image, reference = level_of(image, parameters), level_of(reference, parameters)
    meter = DriftMeter(parameters, reference.shape)
    return meter.compare(meter.spectrum(image), meter.spectrum(reference))


def exactly(image, reference, parameters):
    return drift_reference(level_of(image, parameters), level_of(reference, parameters), parameters)


def assert_close(got, expected, cells):
    # The peak's three values are float32, about 1e-6 of the peak off; the vertex of a flat peak makes 100 times that.
    assert got[:2] == pytest.approx(expected[:2], rel=1e-5, abs=1e-3 * cells)
    # The second peak may be a thousandth of the first, and its error is that of the first.
    assert got.quality == pytest.approx(expected.quality, rel=1e-2)
    assert got.limited == expected.limited


shifts = st.floats(-30, 30)


@given(shifts, shifts, st.integers(0, 9), st.sampled_from([1, 2, 4]), st.booleans())
@example(0.0, 0.0, 0, 4, False)
@example(2.0, -2.0, 0, 4, False)
@example(30.0, 30.0, 0, 4, True)
def test_true_shifts_are_found(dy, dx, seed, side, noisy):
    scene = texture((203, 258), seed)
    reference, image = moved(scene, 0, 0, 1 if noisy else None), moved(scene, dy, dx, 2 if noisy else None)
    parameters = Drift(bin=side)
    got = measured(image, reference, parameters)
    assert abs(got.dy - dy) < max(0.1 * side, 0.2)
    assert abs(got.dx - dx) < max(0.1 * side, 0.2)
    assert got.quality > 1.5
    assert not got.limited
    assert_close(got, exactly(image, reference, parameters), side)


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from([1, 2, 4, 8]),
    st.floats(0, 60),
    st.floats(0, 0.5),
    st.integers(0, 99),
)
@example((1, 40), 4, 64.0, 0.125, 0)
@example((40, 1), 1, 64.0, 0.5, 0)
@example((1, 1), 4, 64.0, 0.0, 0)
@example((2, 2), 1, 64.0, 0.0, 0)
def test_any_size_is_measured(shape, side, reach, fade, seed):
    scene = np.random.default_rng(seed).integers(0, 65536, shape, dtype=np.uint16)
    parameters = Drift(bin=side, max_shift=reach, taper=fade)
    got = measured(scene, scene, parameters)
    assert got[:2] == pytest.approx((0, 0), abs=1e-3)
    assert (got.quality >= 1) or got == NOTHING
    assert got.quality <= BEST
    exact = exactly(scene, scene, parameters)
    assert exact[:2] == pytest.approx((0, 0), abs=1e-9)


@pytest.mark.parametrize("level", [0, 100, 65535])
def test_without_structure_nothing_moves(level):
    flat = np.full((50, 61), level, np.uint16)
    scene = moved(texture((50, 61), 0), 0, 0)
    for image, reference in ((flat, scene), (scene, flat), (flat, flat)):
        assert measured(image, reference, Drift()) == NOTHING
        assert exactly(image, reference, Drift()) == NOTHING


def test_brightness_does_not_matter_and_the_result_is_the_same_every_time():
    scene = texture((200, 240), 1)
    reference, image = moved(scene, 0, 0), moved(scene, 5.3, -7.7)
    first = measured(image, reference, Drift())
    assert measured(image, reference, Drift()) == first
    brighter = measured(image * np.uint16(4), reference, Drift())
    assert brighter[:2] == pytest.approx(first[:2], abs=0.02)
    assert brighter.quality == pytest.approx(first.quality, rel=0.02)


def test_a_shift_beyond_the_window_is_said_to_be_limited():
    scene = texture((256, 256), 2)
    reference = moved(scene, 0, 0)
    assert measured(moved(scene, 14, 0), reference, Drift(max_shift=16)).dy == pytest.approx(14, abs=0.4)
    got = measured(moved(scene, 18, 0), reference, Drift(max_shift=16))
    assert got.limited
    assert abs(got.dy) <= 18


def test_unrelated_images_have_no_quality():
    related = measured(moved(texture((256, 256), 3), 6, 6, 0), moved(texture((256, 256), 3), 0, 0, 1), Drift())
    other = measured(moved(texture((256, 256), 4), 0, 0, 0), moved(texture((256, 256), 3), 0, 0, 1), Drift())
    assert other.quality < 2 < 10 < related.quality


def test_without_whitening_it_is_the_cross_correlation():
    rng = np.random.default_rng(0)
    image, reference = (rng.integers(0, 999, (24, 30), dtype=np.uint16) for _ in range(2))
    parameters = Drift(bin=1, max_shift=5, smooth=0.5, background=1024, regularisation=1000, taper=0)
    plain = gaussian_filter(image - image.mean(), 0.5, mode="wrap", truncate=12)
    centred = reference - reference.mean()
    best = max(((plain * np.roll(centred, (y, x), (0, 1))).sum(), y, x) for y in range(-5, 6) for x in range(-5, 6))
    got = drift_reference(image, reference, parameters)
    assert (round(got.dy), round(got.dx)) == best[1:]


def test_a_gaussian_peak_is_found_between_samples():
    y, x = np.mgrid[-6:7, -8:9]
    window = np.exp(-((y - 1.3) ** 2 + (x + 2.45) ** 2) / 3) + 0.25 * np.exp(-((y + 3) ** 2 + (x - 4) ** 2) / 3)
    got = peak_of(window, 4)
    assert got[:2] == pytest.approx((5.2, -9.8), abs=1e-3)
    assert got.quality == pytest.approx(window[1 + 6, -2 + 8] / 0.25, rel=1e-3)
    assert not got.limited


def test_a_peak_without_logarithm_and_a_peak_at_the_border():
    window = np.full((7, 7), -1.0)
    window[3, 4], window[3, 3] = 2.0, 0.5
    got = peak_of(window, 1)
    assert got[:2] == pytest.approx((0, 1 - 0.5 * 1.5 / 4.5))
    assert got.quality == BEST
    window[3, 5] = 9.0
    window[3, 6] = 9.5
    assert peak_of(window, 1)[:2] == (0, 2.5)
    assert peak_of(window, 1).limited


def test_a_peak_between_two_equal_samples_is_one_peak():
    window = np.zeros((9, 9))
    window[4, 3:5] = 4.0
    window[6, 7] = 0.5
    assert peak_of(window, 1).quality == 8


def test_the_band_pass_is_a_difference_of_gaussians():
    kernel = np.zeros((64, 64))
    kernel[0, 0] = 1
    narrow, wide = (gaussian_filter(kernel, sigma, mode="wrap", truncate=8) for sigma in (1.0, 4.0))
    got = np.fft.irfft2(band_pass((64, 64), Drift(background=4)), (64, 64))
    assert got == pytest.approx(narrow - wide, abs=1e-3)
    assert band_pass((64, 64), Drift())[0, 0] == 0


def test_the_taper_is_that_of_scipy_between_its_samples():
    assert taper(64, 0.25) == pytest.approx(windows.tukey(129, 0.5)[1::2], abs=1e-12)
    assert taper(33, 0.5) == pytest.approx(windows.hann(67)[1::2], abs=1e-12)
    assert (taper(7, 0) == 1).all()
    assert taper(1, 0.5).tolist() == [1]


def test_what_was_measured_corrects_the_image():
    scene = texture((200, 200), 6)
    reference, image = moved(scene, 0, 0), moved(scene, 7.3, -4.6)
    shift = measured(image, reference, Drift(bin=2))
    out = np.zeros_like(image)
    translate(image, -shift.dy, -shift.dx, 0, out)
    inside = np.s_[12:-12, 12:-12]
    before = abs(image[inside].astype(float) - reference[inside]).mean()
    assert abs(out[inside].astype(float) - reference[inside]).mean() < before / 10


@pytest.mark.parametrize("shift", [(3.2, -5.9), (-11.4, 8.5), (0.4, 0.6)])
def test_a_recorded_plane_is_followed(shift):
    path = DATA / "lattice_lightsheet_raw.tif"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    plane = zoom(tifffile.imread(path, key=40).astype(np.float64), 2, order=3)
    reference, image = moved(plane, 0, 0), moved(plane, *shift)
    # Two exposures of the same scene: what the camera adds does not repeat.
    rng = np.random.default_rng(1)
    noisy = [(a + rng.normal(0, 4, a.shape)).clip(0).astype(np.uint16) for a in (reference, image)]
    got = measured(noisy[1], noisy[0], Drift())
    assert got[:2] == pytest.approx(shift, abs=0.4)
    assert got.quality > 1.5


def test_images_that_do_not_fit_are_refused_and_others_only_read():
    meter = DriftMeter(Drift(), (20, 30))
    image = np.zeros((20, 30), np.uint16)
    for wrong in (image[:19], image.astype(np.int16), np.zeros((20, 60), np.uint16)[:, ::2]):
        with pytest.raises(ValueError, match=r"not C-contiguous uint16 \(20, 30\)"):
            meter.spectrum(wrong)
    image.flags.writeable = False
    meter.spectrum(image)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"bin": 3}, "drift.bin is 3: it must be 1, 2, 4, 8, 16, 32 or 64 raw pixels"),
        ({"max_shift": -1}, "drift.max_shift is -1: it must be a finite number of raw pixels from 0 to 4096"),
        ({"max_shift": float("nan")}, "drift.max_shift is NaN"),
        ({"smooth": 0}, "drift.smooth is 0"),
        ({"smooth": 3, "background": 3}, "drift.background is 3, drift.smooth 3: the background must be the wider"),
        ({"background": 1e9}, "drift.background is"),
        ({"regularisation": 0}, "drift.regularisation is 0"),
        ({"taper": 0.6}, "drift.taper is 0.6"),
        ({"taper": True}, "drift.taper is true"),
    ],
)
def test_parameters_outside_their_range_are_refused(values, words):
    with pytest.raises(RecipeError) as caught:
        Drift(**values)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
