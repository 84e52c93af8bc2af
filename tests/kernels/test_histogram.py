"""Histogram and sums: exactly NumPy's, for any frame and any way of adding up."""

from __future__ import annotations

import functools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from octostream.kernels.histogram import BINS, WIDTHS, Histogram, Tallier, Tally, tally_reference
from octostream.stream.errors import RecipeError

kinds = st.sampled_from(["any", "dim", "dark", "full", "falling", "ends"])
shapes = st.tuples(st.integers(1, 30), st.integers(1, 200))


def frame_of(shape, kind, seed):
    rng = np.random.default_rng(seed)
    if kind == "dim":
        return rng.poisson(120, shape).astype(np.uint16)
    if kind in ("dark", "full"):
        return np.full(shape, 65535 if kind == "full" else 0, np.uint16)
    if kind == "falling":
        return (65535 - np.arange(np.prod(shape)) % 65536).astype(np.uint16).reshape(shape)
    if kind == "ends":
        return rng.choice(np.array([0, 1, 15, 16, 4095, 4096, 65519, 65520, 65534, 65535], np.uint16), shape)
    return rng.integers(0, 65536, shape, dtype=np.uint16)


def fields(tally):
    return (*(getattr(tally, name) for name in ("width", "pixels", "low", "high", "total", "squares")), *tally.bins)


@given(shapes, kinds, st.sampled_from(WIDTHS), st.integers(0, 99))
@example((1, 140_001), "full", 16, 0)
@example((1, 1), "ends", 1, 0)
def test_both_forms_are_equal_bit_for_bit(shape, kind, width, seed):
    frame = frame_of(shape, kind, seed)
    frame.flags.writeable = False
    tallier = Tallier(width)
    tallier.tally(frame_of((3, 5), "any", 1))
    got = tallier.tally(frame)
    assert fields(got) == fields(tally_reference(frame, width))
    assert got.bins.sum() == frame.size
    assert sum(x * x for x in frame.ravel().tolist()) == got.squares
    assert got.variance == pytest.approx(frame.var(dtype=np.float64), rel=1e-9, abs=1e-6)


@given(st.lists(shapes, min_size=1, max_size=5), kinds, st.sampled_from(WIDTHS), st.randoms())
def test_parts_add_up_in_any_order(sizes, kind, width, random):
    frames = [frame_of(size, kind, seed) for seed, size in enumerate(sizes)]
    parts = [tally_reference(frame, width) for frame in frames]
    whole = tally_reference(np.concatenate([frame.ravel() for frame in frames]), width)
    while len(parts) > 1:
        one, other = (parts.pop(random.randrange(len(parts))) for _ in range(2))
        parts.append(one.merge(other))
    assert fields(parts[0]) == fields(whole)
    assert fields(Tally(width).merge(whole)) == fields(whole)


def test_sums_of_many_frames_leave_64_bits_unharmed():
    part = tally_reference(np.full((64, 64), 65535, np.uint16), 16)
    whole = functools.reduce(Tally.merge, [part] * 20)
    for _ in range(20):
        whole = whole.merge(whole)
    assert whole.squares == 65535**2 * whole.pixels > 2**64
    assert whole.variance == 0
    assert whole.percentile(50) == 65535


percents = st.sampled_from([0, 1, 25, 50, 99.9, 99.99, 100]) | st.floats(0, 100)


@given(shapes, kinds, st.sampled_from(WIDTHS), percents, st.integers(0, 99))
@example((1, 1000), "any", 1, 99.9, 0)
def test_percentiles_are_exact_to_the_width_of_a_bin(shape, kind, width, percent, seed):
    frame = frame_of(shape, kind, seed)
    ranked = np.sort(frame.ravel()).tolist()
    exact = ranked[max(math.ceil(Fraction(str(percent)) * frame.size / 100), 1) - 1]
    got = tally_reference(frame, width).percentile(percent)
    assert isinstance(got, int)
    if exact < (BINS - 1) * width:
        assert abs(got - exact) < width
    assert ranked[0] <= got <= ranked[-1]


@given(shapes, st.sampled_from(["dim", "dark"]), st.integers(0, 100), st.integers(0, 9))
def test_percentiles_are_numpys_where_bins_are_counts(shape, kind, percent, seed):
    frame = frame_of(shape, kind, seed)
    # Half a pixel below the rank, NumPy's binary fractions cannot reach the next one by an error of rounding.
    rank = max(math.ceil(Fraction(percent, 100) * frame.size), 1)
    exact = np.percentile(frame, 100 * (rank - 0.5) / frame.size, method="inverted_cdf")
    assert tally_reference(frame, 1).percentile(percent) == exact


def test_percents_are_taken_as_they_are_written():
    thousand = np.arange(1000, dtype=np.uint16).reshape(1, 1000)
    # NumPy says 999, because 99.9 / 100 · 1000 is a little above 999 in binary.
    assert tally_reference(thousand, 1).percentile(99.9) == 998


def test_percentiles_inside_a_wide_bin_are_spread():
    tally = tally_reference(np.arange(160, 176, dtype=np.uint16).reshape(1, 16), 16)
    assert [tally.percentile(100 * k / 16) for k in range(1, 17)] == list(range(160, 176))
    assert tally.percentile(0) == 160
    above = tally_reference(np.array([[1, 5000, 6000, 60000]], np.uint16), 1)
    assert above.percentile(25) == 1
    assert above.percentile(50) < above.percentile(75) < above.percentile(100) <= 60000
    assert Tally(16).percentile(50) == 0
    assert Tally(16).variance == 0


def test_the_table_is_described():
    names = [column.name for column in Histogram(percentiles=(0.5, 50, 99.9)).columns]
    assert names == ["frame", "squares", "deviation", "p0.5", "p50", "p99.9"]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="bins of 1 and of 16 counts"):
        Tally(1).merge(Tally(16))
    image = np.zeros((4, 6), np.uint16)
    for wrong in (image[0], image.astype(np.int16), image[:, ::2], image[:0]):
        with pytest.raises(ValueError, match="not C-contiguous uint16"):
            Tallier(16).tally(wrong)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"width": 3}, "histogram.width is 3: it must be 1, 2, 4, 8 or 16 counts"),
        ({"width": True}, "histogram.width is True"),
        ({"percentiles": (50, 101)}, "histogram.percentiles is 101: it must be a number of percent from 0 to 100"),
        ({"percentiles": (float("nan"),)}, "histogram.percentiles is nan"),
    ],
)
def test_parameters_outside_their_range_are_refused(values, words):
    with pytest.raises(RecipeError) as caught:
        Histogram(**values)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
