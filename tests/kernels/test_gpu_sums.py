"""GPU forms of histogram, moments and the sums of the elbow test: the bits of the reference and of the CPU form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from octostream.kernels.elbow import elbow_reference, find_outliers
from octostream.kernels.gpu_histogram import GpuTallier
from octostream.kernels.gpu_moments import GpuStackSums, GpuSums
from octostream.kernels.gpu_time_projections import GpuTimeProjections
from octostream.kernels.histogram import BINS, WIDTHS, Tallier, tally_reference
from octostream.kernels.moments import Sums, moment_maps, moments_reference
from octostream.kernels.stack_sums import PLANES, StackSums
from octostream.kernels.time_projections import time_projections_reference

from .counts import counts_of, kinds

orders = st.integers(0, 5)
shapes = st.tuples(st.integers(1, 12), st.integers(1, 70))


def tallied(tallier, pixels):
    return tallier.tally(pixels, np.full(BINS, 7, np.uint32))


def fields(tally):
    return (*(getattr(tally, name) for name in ("width", "pixels", "low", "high", "total", "squares")), *tally.bins)


@given(shapes, kinds, st.sampled_from(WIDTHS), st.integers(0, 99), orders)
@example((1, 1), "ends", 1, 0, 0)
# More pixels than threads, in whole words and not.
@example((65, 64), "any", 16, 0, 1)
@example((65, 65), "dim", 1, 0, 2)
def test_tallies_are_equal_bit_for_bit(device, shape, kind, width, seed, order):
    tallier, frame = GpuTallier(device(order), width), counts_of(shape, kind, seed)
    xp = device().xp
    tallied(tallier, xp.asarray(counts_of((3, 5), "any", 1)))
    got = tallied(tallier, xp.asarray(frame))
    assert fields(got) == fields(tally_reference(frame, width)) == fields(tallied(Tallier(width), frame))
    assert fields(tallied(tallier, xp.asarray(frame))) == fields(got)


def test_a_launch_of_few_blocks_goes_through_all_pixels(device, monkeypatch):
    monkeypatch.setattr("octostream.kernels.gpu_histogram._MOST_BLOCKS", 2)
    frame = counts_of((97, 211), "any", 0)
    assert fields(tallied(GpuTallier(device(1), 8), device().xp.asarray(frame))) == fields(tally_reference(frame, 8))


def test_a_frame_may_begin_anywhere_in_memory(device):
    stack = counts_of((3, 5, 33), "any", 0)
    there = device().xp.asarray(stack)
    for plane in range(3):
        got = tallied(GpuTallier(device(), 16), there[plane])
        assert fields(got) == fields(tally_reference(stack[plane], 16))


blocks = st.lists(st.integers(1, 9), max_size=3)


@given(blocks, st.sampled_from([(1, 1), (1, 9), (9, 1), (6, 7), (4, 130)]), kinds, st.integers(0, 9), orders)
def test_sums_and_moments_are_equal_bit_for_bit(device, sizes, shape, kind, seed, order):
    frames = counts_of((sum(sizes), *shape), kind, seed)
    there, mine = GpuSums(device(order), shape), Sums.empty(shape)
    there.add(device().xp.asarray(counts_of((2, *shape), "any", 3)))
    there.clear()
    first = 0
    for size in sizes:
        there.add(device().xp.asarray(frames[first : first + size]))
        first += size
    for frame in frames:
        mine.add(frame)
    got = there.finish()
    assert (got.count, got.total.tobytes(), got.squares.tobytes()) == (
        mine.count,
        mine.total.tobytes(),
        mine.squares.tobytes(),
    )
    maps, exact = moment_maps(mine, 100.3), moments_reference(frames, 100.3)
    for name, part in zip(maps._fields, there.maps(100.3), strict=True):
        assert part.tobytes() == getattr(maps, name).tobytes(), name
        tolerance = 1e-6 if name == "snr" else 0
        assert np.allclose(part, getattr(exact, name), rtol=1e-5, atol=tolerance, equal_nan=True), name


def test_saturated_pixels_and_many_frames_leave_32_bits_unharmed(device, monkeypatch):
    full = counts_of((1100, 3, 5), "full")
    monkeypatch.setattr("octostream.kernels.gpu_moments._MOST", 300)
    sums = GpuSums(device(), (3, 5))
    for _ in range(64):
        sums.add(device().xp.asarray(full))
    got = sums.finish()
    assert (got.total == 70400 * 65535).all()
    assert (got.squares == 70400 * 65535**2).all()
    assert 70400 * 65535 > 2**32


@given(blocks, st.sampled_from([(1, 1), (1, 9), (9, 1), (6, 7), (4, 130)]), kinds, st.integers(0, 9), orders)
@example([4], (4, 130), "ends", 0, 0)
def test_projections_over_t_are_equal_bit_for_bit(device, sizes, shape, kind, seed, order):
    images = counts_of((sum(sizes), *shape), kind, seed)
    there, first = GpuTimeProjections(device(order), shape), 0
    there.add(device().xp.asarray(counts_of((2, *shape), "any", 3)))
    there.clear()
    for size in sizes:
        there.add(device().xp.asarray(images[first : first + size]))
        first += size
    modes = ("max", "min", "mean")
    expected = time_projections_reference(images[:, None, None], np.full((len(images), 1, 1), True), modes)
    got = there.finish(modes)
    assert list(got) == list(modes)
    for mode in modes:
        assert got[mode].dtype == np.uint16
        assert (got[mode] == expected[mode][0, 0]).all(), mode
    assert list(there.finish(("mean",))) == ["mean"]


@given(st.integers(1, 9), st.tuples(st.integers(1, 9), st.integers(1, 40)), kinds, st.integers(0, 9), orders)
def test_outliers_from_sums_of_the_device_are_those_of_the_reference(device, planes, shape, kind, seed, order):
    stack = counts_of((planes, *shape), kind, seed)
    sums, mine = GpuStackSums(device(order), shape), StackSums(shape)
    sums.add(device().xp.asarray(stack[::-1].copy()))
    sums.clear()
    sums.add(device().xp.asarray(stack))
    mine.add(stack)
    got = sums.finish()
    assert got.count == planes
    assert got.sums.tobytes() == mine.sums.tobytes()
    assert got.squares.tobytes() == mine.squares.tobytes()
    found, expected = find_outliers(got, 100), elbow_reference(stack, 100)
    assert found[3:] == expected[3:]
    assert (found.mask == expected.mask).all()


def test_what_does_not_fit_is_refused(device):
    xp = device().xp
    image = xp.zeros((4, 6), np.uint16)
    for wrong in (image[0], image.astype(np.int16), image[:, ::2], image[:0]):
        with pytest.raises(ValueError, match="not C-contiguous uint16"):
            tallied(GpuTallier(device(), 16), wrong)
    for sums in (form(device(), (4, 6)) for form in (GpuSums, GpuStackSums, GpuTimeProjections)):
        for wrong in (image, image.reshape(1, 6, 4)):
            with pytest.raises(ValueError, match="not C-contiguous uint16"):
                sums.add(wrong)
    planes = GpuStackSums(device(), (4, 6))
    planes._sums.count = PLANES
    with pytest.raises(ValueError, match="more than 65536 planes"):
        planes.add(image.reshape(1, 4, 6))
