"""Focus measures: both forms agree, SciPy agrees, sharp is more than blurred, and bleaching changes nothing."""

from __future__ import annotations

import math
import threading
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from octostream.kernels import focus_trend as trend_module
from octostream.kernels.focus import TABLE, Focus, FocusMeter, Sharpness, focus_reference
from octostream.kernels.focus_trend import TREND, focus_trend
from octostream.stream.errors import RecipeError
from scipy.ndimage import gaussian_filter, sobel

from .blockwise import run, same

DATA = Path(__file__).parents[2].parent / "shared" / "data"

shapes = st.tuples(st.integers(1, 40), st.integers(1, 70))
kinds = st.sampled_from(["any", "flat", "falling", "low", "ends", "columns"])


def image_of(shape, kind, seed):
    rng = np.random.default_rng(seed)
    if kind == "flat":
        return np.full(shape, rng.integers(0, 65536), np.uint16)
    if kind == "falling":
        return (65535 - 997 * np.arange(np.prod(shape)) % 65536).astype(np.uint16).reshape(shape)
    if kind == "ends":
        return rng.choice(np.array([0, 65535], np.uint16), shape)
    if kind == "columns":
        return np.tile(np.where(np.arange(shape[1]) // 2 % 2, 0, 65535).astype(np.uint16), (shape[0], 1))
    return rng.integers(0, 200 if kind == "low" else 65536, shape, dtype=np.uint16)


def scene(blur, bright=1.0, offset=100):
    """Give dots on a dim background, blurred, as whole counts."""
    rng = np.random.default_rng(3)
    dots = (rng.random((96, 128)) < 0.02) * 8000.0 + 500
    return np.rint(offset + bright * np.rint(gaussian_filter(dots, blur)) * 2).astype(np.uint16)


def measured(image, parameters=None):
    return FocusMeter(image.shape, parameters or Focus()).measure(image)


def assert_close(got, expected):
    for name, value, reference in zip(Sharpness._fields, got, expected, strict=True):
        # A coefficient that is 0 in exact arithmetic is some 1e-8 in float32, and -1e-8 · log₂ 1e-8 is 3e-7.
        assert np.allclose(value, reference, rtol=1e-5, atol=2e-6 if name == "dct" else 1e-12, equal_nan=True), name


@given(
    shapes, kinds, st.integers(0, 99), st.floats(0, 65535) | st.integers(0, 65535), st.floats(1, 9), st.integers(1, 50)
)
@example((1, 1), "any", 0, 0, 3.0, 512)
@example((1, 2), "any", 0, 0, 1.0, 512)
@example((3, 3), "ends", 0, 0, 1.0, 512)
@example((40, 70), "any", 0, 100, 1.0, 512)
def test_both_forms_are_equal(shape, kind, seed, offset, psf, roi):
    image, parameters = image_of(shape, kind, seed), Focus(offset, psf, roi)
    got, expected = measured(image, parameters), focus_reference(image, parameters)
    if abs(image.mean() - offset) < 1e-3:
        # Whether the mean is above the offset hangs on the last bit of it.
        got, expected = got._replace(dct=0.0), expected._replace(dct=0.0)
        assert all(math.isnan(value) or value >= 0 for value in (*got, *expected))
    else:
        assert_close(got, expected)
    if kind == "flat" and shape[0] > 2 and shape[1] > 2 and image[0, 0] > offset:
        assert got[1:] == (0, 0, 0)


@pytest.mark.parametrize("shape", [(3, 3), (20, 31), (64, 1024)])
def test_scipy_and_numpy_give_the_same(shape):
    image = image_of(shape, "any", 1)
    signal = image - 100.0
    square = signal.mean() ** 2
    inner = np.s_[1:-1, 1:-1]
    gradient = (sobel(signal, 0)[inner] ** 2 + sobel(signal, 1)[inner] ** 2).mean()
    got = measured(image)
    assert math.isclose(got.tenengrad, gradient / square, rel_tol=1e-9)
    assert math.isclose(got.brenner, ((signal[:, 2:] - signal[:, :-2]) ** 2).mean() / square, rel_tol=1e-9)
    assert math.isclose(got.variance, signal.var() / square, rel_tol=1e-9)


@pytest.mark.parametrize(("shape", "psf"), [((12, 12), 3.0), ((12, 18), 2.0), ((7, 10), 1.0)])
def test_the_entropy_by_its_definition(shape, psf):
    image = image_of(shape, "low", 2)
    signal, (height, width) = image - 10.0, shape
    total = 0.0
    for v in range(height):
        for u in range(width):
            if u * psf / width + v * psf / height < 1:
                down = np.cos(np.pi * v * (2 * np.arange(height) + 1) / (2 * height))
                across = np.cos(np.pi * u * (2 * np.arange(width) + 1) / (2 * width))
                scale = math.sqrt((1 if v == 0 else 2) / height * (1 if u == 0 else 2) / width)
                share = abs(scale * (down @ signal @ across)) / math.sqrt((signal**2).sum())
                total -= share * math.log2(share)
    assert math.isclose(measured(image, Focus(10, psf)).dct, 2 * psf**2 / (height * width) * total, rel_tol=1e-5)


def test_values_by_hand():
    image = np.array([[100, 101, 104], [100, 101, 104], [100, 101, 104]], np.uint16)
    got = measured(image)
    mean = 5 / 3
    assert math.isclose(got.tenengrad, 16**2 / mean**2)
    assert math.isclose(got.brenner, 4**2 / mean**2)
    assert math.isclose(got.variance, (17 / 3 - mean**2) / mean**2)


def test_blur_lowers_every_measure():
    rows = [measured(scene(blur), Focus(psf=2)) for blur in (0.6, 1.2, 2.4, 4.8)]
    for name, values in zip(Sharpness._fields, zip(*rows, strict=True), strict=True):
        assert all(sharp > 1.1 * dull for sharp, dull in pairwise(values)), name


def test_bleaching_and_offset_change_nothing():
    bright = measured(scene(1.0))
    assert_close(measured(scene(1.0, bright=0.5)), bright)
    assert_close(measured(scene(1.0, offset=433), Focus(offset=433)), bright)


def test_a_weak_signal_far_above_zero_keeps_its_digits():
    image = (65000 + np.random.default_rng(0).integers(0, 3, (30, 40))).astype(np.uint16)
    parameters = Focus(offset=64999.75, psf=2)
    assert_close(measured(image, parameters), focus_reference(image, parameters))


def test_only_the_centre_counts_for_the_entropy():
    image = image_of((41, 60), "any", 4)
    centre = np.ascontiguousarray(image[12:28, 22:38])
    got = measured(image, Focus(roi=16))
    assert got.dct == measured(centre, Focus(roi=16)).dct
    assert got.variance != measured(centre).variance


def test_where_there_is_nothing_to_measure():
    nothing = np.full((5, 5), 100, np.uint16)
    assert all(math.isnan(value) for value in (*measured(nothing), *focus_reference(nothing, Focus())))
    dark = measured(np.full((5, 5), 99, np.uint16))
    assert not math.isnan(dark.dct)
    assert all(math.isnan(value) for value in dark[1:])
    narrow = measured(np.full((5, 2), 300, np.uint16))
    assert [math.isnan(value) for value in narrow] == [False, True, True, False]
    low = measured(np.full((2, 5), 300, np.uint16))
    assert [math.isnan(value) for value in low] == [False, True, False, False]


def test_the_largest_sums_do_not_wrap():
    # Rows of more than 65536 pixels, with the steepest steps there are, three and two pixels wide.
    image = np.zeros((3, 200_001), np.uint16)
    image[:, np.arange(200_001) // 2 % 2 == 0] = 65535
    got, expected = measured(image, Focus(0, 64, 9)), focus_reference(image, Focus(0, 64, 9))
    assert_close(got, expected)
    assert math.isclose(got.brenner, (65535 / image.mean()) ** 2, rel_tol=1e-9)


def test_frames_that_do_not_fit_are_refused():
    meter, image = FocusMeter((5, 6), Focus()), image_of((5, 12), "any", 0)
    for wrong in (image, image[:, ::2], image[:, :6].astype(np.int16), image[:, :6].astype(">u2")):
        with pytest.raises(ValueError, match="not C-contiguous uint16"):
            meter.measure(wrong)


def test_one_meter_measures_every_frame_as_if_it_were_the_first():
    image = image_of((50, 60), "any", 0)
    meter = FocusMeter(image.shape, Focus())
    first = meter.measure(image)
    assert image.flags.writeable
    meter.measure(image_of((50, 60), "ends", 1))
    image.flags.writeable = False
    assert meter.measure(image) == first


def test_threads_with_their_own_meters_agree():
    image = image_of((200, 300), "any", 0)
    results = []
    threads = [threading.Thread(target=lambda: results.append(measured(image))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [measured(image)] * 4


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("offset", -1, "focus.offset is -1: it must be a finite number of counts from 0 to 65535"),
        ("offset", math.nan, "focus.offset is NaN"),
        ("psf", 0.9, "focus.psf is 0.9: it must be a finite number of pixels from 1 to 64"),
        ("roi", 0, "focus.roi is 0: it must be a whole number of pixels from 1 to 65536"),
        ("roi", 9.5, "focus.roi is 9.5"),
        ("roi", True, "focus.roi is true"),
        ("window", 0, "focus.window is 0: it must be a whole number of frames from 1 to 1000"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(name, value, words):
    with pytest.raises(RecipeError) as caught:
        Focus(**{name: value})
    assert words in str(caught.value)


def test_columns_are_the_measures():
    assert [column.name for column in TABLE.columns] == ["frame", *Sharpness._fields]
    assert all(np.dtype(column.dtype) and column.meaning for column in (*TABLE.columns, *TREND.columns))


def test_real_lattice_planes():
    path = DATA / "lattice_lightsheet_raw.tif"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    stack = tifffile.imread(path)
    meter = FocusMeter(stack.shape[1:], Focus(offset=90))
    for plane in stack[::20]:
        got, expected = meter.measure(np.ascontiguousarray(plane)), focus_reference(plane, Focus(offset=90))
        assert_close(got, expected)
        blurred = np.rint(gaussian_filter(plane.astype(np.float64), 2)).astype(np.uint16)
        assert all(dull < sharp for dull, sharp in zip(meter.measure(blurred), got, strict=True))


stacks = st.tuples(*[st.integers(1, 4)] * 3, st.integers(1, 12), st.integers(1, 20))


@settings(max_examples=40)
@given(stacks, kinds, st.integers(0, 99), st.integers(1, 30), st.floats(0, 0.6))
def test_the_step_measures_every_frame_whatever_comes_when(shape, kind, seed, block_frames, share):
    frames = image_of(shape, "any" if kind == "columns" else kind, seed)
    lost = set(np.flatnonzero(np.random.default_rng(seed).random(math.prod(shape[:3])) < share).tolist())
    overrides = ["focus=true", "focus.offset=7", "focus.psf=2"]
    got = run(overrides, frames, lost=lost, seed=seed, block_frames=block_frames)
    rows, flat = got.tables["focus"], frames.reshape(-1, *shape[3:])
    held = [n for n in range(len(flat)) if n not in lost]
    assert rows["frame"].tolist() == held
    meter = FocusMeter(shape[3:], Focus(offset=7, psf=2))
    expected = np.array([meter.measure(flat[n]) for n in held], np.float32).reshape(-1, 4)
    for column, name in enumerate(Sharpness._fields):
        assert np.array_equal(rows[name], expected[:, column], equal_nan=True)
    assert same(run(overrides, frames, lost=lost, block_frames=block_frames), got)
    (name,) = got.reduction.steps[0].sum_up(got.tables)
    assert name == "focus_trend"
    assert name not in got.tables


def trend_by_hand(frames, dct, places, window):
    """Compare every frame with those before it, one after another."""
    out = []
    for at, number in enumerate(frames):
        before = [dct[i] for i in range(at) if frames[i] % places == number % places][-window:]
        before = [value for value in before if not math.isnan(value)]
        middle = float(np.median(before)) if before else math.nan
        out.append(dct[at] / middle - 1 if middle > 0 else math.nan)
    return np.array(out, np.float32)


@given(st.integers(1, 5), st.integers(1, 9), st.integers(0, 60), st.integers(0, 99), st.integers(1, 40))
def test_the_trend_is_against_the_median_before(places, window, count, seed, values_at_a_time):
    rng = np.random.default_rng(seed)
    frames = np.flatnonzero(rng.random(count) < 0.8)
    dct = np.where(rng.random(frames.size) < 0.1, np.nan, rng.integers(0, 4, frames.size)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trend_module, "_VALUES", values_at_a_time)
        got = focus_trend({"frame": frames, "dct": dct}, places, window)
    assert (got["frame"] == frames).all()
    assert got["trend"].dtype == np.float32
    assert np.array_equal(got["trend"], trend_by_hand(frames, dct.astype(float), places, window), equal_nan=True)


def test_a_long_window_does_not_take_much_memory():
    rows = {"frame": np.arange(100_000), "dct": np.ones(100_000, np.float32)}
    tracemalloc.start()
    try:
        focus_trend(rows, 1, 1000)
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


def test_a_stage_that_drifts_is_seen_in_every_plane():
    blurs = [0.6, 0.6, 0.6, 1.2, 2.4]
    frames = np.stack([np.stack([scene(blur), scene(blur + 1)]) for blur in blurs])[:, None]
    got = run(["focus=true", "focus.window=3", "focus.psf=2"], frames)
    trend = got.reduction.steps[0].sum_up(got.tables)["focus_trend"]["trend"].reshape(5, 2)
    assert np.isnan(trend[0]).all()
    assert (abs(trend[1:3]) < 1e-6).all()
    assert (trend[3] < -0.05).all()
    assert (trend[4] < trend[3]).all()
