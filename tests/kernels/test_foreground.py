"""Foreground masks: bit for bit the same in both forms, SciPy's Gaussian, NumPy's percentile, empty chunks."""

from __future__ import annotations

import math
import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import example, given
from hypothesis import strategies as st
from octostream.kernels import foreground as module
from octostream.kernels.foreground import (
    COLUMNS,
    Foreground,
    ForegroundMasker,
    foreground_reference,
    level_of,
    sampled_reference,
    smooth_reference,
)
from octostream.stream.errors import RecipeError
from scipy.ndimage import correlate1d, gaussian_filter

DATA = Path(__file__).parents[2].parent / "shared" / "data"

shapes = st.tuples(st.integers(1, 7), st.integers(1, 24), st.integers(1, 40))
kinds = st.sampled_from(["any", "dark", "full", "falling", "low", "ends"])
parameters = st.builds(
    Foreground,
    threshold=st.floats(0, 1),
    percentile=st.floats(0, 100),
    sigma=st.floats(0.5, 16),
    size=st.integers(0, 4).map(lambda radius: 2 * radius + 1) | st.just(65),
    z_step=st.floats(0.05, 20),
)


def stack_of(shape, kind, seed):
    rng = np.random.default_rng(seed)
    if kind in ("dark", "full"):
        return np.full(shape, 65535 if kind == "full" else 0, np.uint16)
    if kind == "falling":
        return (65535 - 199 * np.arange(np.prod(shape)) % 65536).astype(np.uint16).reshape(shape)
    if kind == "ends":
        return rng.choice(np.array([0, 65535], np.uint16), shape)
    return rng.integers(0, 200 if kind == "low" else 65536, shape, dtype=np.uint16)


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
    stack = stack_of(shape, kind, seed)
    with pytest.MonkeyPatch.context() as patch:
        # A level from few pixels of a small stack stands for one from few pixels of a large stack.
        patch.setattr(module, "_ENOUGH", enough)
        expected = foreground_reference(stack, p, chunk)
        got = ForegroundMasker(shape, p, chunk).mask(stack)
    assert_same(got, expected)
    if kind in ("dark", "full"):
        assert (got.level, got.foreground) == (stack[0, 0, 0], 0)
        assert got.background.all()


@given(shapes, kinds, st.integers(0, 99), parameters)
def test_smoothing_is_scipys(shape, kind, seed, p):
    stack = stack_of(shape, kind, seed)
    along_z, along_yx = (weights / 256 for weights in p.weights())
    exact = correlate1d(stack.astype(np.float64), along_z, 0, mode="nearest")
    exact = correlate1d(correlate1d(exact, along_yx, 1, mode="nearest"), along_yx, 2, mode="nearest")
    # Half of 1/256 count is rounded away before the last direction.
    assert abs(smooth_reference(stack, p) / 65536 - exact).max() <= 1 / 512 + 1e-6


@pytest.mark.parametrize(("z_step", "deviation", "radius"), [(1, 2, 2), (4, 1, 1), (0.5, 4, 4)])
def test_the_gaussian_is_the_one_that_was_asked_for(z_step, deviation, radius):
    stack = stack_of((9, 30, 31), "any", 1)
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
    got = ForegroundMasker(stack.shape, p, (12, 32, 32)).mask(stack)
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
    one, other = (ForegroundMasker(low.shape, Foreground(), chunk).mask(stack) for stack in (low, high))
    assert other.level == one.level + 1000
    assert (other.mask == one.mask).all()
    assert (other.background == one.background).all()


def test_large_stacks_are_sampled_alike():
    stack = stack_of((3, 300, 310), "any", 0)
    p = Foreground(z_step=3)
    assert_same(ForegroundMasker(stack.shape, p, (2, 64, 64)).mask(stack), foreground_reference(stack, p, (2, 64, 64)))


def test_one_masker_masks_every_stack_as_if_it_were_the_first():
    stack, chunk = stack_of((5, 20, 30), "any", 0), (2, 8, 8)
    masker = ForegroundMasker(stack.shape, Foreground(), chunk)
    masker.mask(stack_of((5, 20, 30), "ends", 1))
    assert_same(masker.mask(stack[:3]), foreground_reference(stack[:3], Foreground(), chunk))
    assert_same(masker.mask(stack), foreground_reference(stack, Foreground(), chunk))
    assert stack.flags.writeable
    stack.flags.writeable = False
    assert_same(masker.mask(stack), foreground_reference(stack, Foreground(), chunk))


def test_threads_with_their_own_maskers_agree():
    stack, chunk = stack_of((4, 100, 90), "any", 0), (4, 32, 32)
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(ForegroundMasker(stack.shape, Foreground(), chunk).mask(stack)))
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
    masker, stack = ForegroundMasker((4, 5, 6), Foreground(), (4, 4, 4)), stack_of((5, 5, 12), "any", 0)
    small = np.ascontiguousarray(stack[:, :, :6])
    wrong = [small, small[:0], small[0], stack[:4, :, ::2], small[:4].astype(np.int16)]
    wrong.append(np.ascontiguousarray(small[:4, :4]))
    for array in wrong:
        with pytest.raises(ValueError, match="not C-contiguous uint16"):
            masker.mask(array)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("threshold", 1.1, "foreground.threshold is 1.1: it must be a number of parts of the mean signal from 0 to 1"),
        ("percentile", -1, "foreground.percentile is -1"),
        ("percentile", math.nan, "foreground.percentile is nan"),
        ("sigma", 0.4, "foreground.sigma is 0.4: it must be a number of pixels from 0.5 to 16"),
        ("size", 4, "foreground.size is 4: it must be odd"),
        ("size", 67, "foreground.size is 67: it must be a whole number of pixels from 1 to 65"),
        ("size", 2.5, "foreground.size is 2.5"),
        ("z_step", 0, "foreground.z_step is 0"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(name, value, words):
    with pytest.raises(RecipeError) as caught:
        Foreground(**{name: value})
    assert words in str(caught.value)


def test_columns_are_of_the_mask():
    assert [column.name for column in COLUMNS] == ["frame", "level", "foreground", "background_chunks"]
    assert all(np.dtype(column.dtype) and column.meaning for column in COLUMNS)


def test_real_lattice_stack():
    path = DATA / "lattice_lightsheet_raw.tif"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    stack = tifffile.imread(path)
    p, chunk = Foreground(z_step=2.5), (16, 64, 64)
    got = ForegroundMasker(stack.shape, p, chunk).mask(stack)
    assert_same(got, foreground_reference(stack, p, chunk))
    inside, outside = stack[got.mask == 1].mean(), stack[got.mask == 0].mean()
    assert inside > outside + 10
