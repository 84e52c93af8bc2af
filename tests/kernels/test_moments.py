"""Temporal moments: exact sums, merged in any order, against NumPy in float64 and Chan's rule."""

from __future__ import annotations

import math
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import example, given
from hypothesis import strategies as st
from octostream.kernels import moments as module
from octostream.kernels.moments import BlockSums, Moments, Sums, merge_reference, moment_maps, moments_reference
from octostream.stream.errors import RecipeError

DATA = Path(__file__).parents[2].parent / "shared" / "data"

shapes = st.sampled_from([(1, 1), (1, 9), (9, 1), (3, 5), (2, 3, 4), (1, 1023), (1, 1024), (1, 1025), (3, 700)])
kinds = st.sampled_from(["any", "dark", "full", "falling", "low", "ends", "steady"])


def frames_of(count, shape, kind, seed):
    rng = np.random.default_rng(seed)
    size = (count, *shape)
    if kind in ("dark", "full"):
        return np.full(size, 65535 if kind == "full" else 0, np.uint16)
    if kind == "falling":
        return (65535 - 37 * np.arange(np.prod(size)) % 65536).astype(np.uint16).reshape(size)
    if kind == "ends":
        return rng.choice(np.array([0, 1, 65534, 65535], np.uint16), size)
    if kind == "steady":  # nearly constant and bright: where a difference of large sums would cancel
        return (65000 + (rng.random(size) < 0.1)).astype(np.uint16)
    return rng.integers(0, 200 if kind == "low" else 65536, size, dtype=np.uint16)


def sums_of(frames, batch=8):
    block = BlockSums(frames.shape[1:])
    for start in range(0, len(frames), batch):
        block.add(frames[start : start + batch])
    return block.finish()


def assert_close(got, expected):
    for name, part, reference in zip(got._fields, got, expected, strict=True):
        assert part.dtype == np.float32
        # float32 keeps 6e-8 of a value; a signal next to the offset keeps what float64 has of the mean.
        assert np.allclose(part, reference, rtol=1e-6, atol=1e-6 if name == "snr" else 0, equal_nan=True), name


@given(st.integers(1, 40), shapes, kinds, st.integers(0, 2**32 - 1), st.integers(1, 11), st.floats(0, 65535))
@example(33, (1, 1025), "steady", 0, 8, 100.0)
@example(1, (3, 5), "any", 0, 8, 0.0)
def test_any_frames_against_numpy(count, shape, kind, seed, batch, offset):
    frames = frames_of(count, shape, kind, seed)
    sums = sums_of(frames, batch)
    assert sums.count == count
    assert (sums.total == frames.sum(0, dtype=np.uint64)).all()
    assert (sums.squares == (frames.astype(np.uint64) ** 2).sum(0)).all()
    expected = moments_reference(frames, Moments(offset))
    got = moment_maps(sums, Moments(offset))
    # Where all the frames are equal, NumPy's mean may be off in the last bit and its variance with it.
    constant = (frames == frames[0]).all(0)
    assert (got.variance[constant] == 0).all()
    assert np.isnan(got.snr[constant]).all()
    sure = ~constant & (abs(expected.mean - offset) > 1e-6 * (1 + abs(expected.mean)))
    assert_close(type(got)(*(part[sure] for part in got)), type(got)(*(part[sure] for part in expected)))
    assert np.allclose(got.mean, expected.mean, rtol=1e-6, atol=0)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), shapes, kinds, st.integers(0, 2**32 - 1), st.randoms())
def test_blocks_merge_in_any_order_and_grouping(counts, shape, kind, seed, chance):
    frames = frames_of(sum(counts), shape, kind, seed)
    whole = sums_of(frames)
    starts = np.cumsum([0, *counts])
    parts = [sums_of(frames[a : a + n]) for a, n in zip(starts, counts, strict=False)]
    while len(parts) > 1:
        chance.shuffle(parts)
        parts.append(parts.pop().merge(parts.pop()))
    merged = parts[0].merge(Sums.empty(shape))
    assert merged.count == whole.count
    assert (merged.total == whole.total).all()
    assert (merged.squares == whole.squares).all()
    for one, other in zip(moment_maps(merged, Moments()), moment_maps(whole, Moments()), strict=True):
        assert one.tobytes() == other.tobytes()


@given(st.integers(1, 20), st.integers(1, 20), kinds, st.integers(0, 2**32 - 1))
def test_merging_is_chans_rule(first, second, kind, seed):
    frames = frames_of(first + second, (4, 5), kind, seed).astype(np.float64)
    parts = [(len(part), part.mean(0), part.var(0) * len(part)) for part in (frames[:first], frames[first:])]
    count, mean, deviations = merge_reference(*parts)
    whole = frames.astype(np.uint16)
    got = moment_maps(sums_of(whole[:first]).merge(sums_of(whole[first:])), Moments())
    assert count == len(frames)
    assert np.allclose(got.mean, mean, rtol=1e-6, atol=0)
    # Chan's rule in floats leaves rounding of the mean's size where the true variance is 0.
    assert np.allclose(got.variance, deviations / count, rtol=1e-6, atol=1e-9 * 65535)


@given(st.integers(1, 2**32), st.integers(0, 65535), st.integers(0, 65535), st.floats(0, 1))
@example(2**32, 65535, 65534, 0.5)
@example(2**32, 65535, 0, 0.5)
@example(2**32, 65535, 65535, 0.0)
@example(1_000_003, 65535, 65534, 0.999999)
@example(4_294_966_272, 65534, 65535, 1 - 2**-32)
@example(1_000_003, 65535, 65534, 1e-6)
def test_variance_is_exact_however_many_frames(count, low, high, share):
    # A pixel that shows two values, over more frames than anyone can make: compared in rational numbers.
    of_high = int(share * count)
    of_low = count - of_high
    total, squares = low * of_low + high * of_high, low**2 * of_low + high**2 * of_high
    exact = Fraction(squares, count) - Fraction(total, count) ** 2
    pixel = [np.full((1, 1), value, np.uint64) for value in (total, squares)]
    got = moment_maps(Sums(count, *pixel), Moments(0)).variance[0, 0]
    assert math.isclose(got, float(exact), rel_tol=1e-7)


def test_no_frames_have_no_moments():
    block = BlockSums((2, 3))
    block.add(np.zeros((0, 2, 3), np.uint16))
    for maps in (moment_maps(block.finish(), Moments()), moments_reference(np.zeros((0, 2, 3), np.uint16), Moments())):
        assert all(part.shape == (2, 3) and np.isnan(part).all() for part in maps)


def test_moments_by_hand():
    frames = np.array([[[90, 110, 100]], [[94, 118, 100]]], np.uint16)
    maps = moment_maps(sums_of(frames), Moments(100))
    assert maps.mean.tolist() == [[92, 114, 100]]
    assert maps.variance.tolist() == [[4, 16, 0]]
    assert maps.snr[0, :2].tolist() == [-4, 3.5]
    assert np.isnan(maps.snr[0, 2])
    assert maps.fano[0, 1] == np.float32(16 / 14)
    assert np.isnan(maps.fano[0, [0, 2]]).all()


def test_fano_of_shot_noise_is_the_gain():
    rng = np.random.default_rng(0)
    light = rng.poisson(200, (400, 16, 16)) * 2.17 + 100
    maps = moment_maps(sums_of(np.rint(light).astype(np.uint16)), Moments(100))
    assert math.isclose(maps.fano.mean(), 2.17, rel_tol=0.02)
    assert math.isclose(maps.snr.mean(), math.sqrt(200), rel_tol=0.02)


def test_the_longest_block_does_not_wrap():
    block = BlockSums((1, 3))
    full = np.full((module.MOST_FRAMES // 4, 1, 3), 65535, np.uint16)
    for _ in range(4):
        block.add(full)
    with pytest.raises(ValueError, match="at most 65536 frames"):
        block.add(full[:1])
    sums = block.finish()
    assert (sums.total == 65535 * 65536).all()
    assert (sums.squares == 65535**2 * 65536).all()
    assert (moment_maps(sums, Moments()).variance == 0).all()
    with pytest.raises(ValueError, match="more than 64-bit"):
        Sums(2**32, sums.total, sums.squares).merge(sums)


def test_a_block_forgets_the_last_one():
    frames = frames_of(5, (3, 4), "any", 0)
    block = BlockSums((3, 4))
    block.add(frames)
    assert frames.flags.writeable
    last = block.finish()
    block.begin()
    block.add(frames[:2])
    sums = block.finish()
    assert np.shares_memory(sums.total, last.total)
    assert sums.count == 2
    assert (sums.total == frames[:2].sum(0, dtype=np.uint64)).all()


def test_frames_that_do_not_fit_are_refused():
    block, frames = BlockSums((3, 4)), frames_of(2, (3, 8), "any", 0)
    frames.flags.writeable = False
    for wrong in (frames, frames[..., ::2], frames[:, :, :4].astype(np.int16), frames[0, :, :4]):
        with pytest.raises(ValueError, match="not C-contiguous uint16"):
            block.add(wrong)
    with pytest.raises(ValueError, match="do not merge"):
        block.finish().merge(Sums.empty((4, 3)))
    assert block.finish().count == 0
    BlockSums((3, 8)).add(frames)


@pytest.mark.parametrize("offset", [-1, 65536, math.nan, None, False])
def test_an_offset_that_does_not_fit_is_refused(offset):
    with pytest.raises(RecipeError, match=r"moments.offset is .*: it must be a number of counts from 0 to 65535"):
        Moments(offset)


def test_threads_with_their_own_buffers_agree():
    frames = frames_of(24, (64, 300), "any", 1)
    results = []
    threads = [threading.Thread(target=lambda: results.append(sums_of(frames))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == 4
    assert all((sums.squares == (frames.astype(np.uint64) ** 2).sum(0)).all() for sums in results)


def test_real_movie():
    path = DATA / "lattice_lightsheet_raw.tif"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    frames = tifffile.imread(path)
    assert_close(moment_maps(sums_of(frames), Moments(98)), moments_reference(frames, Moments(98)))
