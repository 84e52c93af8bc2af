"""Events: who had which block does not matter; what flashes is found where it flashed; N of M."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from octostream.kernels.candidates import (
    EventFinder,
    EventPart,
    candidates_reference,
    change_reference,
    events_reference,
    smoothed_reference,
    to_sensor,
)
from octostream.kernels.cells import cells_shape
from octostream.kernels.events import COLUMNS, ROW, Events, confirm
from octostream.stream.errors import RecipeError

ONE = Events(bin=1, sigma=0, lag=1, needed=1, among=1, distance=3, threshold=0.5, background=0)


def movie(shape, count, seed, flashes=()):
    """Give noisy frames with flashes (frame, y, x) that last four frames."""
    rng = np.random.default_rng(seed)
    light = np.full((count, *shape), 160.0)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for frame, at_y, at_x in flashes:
        light[frame : frame + 4] += 120 * np.exp(-((y - at_y) ** 2 + (x - at_x) ** 2) / 18)
    return dict(enumerate(rng.poisson(light).astype(np.uint16)))


def parts_of(frames, finder, bounds, order=sorted):
    """Reduce each block by itself, as any worker may."""
    parts = []
    for start, stop in bounds:
        finder.begin(range(start, stop))
        for number in order(n for n in frames if start <= n < stop):
            finder.add(number, frames[number])
        parts.append(finder.finish())
    return parts


@given(
    st.tuples(st.integers(1, 30), st.integers(1, 40)),
    st.sampled_from([1, 2, 4]),
    st.floats(0, 6),
    st.integers(0, 99),
    st.booleans(),
)
@example((1, 40), 2, 2.0, 0, False)
@example((40, 1), 1, 5.0, 0, True)
@example((1, 1), 4, 0.0, 0, False)
def test_images_are_smoothed_as_scipy_does(shape, side, sigma, seed, flat):
    rng = np.random.default_rng(seed)
    image = np.full(shape, 65535, np.uint16) if flat else rng.integers(0, 65536, shape, dtype=np.uint16)
    parameters = Events(bin=side, sigma=sigma)
    finder = EventFinder(parameters, shape)
    out = np.full(cells_shape(shape, side), np.nan, np.float32)
    finder.smooth(image, out)
    np.testing.assert_allclose(out, smoothed_reference(image, parameters), rtol=1e-5)


values = st.sampled_from([100.0, 100.5, 110.0, 120.0, 120.0001, 150.0, 40000.0, 0.0])


@given(st.integers(1, 12), st.integers(1, 17), st.data(), st.integers(1, 9), st.sampled_from([0.001, 0.17, 1.5]))
def test_candidates_are_the_highest_of_their_neighbourhood(height, width, data, distance, threshold):
    draw = st.lists(values, min_size=height * width, max_size=height * width)
    now, before = (np.array(data.draw(draw), np.float32).reshape(height, width) for _ in range(2))
    parameters = Events(bin=1, distance=distance, threshold=threshold)
    finder = EventFinder(parameters, (height, width))
    table = finder.compare(7, now, before)
    exact = change_reference(now, before, parameters)
    np.testing.assert_allclose(finder._change, exact, rtol=1e-5)
    places = candidates_reference(finder._change, parameters)
    assert [(row["y"], row["x"]) for row in table] == [tuple(place) for place in places.tolist()]
    assert (table["score"] == finder._change[tuple(places.T)]).all()
    assert (table["frame"] == 7).all()
    for i, (y, x) in enumerate(places):
        assert all(max(abs(y - v), abs(x - u)) > parameters.reach for v, u in places[:i])
    if (exact > threshold * 1.001).any():
        assert places.size


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 4), st.integers(0, 9), st.data())
def test_it_does_not_matter_who_had_which_block(sizes, lag, seed, data):
    count = sum(sizes)
    frames = movie((24, 33), count, seed, [(count // 2, 12, 20)])
    for lost in data.draw(st.sets(st.integers(0, count - 1), max_size=3)):
        del frames[lost]
    parameters = Events(lag=lag, needed=1, distance=6, threshold=0.05)
    finder = EventFinder(parameters, (24, 33))
    (whole,) = parts_of(frames, finder, [(0, count)])
    stops = np.cumsum(sizes).tolist()
    backwards = lambda numbers: sorted(numbers, reverse=True)  # noqa: E731
    parts = parts_of(frames, finder, list(zip([0, *stops], stops, strict=False)), backwards)
    while len(parts) > 1:
        at = data.draw(st.integers(0, len(parts) - 2))
        parts[at : at + 2] = [parts[at].merge(parts[at + 1], finder)]
        assert len(parts[at].edges) <= 2 * lag
    assert parts[0].frames == whole.frames
    assert parts[0].candidates.tobytes() == whole.candidates.tobytes()
    assert parts[0].edges.keys() == whole.edges.keys()
    assert all((parts[0].edges[n] == whole.edges[n]).all() for n in whole.edges)


def test_an_image_that_was_not_kept_comes_back_from_the_stored_frame():
    frames = movie((24, 33), 8, 1, [(4, 10, 10)])
    finder = EventFinder(Events(threshold=0.05, distance=6), (24, 33))
    before, after = parts_of(frames, finder, [(0, 4), (4, 8)])
    again = {}
    for number in before.edges:
        again[number] = np.zeros_like(before.edges[number])
        finder.smooth(frames[number], again[number])
    rebuilt = EventPart(before.frames, before.candidates, again).merge(after, finder)
    assert rebuilt.candidates.tobytes() == before.merge(after, finder).candidates.tobytes()
    assert len(rebuilt.candidates) > len(before.candidates) + len(after.candidates)


def test_the_whole_agrees_with_the_reference_and_finds_the_flashes():
    flashes = [(5, 20, 30), (9, 44, 71), (9, 10, 95)]
    frames = movie((64, 101), 16, 3, flashes)
    parameters = Events()
    finder = EventFinder(parameters, (128, 201), 2)
    parts = parts_of(frames, finder, [(0, 7), (7, 9), (9, 16)])
    table = parts[0].merge(parts[1], finder).merge(parts[2], finder).candidates
    exact = events_reference(frames, (128, 201), 2, parameters)
    for name in ("frame", "y", "x"):
        assert (table[name] == exact[name]).all()
    np.testing.assert_allclose(table["score"], exact["score"], rtol=1e-5, atol=1e-5)
    events = np.sort(confirm(table, parameters, 2), order=["frame", "x"])
    assert events["frame"].tolist() == [5, 9, 9]
    assert events["y"] == pytest.approx([40, 88, 20], abs=4)
    assert events["x"] == pytest.approx([60, 142, 190], abs=4)
    assert (events["score"] > 0.5).all()


def test_coordinates_are_the_middles_of_what_is_on_the_sensor():
    places = np.array([[0, 0], [1, 2], [2, 3]])
    assert to_sensor(places, (9, 13), 4).tolist() == [[1.5, 1.5], [5.5, 9.5], [8, 12]]
    assert to_sensor(places, (3, 4), 1).tolist() == [[0, 0], [1, 2], [2, 3]]


def test_what_falls_or_is_dark_is_no_event():
    bright, dark = np.full((9, 9), 200, np.uint16), np.full((9, 9), 100, np.uint16)
    faint = dark.copy()
    faint[4, 4] = 101
    finder = EventFinder(Events(lag=1, needed=1, bin=1, sigma=0), (9, 9))
    for first, second, count in ((bright, dark, 0), (dark, faint, 0), (dark, bright, 1), (bright, bright, 0)):
        finder.begin(range(2))
        finder.add(0, first)
        finder.add(1, second)
        table = finder.finish().candidates
        assert len(table) == count
    finder.begin(range(2))
    finder.add(0, dark)
    finder.add(1, bright)
    assert finder.finish().candidates.tolist() == [(1, 0, 0, 10)]


def rows(*items):
    return np.array(list(items), ROW)


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 4), st.integers(0, 3))
def test_n_of_m_at_one_place(seen, needed, more):
    among = needed + more
    parameters = Events(lag=5, needed=needed, among=among)
    table = rows(*[(frame, 5, 7, 1 + frame / 100) for frame, hit in enumerate(seen) if hit])
    expected, last, reported = [], -99, False
    for frame, hit in enumerate(seen):
        if not hit:
            continue
        reported = reported and frame - last < among
        last = frame
        window = [n for n in range(max(frame - among + 1, 0), frame + 1) if seen[n]]
        if not reported and len(window) >= needed:
            reported = True
            expected.append((window[0], 5, 7, np.float32(1 + frame / 100)))
    assert confirm(table, parameters).tolist() == expected


@given(st.data(), st.integers(1, 3), st.integers(1, 4))
def test_events_do_not_depend_on_order_and_later_frames_only_add(data, needed, among):
    parameters = Events(lag=3, needed=min(needed, among), among=among, distance=8)
    row = st.tuples(st.integers(0, 9), st.integers(0, 30), st.integers(0, 3), st.sampled_from([0.5, 1.0, 2.0]))
    table = rows(*data.draw(st.lists(row, max_size=30, unique_by=lambda r: r[:3])))
    events = confirm(table, parameters)
    assert confirm(table[::-1], parameters).tobytes() == events.tobytes()
    beginning = confirm(table[table["frame"] < 6], parameters)
    assert events[: len(beginning)].tobytes() == beginning.tobytes()


def test_neighbours_are_told_apart_and_movers_are_followed():
    parameters = Events(distance=20)
    two = rows((0, 5, 5, 1), (0, 5, 30, 2), (1, 6, 6, 3), (1, 5, 29, 1))
    assert confirm(two, parameters).tolist() == [(0, 6, 6, 3), (0, 5, 30, 2)]
    apart = rows((0, 5, 5, 1), (1, 5, 16, 1))
    assert confirm(apart, parameters).size == 0
    assert confirm(apart, parameters, 2).size == 1
    close = rows((0, 5, 5, 2), (1, 5, 5, 2), (1, 5, 8, 1), (2, 5, 5, 2), (2, 5, 8, 1))
    assert confirm(close, parameters).tolist() == [(0, 5, 5, 2), (1, 5, 8, 1)]
    crossed = rows((0, 5, 0, 1), (0, 5, 9, 4), (1, 5, 1, 2), (1, 5, 10, 1))
    assert confirm(crossed, parameters).tolist() == [(0, 5, 1, 2), (0, 5, 9, 4)]
    mover = rows(*[(n, 5, 5 + 9 * n, 1) for n in range(9)])
    assert confirm(mover, parameters).tolist() == [(0, 5, 5, 1)]
    assert confirm(rows(), parameters).dtype == ROW


def test_frames_and_parts_that_do_not_fit_are_refused():
    finder = EventFinder(ONE, (4, 6))
    image = np.zeros((4, 6), np.uint16)
    finder.begin(range(3, 5))
    finder.add(3, image)
    for number in (2, 3, 5):
        with pytest.raises(ValueError, match=f"frame {number} is not of the block"):
            finder.add(number, image)
    for wrong in (image[:3], image.astype(np.int16), np.zeros((4, 12), np.uint16)[:, ::2]):
        with pytest.raises(ValueError, match="not C-contiguous uint16"):
            finder.add(4, wrong)
    with pytest.raises(ValueError, match="frames from 3 do not follow those up to 4"):
        finder.finish().merge(finder.finish(), finder)


def test_the_table_is_described():
    assert [column.name for column in COLUMNS] == ["frame", "y", "x", "score"] == list(ROW.names)


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"bin": 3}, "events.bin is 3"),
        ({"sigma": -1}, "events.sigma is -1"),
        ({"lag": 0}, "events.lag is 0: it must be a whole number of frames from 1 to 100"),
        ({"threshold": 0}, "events.threshold is 0"),
        ({"background": -1}, "events.background is -1"),
        ({"floor": 0}, "events.floor is 0"),
        ({"distance": 0}, "events.distance is 0"),
        ({"among": 101}, "events.among is 101"),
        ({"needed": 4}, "events.needed is 4: it must be a whole number of frames from 1 to 3"),
        ({"lag": 1}, "events.needed is 2, events.lag 1: a step in brightness is seen for lag frames"),
    ],
)
def test_parameters_outside_their_range_are_refused(given_, words):
    with pytest.raises(RecipeError) as caught:
        Events(**given_)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
