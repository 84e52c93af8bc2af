"""Alarms: what stands, since when, and that nothing flaps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from octostream.api.alarms import (
    ALARM,
    ALARMS,
    FALL_S,
    FREE_FILL,
    QUEUES,
    RISE_S,
    WARN_FILL,
    WARNING,
    Facts,
    Raised,
    follow,
    shown,
)
from octostream.stream.report import STAGES, StageReport


def facts(fill: float = 0.0, stage: str = "write", **reasons: str) -> Facts:
    return Facts((StageReport(stage, fill=fill),), reasons)


class Time:
    """The state of the alarms over time, looked at twice a second."""

    def __init__(self) -> None:
        self.raised: dict[str, Raised] = {}
        self.now = 100.0

    def go(self, seconds: float, seen: Facts) -> list[tuple[str, str]]:
        for _ in range(round(seconds / 0.5)):
            self.now += 0.5
            self.raised = follow(self.raised, seen, self.now, int(self.now * 1e9))
        return [(alarm.name, alarm.severity) for alarm in shown(self.raised)]


def test_every_stage_with_a_queue_has_an_alarm() -> None:
    assert set(QUEUES.values()) == set(STAGES) - {"reduce", "publish"}
    assert set(QUEUES) < set(ALARMS)


@pytest.mark.parametrize(
    ("fill", "expected"),
    [(0.74, None), (0.75, "warning"), (0.99, "warning"), (1.0, "alarm"), (1.2, "alarm")],
)
def test_thresholds(fill: float, expected: str | None) -> None:
    assert Time().go(RISE_S + 1, facts(fill)) == ([("queue_write", expected)] if expected else [])


def test_a_moment_is_no_alarm() -> None:
    time = Time()
    for _ in range(20):
        assert time.go(RISE_S - 0.5, facts(1.0)) == []
        assert time.go(0.5, facts(0.3)) == []


def test_the_way_up_and_down_and_when_it_was_first_seen() -> None:
    time = Time()
    assert time.go(RISE_S + 0.5, facts(0.8)) == [("queue_write", "warning")]
    (first,) = shown(time.raised)
    assert time.go(RISE_S + 0.5, facts(1.0)) == [("queue_write", "alarm")]
    (alarm,) = shown(time.raised)
    assert alarm.since_ns == first.since_ns
    assert "disk is slower" in alarm.text
    assert time.go(60, facts(0.9)) == [("queue_write", "alarm")]
    assert time.go(FALL_S - 0.5, facts(0.65)) == [("queue_write", "alarm")]
    assert time.go(1.0, facts(0.65)) == [("queue_write", "warning")]
    assert time.go(60, facts(FREE_FILL)) == [("queue_write", "warning")]
    assert time.go(FALL_S + 0.5, facts(0.1)) == []
    assert time.go(RISE_S + 0.5, facts(0.8)) == [("queue_write", "warning")]
    assert shown(time.raised)[0].since_ns > first.since_ns


def test_other_reasons_are_raised_at_once_and_say_why() -> None:
    time = Time()
    assert time.go(0.5, facts(frames_lost="2 runs")) == [("frames_lost", "alarm")]
    assert shown(time.raised)[0].text == "2 runs"
    assert time.go(0.5, facts(spool_in_use="x")) == [("frames_lost", "alarm"), ("spool_in_use", "warning")]
    assert shown(time.raised)[0].text == "2 runs", "a reason that has gone is still said while its alarm stands"
    assert time.go(FALL_S, facts(spool_in_use="x")) == [("spool_in_use", "warning")]


def test_alarms_come_before_warnings() -> None:
    seen = Facts((StageReport("acquire", fill=0.8), StageReport("spool", fill=1.0)), {"spool_in_use": "x"})
    names = Time().go(RISE_S + 1, seen)
    assert names == [("queue_spool", "alarm"), ("queue_acquire", "warning"), ("spool_in_use", "warning")]


@given(st.lists(st.floats(0, 1.3), max_size=80))
def test_levels_change_only_after_their_time(fills: list[float]) -> None:
    """Never up before RISE_S of fills above the threshold, never down before FALL_S; the text fits the level."""
    time, before, history = Time(), 0, []
    for fill in fills:
        time.go(0.5, facts(fill))
        history.append(fill)
        state = time.raised["queue_write"]
        recent = history[-1 - int(RISE_S / 0.5) :]
        if state.level > before:
            assert min(recent) >= (1.0 if state.level == ALARM and before == WARNING else FREE_FILL)
            assert max(recent) >= WARN_FILL
        if state.level < before:
            assert max(history[-1 - int(FALL_S / 0.5) :]) < 1.0
        assert bool(state.text) == bool(state.level)
        assert (state.since_ns > 0) == bool(state.level)
        before = state.level
