"""The timetable is exact whatever happens on the way."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octostream.acquire.pacing import Pacer, Schedule
from octostream.stream.errors import UsageError


class World:
    """A clock that only sleeping and working move."""

    def __init__(self, start_s: float = 0.0) -> None:
        self.now_s = start_s
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept.append(seconds)
        self.now_s += seconds

    def pacer(self, rate_hz: float | None) -> Pacer:
        return Pacer(rate_hz, clock=self.clock, sleep=self.sleep)


rates = st.floats(0.01, 1000.0)


@settings(deadline=None)
@given(rates, st.floats(0, 1e9), st.lists(st.floats(0, 0.99), min_size=1, max_size=60))
def test_work_below_one_period_never_moves_a_frame(rate_hz: float, start_s: float, work: list[float]) -> None:
    world = World(start_s)
    pacer = world.pacer(rate_hz)
    for number, share in enumerate(work):
        assert not pacer.wait(number)
        # Float resolution at start_s is all that may accumulate: nothing grows with the number of frames.
        assert world.now_s == pytest.approx(start_s + number / rate_hz, rel=1e-12, abs=1e-9)
        world.now_s += share / rate_hz
    assert pacer.late == 0


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=60))
def test_late_counts_frames_that_start_more_than_one_period_after_they_were_due(work: list[int]) -> None:
    # Whole periods at 1 Hz: exact arithmetic, so that the limit itself is tested.
    world = World()
    pacer = world.pacer(1.0)
    late = 0
    for number, periods in enumerate(work):
        expected = world.now_s - number > 1.0
        late += expected
        assert pacer.wait(number) is expected
        assert world.now_s >= number
        world.now_s += periods
    assert pacer.late == late


def test_a_stall_is_made_good_so_that_the_mean_rate_is_exact() -> None:
    world = World(50.0)
    pacer = world.pacer(100.0)
    for number in range(1001):
        pacer.wait(number)
        if number == 100:
            world.now_s += 0.5
    assert world.now_s == pytest.approx(50.0 + 1000 / 100.0)
    assert pacer.late == 48  # frames 101…148 were due more than 10 ms before the stall ended at 1.5 s
    assert max(world.slept) < 0.0101


def test_a_resumed_run_starts_where_it_is() -> None:
    world = World(7.0)
    pacer = world.pacer(10.0)
    pacer.wait(5000)
    assert world.now_s == 7.0
    pacer.wait(5001)
    assert world.now_s == pytest.approx(7.1)


def test_without_a_rate_nothing_waits_and_nothing_is_late() -> None:
    world = World()
    pacer = world.pacer(None)
    for number in range(100):
        assert not pacer.wait(number)
        world.now_s += 10.0
    assert world.slept == []
    assert pacer.late == 0


def test_a_sleep_that_ends_early_ends_the_wait() -> None:
    stopped = threading.Event()
    stopped.set()
    pacer = Pacer(0.001, sleep=stopped.wait)
    pacer.wait(0)
    pacer.wait(1)  # due in 1000 s; the test's own limit would end it


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, float("nan"), float("inf")])
def test_rates_that_are_none_are_refused(rate_hz: float) -> None:
    with pytest.raises(UsageError, match="not a positive number: give --rate"):
        Pacer(rate_hz)


@settings(deadline=None)
@given(rates, st.integers(0, 10**9), st.integers(0, 10**6))
def test_due_times_are_a_function_of_the_number_alone(rate_hz: float, first: int, ahead: int) -> None:
    schedule = Schedule(3.0, rate_hz, first)
    due_s = schedule.due_s(first + ahead)
    assert due_s == 3.0 + ahead / rate_hz
    assert schedule.wait_s(first + ahead, due_s) == 0.0
    assert schedule.wait_s(first + ahead, due_s - 1.0) == pytest.approx(1.0, abs=1e-6)
    assert not schedule.is_late(first + ahead, due_s)
