"""The track of a run: shifts add up over keys, doubtful ones do not count, and a lost field goes on where it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from octostream.kernels.drift import Shift
from octostream.kernels.drift_track import DriftTrack

WINDOW = 30.0


def compare(image, reference):
    """Measure places of fields: another field has no quality; beyond the window the peak is at its border."""
    (field, y, x), (other, v, u) = image, reference
    if field != other or not field:
        return Shift(1.0, -1.0, 1.0 if field and other else 0.0, False)
    dy, dx = y - v, x - u
    limited = max(abs(dy), abs(dx)) >= WINDOW
    return Shift(min(max(dy, -WINDOW), WINDOW), min(max(dx, -WINDOW), WINDOW), 9.0, limited)


def tracked(images, asked=None):
    def measure(image, reference):
        if asked is not None:
            asked.append((images.index(image), images.index(reference)))
        return compare(image, reference)

    track = DriftTrack(measure, (WINDOW, WINDOW), 2.0)
    return [track.take(image) for image in images]


steps = st.tuples(st.integers(-29, 29), st.integers(-29, 29))


@given(st.lists(steps, max_size=30))
def test_a_field_that_walks_is_followed_however_far(walk):
    images = [("a", 0, 0)]
    for dy, dx in walk:
        images.append(("a", images[-1][1] + dy, images[-1][2] + dx))
    for got, (_, y, x) in zip(tracked(images), images, strict=True):
        assert got[:2] == (y, x)
        assert got.quality == 9
        assert not got.limited


def test_a_key_is_changed_when_the_field_has_moved_a_third_of_the_window():
    asked = []
    tracked([("a", 0, x) for x in (0, 5, 10, 11, 12, 21, 22)], asked)
    assert asked == [(0, 0), (1, 0), (2, 0), (3, 0), (4, 3), (5, 3), (6, 3)]
    asked.clear()
    tracked([("a", y, 0) for y in (0, -10, -11, -12)], asked)
    assert asked == [(0, 0), (1, 0), (2, 0), (3, 2)]
    asked.clear()
    tracked([("a", 0, 0), ("b", 0, 0), ("c", 0, 0)], asked)
    assert asked == [(0, 0), (1, 0), (2, 0), (2, 1)]


def test_after_dark_images_the_key_is_still_known():
    images = [("a", 0, 0), ("a", 3, 4), ("", 0, 0), ("", 1, 1), ("a", 5, 6), ("a", 6, 6)]
    got = tracked(images)
    assert [shift[:2] for shift in got] == [(0, 0), (3, 4), (3, 4), (3, 4), (5, 6), (6, 6)]
    assert [shift.quality for shift in got] == [9, 9, 0, 0, 9, 9]


def test_another_field_goes_on_from_where_the_last_one_was():
    images = [("a", 0, 0), ("a", 3, 4), ("b", 70, 70), ("b", 72, 70), ("b", 73, 69)]
    got = tracked(images)
    assert [shift[:2] for shift in got] == [(0, 0), (3, 4), (3, 4), (5, 4), (6, 3)]
    assert [shift.quality for shift in got] == [9, 9, 1, 9, 9]


def test_a_jump_beyond_the_window_is_said_and_not_added_up():
    images = [("a", 0, 0), ("a", 1, 0), ("a", 80, 0), ("a", 82, 0)]
    got = tracked(images)
    assert [shift[:2] for shift in got] == [(0, 0), (1, 0), (1, 0), (3, 0)]
    assert [shift.limited for shift in got] == [False, False, True, False]


def test_a_slow_change_of_the_field_takes_the_image_before_for_the_key():
    # Each image is known from the one before it alone.
    def neighbours(image, reference):
        return Shift(image - reference, 0.0, 9.0 if abs(image - reference) <= 1 else 1.0, False)

    track = DriftTrack(neighbours, (WINDOW, WINDOW), 2.0)
    assert [track.take(at).dy for at in range(6)] == pytest.approx(range(6))


def test_a_run_that_begins_in_the_dark_has_no_drift_until_there_is_light():
    got = tracked([("", 0, 0), ("", 1, 1), ("a", 50, 50), ("a", 52, 51)])
    assert [shift[:2] for shift in got] == [(0, 0), (0, 0), (0, 0), (2, 1)]
    assert [shift.quality for shift in got] == [0, 0, 0, 9]
