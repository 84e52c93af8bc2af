"""Calibration in 16 and 32 bits: exact where numbers are whole, else off by one count at ties alone."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from octostream.kernels.binning import bin_reference, plan_cells
from octostream.kernels.calibrate import calibrate_reference
from octostream.kernels.encode import encode_reference
from octostream.kernels.lane import Lane, plan_lane
from octostream.kernels.narrow import LIMIT, plan_narrow
from octostream.stream.model import Plan

from .mapped import mapped_recipe

SIZE = (33, 70)
factors, modes = st.sampled_from([1, 2, 4, 8]), st.sampled_from(["mean", "sum"])


def level0(offset, gain, factor, mode, frame):
    """Reduce one frame, and give the plan and level 0; arrays become maps."""
    told = {"calibrate.offset": offset, "calibrate.gain": gain}
    maps = {key: value for key, value in told.items() if isinstance(value, np.ndarray)}
    numbers = [f"{key}={value}" for key, value in told.items() if key not in maps]
    recipe = mapped_recipe(maps, "pyramid=false", f"bin.factor={factor}", f"bin.mode={mode}", *numbers)
    plan = plan_lane(recipe, Plan((1, 1, 1, *frame.shape)), maps, keep_raw=False)
    lane = Lane(plan)
    lane.begin((1, 1, 1))
    lane.add(0, frame)
    return plan, lane.level0(0)


def frame_of(seed):
    """Any counts: bright, of the camera's dark, or the ends of the range."""
    rng = np.random.default_rng(seed)
    top = (65536, 300, 4000)[seed % 3]
    return rng.choice([rng.integers(0, top, SIZE), rng.choice([0, 65535], SIZE)], p=[0.8, 0.2]).astype(np.uint16)


@settings(deadline=None, max_examples=80)
@given(
    st.integers(0, 2**32 - 1),
    factors,
    modes,
    st.sampled_from(["numbers", "offset", "coded", "wide range", "both"]),
    st.floats(0.05, 1),
    st.floats(90, 130),
)
@example(2, 2, "mean", "both", 0.46, 100.3)
def test_only_what_lies_near_a_tie_moves(seed, factor, mode, kind, gain, offset):
    rng, frame = np.random.default_rng(seed), frame_of(seed)
    if kind in ("offset", "both"):
        offset = rng.normal(offset, 3, SIZE).astype(np.float32)
    if kind in ("coded", "both"):
        gain = (gain * rng.uniform(0.99, 1.01, SIZE)).astype(np.float32)
    if kind == "wide range":
        gain = (gain * rng.uniform(0.2, 1, SIZE)).astype(np.float32)
    plan, got = level0(offset, gain, factor, mode, frame)
    value = bin_reference(calibrate_reference(frame, offset, gain), factor, mode)
    expected = encode_reference(value, 100)
    moved = got != expected
    assert np.abs(got.astype(int) - expected)[moved].max(initial=0) <= 1
    value += 100
    from_tie = np.abs(value - np.floor(value) - 0.5)
    assert plan.narrow.error <= LIMIT
    assert (from_tie[moved] <= max(plan.narrow.error, 1e-2)).all()
    if mode == "mean" and factor <= 4:
        assert plan.narrow.float32
        if kind != "wide range":
            assert plan.narrow.coded == (kind in ("coded", "both"))
        elif np.ptp(gain) > 2 * LIMIT:
            assert not plan.narrow.coded


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), factors, modes, st.booleans(), st.booleans())
def test_whole_maps_are_exact(seed, factor, mode, mapped_offset, mapped_gain):
    rng, frame = np.random.default_rng(seed), frame_of(seed)
    most = 128 // factor**2
    offset = rng.integers(90, 200, SIZE).astype(np.float32) if mapped_offset else 100
    gain = rng.integers(1, max(most, 2), SIZE).astype(np.float32) if mapped_gain else 1
    plan, got = level0(offset, gain, factor, mode, frame)
    expected = encode_reference(bin_reference(calibrate_reference(frame, offset, gain), factor, mode), 100)
    np.testing.assert_array_equal(got, expected)
    assert (plan.narrow.exact, plan.narrow.float32) == (
        not mapped_offset and not mapped_gain,
        mapped_offset or mapped_gain,
    )
    assert plan.narrow.error == 0


@pytest.mark.parametrize(
    ("offset", "gain", "exact", "float32"),
    [
        (100.0, 1.0, True, False),
        (-131072.0, 1.0, True, False),
        (131073.0, 1.0, False, True),
        (100.0, 0.46, False, True),
        (100.5, 1.0, False, True),
        (100.5, 300.0, False, True),
        (1e5, 1000.5, False, True),
        (100000.5, 1000.0, False, False),
    ],
)
def test_numbers_take_the_narrowest_form_that_holds_them(offset, gain, exact, float32):
    narrow = plan_narrow(offset, gain, 100.0, SIZE, plan_cells(SIZE, 2, "mean"))
    assert (narrow.exact, narrow.float32) == (exact, float32)


@pytest.mark.parametrize(("mode", "factor"), [("binomial", 2), ("max", 2)])
def test_maps_of_other_modes_stay_in_float64(mode, factor):
    gain = np.full(SIZE, 0.5, np.float32)
    narrow = plan_narrow(100.0, gain, 100.0, SIZE, plan_cells(SIZE, factor, mode))
    assert not narrow.float32
    assert not narrow.exact


def test_a_gain_that_is_the_same_everywhere_needs_no_step():
    frame = frame_of(0)
    plan, got = level0(100.0, np.full(SIZE, 0.37, np.float32), 2, "mean", frame)
    assert plan.narrow.coded
    value = bin_reference(calibrate_reference(frame, 100.0, np.full(SIZE, 0.37, np.float32)), 2)
    assert np.abs(got - np.clip(value + 100, 0, 65535)).max() <= 0.5 + LIMIT
