"""The step drift: a run that moves is measured and moved back, whatever was lost of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from octostream.kernels.drift import Drift
from octostream.kernels.drift_series import drift_series_reference
from octostream.kernels.translation import translate_reference
from octostream.stream.errors import RecipeError

from .followed import followed, images_of, kinds, planned, same, shapes
from .scenes import moved, texture

ON = ("drift=true", "drift.bin=1", "drift.max_shift=24", "drift.background=8")
EXACT = Drift(bin=1, max_shift=24, background=8)


def walking(shape, seed, lost, most=6):
    """Give a run (t, c, z, y, x) whose field walks, the places it walks to, and which frames came."""
    rng = np.random.default_rng(seed)
    t, c, z, y, x = shape
    places = np.cumsum(rng.uniform(-6, most, (t, 2)), axis=0)
    places -= places[0]
    fields = [[texture((y, x), seed + 10 * i + j) for j in range(z)] for i in range(c)]
    images = np.array([[[moved(field, *at, k) for field in row] for row in fields] for k, at in enumerate(places)])
    present = rng.random(shape[:3]) >= lost
    images[~present] = 0
    return images, places, present


def table_of(drifts, frames):
    return [(t * frames, *np.float32(drift[:3]), drift.limited) for t, drift in drifts.items()]


@settings(max_examples=40)
@given(
    st.tuples(st.integers(1, 6), st.integers(1, 2), st.integers(1, 2), st.just(70), st.just(81)),
    st.integers(0, 99),
    st.sampled_from([0, 0.3]),
    st.booleans(),
    st.data(),
)
@example((6, 2, 1, 70, 81), 3, 0.3, True, None)
def test_a_run_is_measured_and_moved_back_as_the_reference_does(shape, seed, lost, correct, data):
    channel = shape[1] - 1 if data is None else data.draw(st.integers(0, shape[1] - 1))
    images, _, present = walking(shape, seed, lost)
    exact = drift_series_reference(images[:, channel], present[:, channel], EXACT)
    # Where a decision is close, the last digits of float32 may turn it.
    assume(all(abs(drift.quality - EXACT.quality) > 0.05 for drift in exact.values()))
    reduction = planned(shape, *ON, f"drift.channel={channel}", f"drift.correct={str(correct).lower()}")
    made, tables = result = followed(reduction, images, present)
    got = tables["drift"]
    assert got["frame"].tolist() == [t * shape[1] * shape[2] for t in exact]
    for name in ("dy", "dx"):
        np.testing.assert_allclose(got[name], [getattr(d, name) for d in exact.values()], atol=0.01)
    np.testing.assert_allclose(got["quality"], [d.quality for d in exact.values()], rtol=0.02)
    assert got["limited"].tolist() == [d.limited for d in exact.values()]
    assert list(made) == ["registered/0"] * correct
    if correct:
        held, rows = (0.0, 0.0), iter(zip(got["dy"], got["dx"], strict=True))
        for t in range(shape[0]):
            held = next(rows) if t in exact else held
            for at in zip(*np.nonzero(present[t]), strict=True):
                off = made["registered/0"][t][at] - translate_reference(images[t][at], -held[0], -held[1], 100).astype(
                    int
                )
                # The table has float32: a step of 1/256 of a pixel may be the next one.
                assert abs(off).max() <= 40
        assert not made["registered/0"][~present].any()
    assert same(result, followed(reduction, images, present))


def test_a_walk_is_found_and_undone():
    images, places, present = walking((20, 1, 1, 170, 182), 7, 0, most=9)
    reduction = planned(images.shape, *ON, "drift.correct=true")
    made, tables = followed(reduction, images, present)
    table = tables["drift"]
    assert abs(places).max() > 24
    assert abs(np.stack([table["dy"], table["dx"]], 1) - places).max() < 1
    assert (table["quality"] > 2).all()
    inside = np.s_[50:-50, 50:-50]
    first = images[0, 0, 0][inside].astype(float)
    assert np.corrcoef(images[-1, 0, 0][inside].ravel(), first.ravel())[0, 1] < 0.5
    assert np.corrcoef(made["registered/0"][-1, 0, 0][inside].ravel(), first.ravel())[0, 1] > 0.9


@given(shapes, kinds, st.integers(0, 99), st.sampled_from([0, 0.3, 1]))
@example((1, 1, 1, 1, 1), "full", 0, 0)
@example((4, 1, 1, 1, 17), "any", 0, 0)
@example((4, 1, 1, 12, 1), "dark", 0, 0)
def test_any_run_has_a_drift(shape, kind, seed, lost):
    images, present = images_of(shape, kind, seed, lost)
    reduction = planned(shape, *ON, "drift.correct=true")
    made, tables = result = followed(reduction, images, present)
    assert len(tables["drift"]["frame"]) == present[:, 0].any(axis=1).sum()
    assert all(np.isfinite(column).all() for column in tables["drift"].values())
    if kind == "dark":
        assert not tables["drift"]["quality"].any()
        assert (made["registered/0"] == images).all()
    assert same(result, followed(reduction, images, present))


def test_the_other_steps_take_what_was_moved_back():
    images, _, present = walking((5, 1, 1, 70, 81), 3, 0)
    texts = ["time_projections=true", "time_projections.bin=1", 'time_projections.modes=["max"]', "encode.pedestal=60"]
    made, _ = followed(planned(images.shape, *ON, "drift.correct=true", *texts), images, present)
    assert (made["projections/t-max"] == made["registered/0"].max(axis=0)).all()
    assert (made["registered/0"][-1, 0, 0] == 60).any()
    plain, _ = followed(planned(images.shape, *ON, *texts), images, present)
    assert (plain["projections/t-max"] == images.max(axis=0)).all()


def test_a_channel_that_is_not_there_is_refused():
    for count, words in ((1, "1 channel: give a number from 0 to 0"), (2, "2 channels: give a number from 0 to 1")):
        with pytest.raises(RecipeError, match=rf"drift\.channel is {count}, and the run has {words}"):
            planned((2, count, 1, 8, 8), *ON, f"drift.channel={count}")
