"""Histogram and sums: exactly NumPy's, for any frame and any way of adding up."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from octostream.kernels.histogram import BINS, WIDTHS, Histogram, Tallier, tally_reference
from octostream.stream.errors import RecipeError

from .blockwise import run, same
from .counts import counts_of, kinds

shapes = st.tuples(st.integers(1, 30), st.integers(1, 200))


def fields(tally):
    return (*(getattr(tally, name) for name in ("width", "pixels", "low", "high", "total", "squares")), *tally.bins)


@given(shapes, kinds, st.sampled_from(WIDTHS), st.integers(0, 99))
@example((1, 140_001), "full", 16, 0)
@example((1, 1), "ends", 1, 0)
def test_both_forms_are_equal_bit_for_bit(shape, kind, width, seed):
    frame = counts_of(shape, kind, seed)
    frame.flags.writeable = False
    tallier, bins = Tallier(width), np.full(BINS, 9, np.uint32)
    tallier.tally(counts_of((3, 5), "any", 1), bins)
    got = tallier.tally(frame, bins)
    assert fields(got) == fields(tally_reference(frame, width))
    assert got.bins.sum() == frame.size
    assert sum(x * x for x in frame.ravel().tolist()) == got.squares
    assert got.variance == pytest.approx(frame.var(dtype=np.float64), rel=1e-9, abs=1e-6)


percents = st.sampled_from([0, 1, 25, 50, 99.9, 99.99, 100]) | st.floats(0, 100)


@given(shapes, kinds, st.sampled_from(WIDTHS), percents, st.integers(0, 99))
@example((1, 1000), "any", 1, 99.9, 0)
def test_percentiles_are_exact_to_the_width_of_a_bin(shape, kind, width, percent, seed):
    frame = counts_of(shape, kind, seed)
    ranked = np.sort(frame.ravel()).tolist()
    exact = ranked[max(math.ceil(Fraction(str(percent)) * frame.size / 100), 1) - 1]
    got = tally_reference(frame, width).percentile(percent)
    assert isinstance(got, int)
    if exact < (BINS - 1) * width:
        assert abs(got - exact) < width
    assert ranked[0] <= got <= ranked[-1]


@given(shapes, st.sampled_from(["dim", "dark"]), st.integers(0, 100), st.integers(0, 9))
def test_percentiles_are_numpys_where_bins_are_counts(shape, kind, percent, seed):
    frame = counts_of(shape, kind, seed)
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


def test_the_table_is_described():
    names = [column.name for column in Histogram(percentiles=(0.5, 50, 99.9, 50.0)).table.columns]
    assert names == ["frame", "sum", "squares", "variance", "p0_5", "p50", "p99_9"]


def test_what_does_not_fit_is_refused():
    image = np.zeros((4, 6), np.uint16)
    for wrong in (image[0], image.astype(np.int16), image[:, ::2], image[:0]):
        with pytest.raises(ValueError, match="not C-contiguous uint16"):
            Tallier(16).tally(wrong, np.zeros(BINS, np.uint32))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"width": 3}, "histogram.width is 3: it must be 1, 2, 4, 8 or 16 counts"),
        ({"width": True}, "histogram.width is true"),
        ({"percentiles": (50, 101)}, "histogram.percentiles is [50, 101]: it must be a list of at most 64, each a fin"),
        ({"percentiles": (float("nan"),)}, "histogram.percentiles is [NaN]"),
    ],
)
def test_parameters_outside_their_range_are_refused(values, words):
    with pytest.raises(RecipeError) as caught:
        Histogram(**values)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


stacks = st.tuples(*[st.integers(1, 3)] * 3, st.integers(1, 9), st.integers(1, 20))


@settings(max_examples=40)
@given(stacks, kinds, st.sampled_from(WIDTHS), st.integers(0, 99), st.integers(1, 30), st.floats(0, 0.6))
def test_the_step_tallies_every_frame_whatever_comes_when(shape, kind, width, seed, block_frames, share):
    frames = counts_of(shape, kind, seed)
    lost = set(np.flatnonzero(np.random.default_rng(seed).random(math.prod(shape[:3])) < share).tolist())
    overrides = ["histogram=true", f"histogram.width={width}"]
    got = run(overrides, frames, lost=lost, seed=seed, block_frames=block_frames)
    rows, flat = got.tables["histogram"], frames.reshape(-1, *shape[3:])
    bins = got.arrays["histogram"].reshape(-1, BINS)
    held = [n for n in range(len(flat)) if n not in lost]
    assert rows["frame"].tolist() == held
    assert not bins[sorted(lost)].any()
    for row, number in enumerate(held):
        expected = tally_reference(flat[number], width)
        assert (bins[number] == expected.bins).all()
        assert (rows["sum"][row], rows["squares"][row]) == (expected.total, expected.squares)
        assert rows["variance"][row] == expected.variance
        assert [rows[n][row] for n in ("p1", "p50", "p99_9")] == [expected.percentile(p) for p in (1, 50, 99.9)]
    assert same(run(overrides, frames, lost=lost, block_frames=block_frames), got)


def test_the_histogram_of_a_run_is_no_picture():
    got = run(["histogram=true", "histogram.percentiles=[]"], counts_of((2, 1, 3, 6, 8), "dim", 0))
    product = next(p for p in got.reduction.products if p.path == "histogram")
    assert (product.axes, product.shape, product.dtype, product.shows) == ("tczb", (2, 1, 3, BINS), "uint32", "values")
    assert product.attributes == {"first_count": 0, "bin_counts": 16}
    assert list(got.tables["histogram"]) == ["frame", "sum", "squares", "variance"]


def test_the_sums_of_the_brightest_frame_fit_their_columns():
    frames = np.full((1, 1, 1, 3, 140_001), 65535, np.uint16)
    rows = run(["histogram=true"], frames).tables["histogram"]
    assert (int(rows["sum"][0]), int(rows["squares"][0])) == (65535 * 420_003, 65535**2 * 420_003)
