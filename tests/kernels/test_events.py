"""Events: what flashes is found where it flashed, N of M, whatever was lost of a run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from octostream.kernels.baseline import relative_change_reference
from octostream.kernels.candidates import (
    EventFinder,
    candidates_reference,
    compare_reference,
    to_sensor,
)
from octostream.kernels.event_series import event_series_reference
from octostream.kernels.events import CANDIDATE, EVENT, Events, EventTracks
from octostream.kernels.gaussian import smooth_reference
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.stream.errors import RecipeError
from octostream.stream.model import Plan

from .followed import followed, images_of, kinds, planned, same, shapes


def movie(shape, count, seed, flashes=()):
    """Give noisy images with flashes (time point, y, x) that last four time points."""
    rng = np.random.default_rng(seed)
    light = np.full((count, *shape), 160.0)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for at, at_y, at_x in flashes:
        light[at : at + 4] += 120 * np.exp(-((y - at_y) ** 2 + (x - at_x) ** 2) / 18)
    return rng.poisson(light).astype(np.uint16)


@given(st.tuples(st.integers(1, 30), st.integers(1, 40)), st.floats(0, 6), st.integers(0, 99), st.booleans())
@example((1, 40), 2.0, 0, False)
@example((40, 1), 5.0, 0, True)
@example((1, 1), 0.0, 0, False)
def test_images_are_smoothed_as_scipy_does(shape, sigma, seed, flat):
    rng = np.random.default_rng(seed)
    image = np.full(shape, 65535, np.uint16) if flat else rng.integers(0, 65536, shape, dtype=np.uint16)
    image.flags.writeable = False
    out = np.full(shape, np.nan, np.float32)
    EventFinder(Events(bin=1, sigma=sigma), shape, 100).smooth(image, out)
    np.testing.assert_allclose(out, smooth_reference(image.astype(float), sigma), rtol=1e-5)


values = st.sampled_from([100.0, 100.5, 110.0, 120.0, 120.0001, 150.0, 40000.0, 0.0])


@given(st.integers(1, 12), st.integers(1, 17), st.data(), st.integers(1, 9), st.sampled_from([0.001, 0.17, 1.5]))
def test_candidates_are_the_highest_of_their_neighbourhood(height, width, data, distance, threshold):
    draw = st.lists(values, min_size=height * width, max_size=height * width)
    now, before = (np.array(data.draw(draw), np.float32).reshape(height, width) for _ in range(2))
    parameters = Events(bin=1, distance=distance, threshold=threshold)
    finder = EventFinder(parameters, (height, width), 100)
    table = finder.compare(now, before)
    exact = relative_change_reference(now, before, 100, 10)
    np.testing.assert_allclose(finder._change, exact, rtol=1e-5)
    places = candidates_reference(finder._change, parameters)
    assert [(row["y"], row["x"]) for row in table] == [tuple(place) for place in places.tolist()]
    assert (table["score"] == finder._change[tuple(places.T)]).all()
    for i, (y, x) in enumerate(places):
        assert all(max(abs(y - v), abs(x - u)) > parameters.reach for v, u in places[:i])
    if (exact > threshold * 1.001).any():
        assert places.size


FLASHES = [(5, 20, 30), (9, 44, 71), (9, 10, 95)]


def run_of_flashes(lost=()):
    """Give a run with two channels; in the second nothing flashes."""
    images = np.stack([movie((64, 101), 16, 3, FLASHES), movie((64, 101), 16, 4)], axis=1)[:, :, None]
    present = np.ones((16, 2, 1), bool)
    present[list(lost)] = False
    images[~present] = 0
    return images, present


def rows_of(table):
    return list(zip(*(column.tolist() for column in table.values()), strict=True))


@pytest.mark.parametrize("lost", [(), (0,), (6,), (2, 3, 4, 5, 6, 7)])
def test_flashes_are_found_as_the_reference_does(lost):
    images, present = run_of_flashes(lost)
    reduction = planned(images.shape, "events=true", "events.bin=1", "events.sigma=2", "events.threshold=0.4")
    _, tables = result = followed(reduction, images, present)
    exact = event_series_reference(images, present, (64, 101), Events(bin=1, sigma=2, threshold=0.4), 100)
    rows = rows_of(tables["events"])
    assert [row[:6] for row in rows] == [row[:6] for row in exact]
    np.testing.assert_allclose([row[6] for row in rows], [row[6] for row in exact], rtol=1e-5)
    assert same(result, followed(reduction, images, present))
    if not lost:
        assert [(first // 2, c, z) for _, first, c, z, *_ in rows] == [(5, 0, 0), (9, 0, 0), (9, 0, 0)]
        assert all(frame == first + 2 for frame, first, *_ in rows)
        places = sorted((y, x) for *_, y, x, _ in rows)
        assert np.array(places) == pytest.approx(np.array(sorted(f[1:] for f in FLASHES)), abs=2)
        assert (tables["events"]["score"] > 0.5).all()


@given(shapes, kinds, st.integers(0, 99), st.sampled_from([0, 0.3, 1]), st.integers(1, 4), st.data())
@example((7, 2, 3, 4, 5), "any", 0, 0.3, 2, None)
def test_any_run_is_followed_plane_by_plane(shape, kind, seed, lost, lag, data):
    needed = 1 if data is None else data.draw(st.integers(1, lag))
    values = {"bin": 1, "sigma": 0, "lag": lag, "distance": 3, "needed": needed, "among": 4, "floor": 1}
    images, present = images_of(shape, kind, seed, lost)
    texts = [f"events.{name}={value}" for name, value in values.items()]
    reduction = planned(shape, "events=true", "encode.pedestal=20", *texts)
    _, tables = result = followed(reduction, images, present)
    exact = event_series_reference(images, present, shape[3:], Events(**values), 20)
    rows = rows_of(tables["events"])
    assert [row[:6] for row in rows] == [row[:6] for row in exact]
    np.testing.assert_allclose([row[6] for row in rows], [row[6] for row in exact], rtol=1e-5)
    assert same(result, followed(reduction, images, present))


def test_lengths_are_those_of_the_sensor():
    images = movie((64, 101), 16, 3, FLASHES)
    large = np.repeat(np.repeat(images, 2, 1), 2, 2)
    fine = compare_reference(large[9], large[6], (128, 202), Events(bin=1, sigma=4, threshold=0.4), 100)
    coarse = compare_reference(images[9], images[6], (128, 201), Events(bin=2, sigma=4, threshold=0.4), 100)
    assert len(coarse) == 2
    for name in ("y", "x"):
        assert np.sort(coarse[name]) == pytest.approx(np.sort(fine[name]), abs=4)
    finder, out = (
        EventFinder(Events(bin=2, sigma=4, threshold=0.4), (128, 201), 100),
        np.zeros((2, 64, 101), np.float32),
    )
    for image, smoothed in zip(images[[9, 6]], out, strict=True):
        finder.smooth(image, smoothed)
    found = finder.compare(*out)
    assert found[["y", "x"]].tolist() == coarse[["y", "x"]].tolist()
    np.testing.assert_allclose(found["score"], coarse["score"], rtol=1e-5)


def test_coordinates_are_the_middles_of_what_is_on_the_sensor():
    places = np.array([[0, 0], [1, 2], [2, 3]])
    assert to_sensor(places, (9, 13), 4).tolist() == [[1.5, 1.5], [5.5, 9.5], [8, 12]]
    assert to_sensor(places, (3, 4), 1).tolist() == [[0, 0], [1, 2], [2, 3]]


def test_what_falls_or_is_dark_is_no_event():
    bright, dark = np.full((9, 9), 200, np.float32), np.full((9, 9), 100, np.float32)
    faint = dark.copy()
    faint[4, 4] = 101
    finder = EventFinder(Events(bin=1), (9, 9), 100)
    for before, now, count in ((bright, dark, 0), (dark, faint, 0), (dark, bright, 1), (bright, bright, 0)):
        assert len(finder.compare(now, before)) == count
    assert finder.compare(bright, dark).tolist() == [(0, 0, 10)]


def confirmed(parameters, *items):
    """Give the events of candidates (time point, y, x, score)."""
    tracks, found = EventTracks(parameters), []
    for t in sorted({item[0] for item in items}):
        table = np.array([item[1:] for item in items if item[0] == t], CANDIDATE)
        found += tracks.take(t, table).tolist()
    return found


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 4), st.integers(0, 3))
@example([True, False, True, False, True], 3, 0)
def test_n_of_m_at_one_place(seen, needed, more):
    among = needed + more
    parameters = Events(lag=5, needed=needed, among=among)
    items = [(t, 5, 7, 1 + t / 128) for t, hit in enumerate(seen) if hit]
    expected, last, reported = [], -99, False
    for t, hit in enumerate(seen):
        if not hit:
            continue
        reported = reported and t - last < among
        last = t
        window = [n for n in range(max(t - among + 1, 0), t + 1) if seen[n]]
        if not reported and len(window) >= needed:
            reported = True
            expected.append((window[0], 5, 7, 1 + t / 128))
    assert confirmed(parameters, *items) == expected


@given(st.data(), st.integers(1, 3), st.integers(1, 4))
def test_events_do_not_depend_on_the_order_of_candidates(data, needed, among):
    parameters = Events(lag=3, needed=min(needed, among), among=among, distance=8)
    row = st.tuples(st.integers(0, 9), st.integers(0, 30), st.integers(0, 3), st.sampled_from([0.5, 1.0, 2.0]))
    items = data.draw(st.lists(row, max_size=30, unique_by=lambda r: r[:3]))
    assert confirmed(parameters, *items[::-1]) == confirmed(parameters, *items)


def test_neighbours_are_told_apart_and_movers_are_followed():
    parameters = Events(distance=20)
    two = (0, 5, 5, 1), (0, 5, 30, 2), (1, 6, 6, 3), (1, 5, 29, 1)
    assert confirmed(parameters, *two) == [(0, 6, 6, 3), (0, 5, 30, 2)]
    apart = (0, 5, 5, 1), (1, 5, 16, 1)
    assert confirmed(parameters, *apart) == []
    assert len(confirmed(Events(distance=40), *apart)) == 1
    close = (0, 5, 5, 2), (1, 5, 5, 2), (1, 5, 8, 1), (2, 5, 5, 2), (2, 5, 8, 1)
    assert confirmed(parameters, *close) == [(0, 5, 5, 2), (1, 5, 8, 1)]
    crossed = (0, 5, 0, 1), (0, 5, 9, 4), (1, 5, 1, 2), (1, 5, 10, 1)
    assert confirmed(parameters, *crossed) == [(0, 5, 1, 2), (0, 5, 9, 4)]
    assert confirmed(parameters, *[(n, 5, 5 + 9 * n, 1) for n in range(9)]) == [(0, 5, 5, 1)]
    assert EventTracks(parameters).take(0, np.empty(0, CANDIDATE)).dtype == EVENT


def test_where_everything_changes_only_the_highest_are_followed():
    rows = np.array([(30.0 * k, 0.0, 1.0 + k) for k in range(50)], CANDIDATE)
    tracks = EventTracks(Events(most=5))
    assert tracks.take(0, rows).size == 0
    found = tracks.take(1, rows)
    assert sorted(found["score"].tolist()) == [46, 47, 48, 49, 50]


@given(st.integers(1, 3), st.integers(1, 3), st.lists(st.sets(st.integers(0, 5)), max_size=30))
@example(2, 2, [{0, 1}, {0, 1}, {2, 3}, {2, 3}, {0, 1}, {0, 1}])
def test_there_are_no_more_rows_than_the_head_has_room_for(most, needed, images):
    overrides = [f"events.{name}={value}" for name, value in {"bin": 2, "most": most, "needed": needed}.items()]
    recipe = Recipe.load("lightsheet", ["events=true", "pyramid.until=1", *overrides])
    (step,) = plan_reduction(recipe, Plan((len(images) + 1, 1, 1, 8, 8))).series
    tracks, rows = EventTracks(recipe.parameters("events")), 0
    for n, places in enumerate(images, 1):
        rows += tracks.take(n, np.array([(100 * place, 0, 1) for place in sorted(places)], CANDIDATE)).size
        assert rows <= n * step.rows_per_image


def test_images_that_do_not_fit_are_refused():
    finder, out = EventFinder(Events(bin=2), (8, 11), 100), np.zeros((4, 6), np.float32)
    image = np.zeros((4, 6), np.uint16)
    finder.smooth(image, out)
    for wrong in (image[:3], image.astype(np.int16), np.zeros((4, 12), np.uint16)[:, ::2]):
        with pytest.raises(ValueError, match=r"not C-contiguous uint16 \(4, 6\)"):
            finder.smooth(wrong, out)


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"bin": 3}, "events.bin is 3"),
        ({"sigma": -1}, "events.sigma is -1"),
        ({"lag": 0}, "events.lag is 0: it must be a whole number of time points from 1 to 100"),
        ({"threshold": 0}, "events.threshold is 0"),
        ({"floor": 0}, "events.floor is 0"),
        ({"distance": 0}, "events.distance is 0"),
        ({"among": 101}, "events.among is 101"),
        ({"needed": 4}, "events.needed is 4, events.among 3: need no more time points than there are"),
        ({"lag": 1}, "events.needed is 2, events.lag 1: a step in brightness is seen for lag time points"),
    ],
)
def test_parameters_outside_their_range_are_refused(given_, words):
    with pytest.raises(RecipeError) as caught:
        Events(**given_)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
