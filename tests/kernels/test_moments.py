"""Temporal moments: exact sums against NumPy in float64 and Chan's rule, over runs that lost frames."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import example, given
from hypothesis import strategies as st
from octostream.kernels.moments import Sums, moment_maps, moments_reference

from .followed import followed, images_of, planned, same
from .followed import kinds as runs
from .followed import shapes as run_shapes

DATA = Path(__file__).parents[2].parent / "shared" / "data"

shapes = st.sampled_from([(1, 1), (1, 9), (9, 1), (3, 5), (1, 1025), (3, 700)])
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


def sums_of(frames):
    sums = Sums.empty(frames.shape[1:])
    for frame in frames:
        sums.add(frame)
    return sums


def assert_close(got, expected):
    for name, part, reference in zip(got._fields, got, expected, strict=True):
        assert part.dtype == np.float32
        # float32 keeps 6e-8 of a value; a signal next to the offset keeps what float64 has of the mean.
        assert np.allclose(part, reference, rtol=1e-6, atol=1e-6 if name == "snr" else 0, equal_nan=True), name


@given(st.integers(1, 40), shapes, kinds, st.integers(0, 2**32 - 1), st.floats(0, 65535))
@example(33, (1, 1025), "steady", 0, 100.0)
@example(1, (3, 5), "any", 0, 0.0)
def test_any_frames_against_numpy(count, shape, kind, seed, offset):
    frames = frames_of(count, shape, kind, seed)
    sums = sums_of(frames)
    assert sums.count == count
    assert (sums.total == frames.sum(0, dtype=np.uint64)).all()
    assert (sums.squares == (frames.astype(np.uint64) ** 2).sum(0)).all()
    expected = moments_reference(frames, offset)
    got = moment_maps(sums, offset)
    # Where all the frames are equal, NumPy's mean may be off in the last bit and its variance with it.
    constant = (frames == frames[0]).all(0)
    assert (got.variance[constant] == 0).all()
    assert np.isnan(got.snr[constant]).all()
    sure = ~constant & (abs(expected.mean - offset) > 1e-6 * (1 + abs(expected.mean)))
    assert_close(type(got)(*(part[sure] for part in got)), type(got)(*(part[sure] for part in expected)))
    assert np.allclose(got.mean, expected.mean, rtol=1e-6, atol=0)


def merged(first, second):
    """Merge count n, mean and sum of squared deviations by Chan's rule (Chan, Golub, LeVeque, 1983)."""
    count = first[0] + second[0]
    apart = second[1] - first[1]
    mean = first[1] + apart * (second[0] / count)
    return count, mean, first[2] + second[2] + apart**2 * (first[0] * second[0] / count)


@given(st.integers(1, 20), st.integers(1, 20), kinds, st.integers(0, 2**32 - 1))
def test_adding_is_chans_rule(first, second, kind, seed):
    frames = frames_of(first + second, (4, 5), kind, seed).astype(np.float64)
    parts = [(len(part), part.mean(0), part.var(0) * len(part)) for part in (frames[:first], frames[first:])]
    count, mean, deviations = merged(*parts)
    got = moment_maps(sums_of(frames.astype(np.uint16)), 100)
    assert count == len(frames)
    assert np.allclose(got.mean, mean, rtol=1e-6, atol=0)
    # Chan's rule in floats leaves rounding of the mean's size where the true variance is 0.
    assert np.allclose(got.variance, deviations / count, rtol=1e-6, atol=1e-9 * 65535)


@given(run_shapes, runs, st.integers(0, 99), st.sampled_from([0, 0.3, 1]))
@example((1, 1, 1, 1, 1), "full", 0, 0)
def test_a_run_has_the_moments_of_the_frames_that_came(shape, kind, seed, lost):
    images, present = images_of(shape, kind, seed, lost)
    reduction = planned(shape, "moments=true", "moments.bin=1", "encode.pedestal=7")
    result = followed(reduction, images, present)
    for at in np.ndindex(shape[1:3]):
        expected = moment_maps(sums_of(images[:, *at][present[:, *at]]), 7)
        for name, plane in expected._asdict().items():
            assert result[0][f"moments/{name}"][at].tobytes() == plane.tobytes()
    assert same(result, followed(reduction, images, present))


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
    got = moment_maps(Sums(count, *pixel), 0).variance[0, 0]
    assert math.isclose(got, float(exact), rel_tol=1e-7)


def test_no_frames_have_no_moments():
    for maps in (moment_maps(Sums.empty((2, 3)), 100), moments_reference(np.zeros((0, 2, 3), np.uint16), 100)):
        assert all(part.shape == (2, 3) and np.isnan(part).all() for part in maps)


def test_moments_by_hand():
    frames = np.array([[[90, 110, 100]], [[94, 118, 100]]], np.uint16)
    maps = moment_maps(sums_of(frames), 100)
    assert maps.mean.tolist() == [[92, 114, 100]]
    assert maps.variance.tolist() == [[4, 16, 0]]
    assert maps.snr[0, :2].tolist() == [-4, 3.5]
    assert np.isnan(maps.snr[0, 2])
    assert maps.fano[0, 1] == np.float32(16 / 14)
    assert np.isnan(maps.fano[0, [0, 2]]).all()


def test_fano_of_shot_noise_is_the_gain():
    rng = np.random.default_rng(0)
    light = rng.poisson(200, (400, 16, 16)) * 2.17 + 100
    maps = moment_maps(sums_of(np.rint(light).astype(np.uint16)), 100)
    assert math.isclose(maps.fano.mean(), 2.17, rel_tol=0.02)
    assert math.isclose(maps.snr.mean(), math.sqrt(200), rel_tol=0.02)


def test_frames_that_do_not_fit_are_refused_and_others_only_read():
    sums, frames = Sums.empty((3, 4)), frames_of(2, (3, 8), "any", 0)
    for wrong in (frames[0], frames[0, :, ::2], frames[0, :, :4].astype(np.int16), frames):
        with pytest.raises(ValueError, match="not C-contiguous uint16"):
            sums.add(wrong)
    assert sums.count == 0
    frames.flags.writeable = False
    Sums.empty((3, 8)).add(frames[0])


def test_real_movie():
    path = DATA / "lattice_lightsheet_raw.tif"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    frames = tifffile.imread(path)
    assert_close(moment_maps(sums_of(frames), 98), moments_reference(frames, 98))
