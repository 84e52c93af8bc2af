"""One word, decided from facts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octostream.api.verdict import RATE_FLOOR, SILENT_S, SLOW_S, LiveRun, Situation, decide, seen, slow_since
from octostream.stream.report import RunReport, ServiceReport

GOOD = LiveRun("embryo", 100.0, 100.0)
RECORDING = Situation(runs=(GOOD,), disk_free_bytes=100, disk_reserve_bytes=10)


def test_a_good_run_is_recording() -> None:
    assert decide(RECORDING) == ("RECORDING", "embryo, nothing lost")
    assert decide(replace(RECORDING, runs=(GOOD, GOOD)))[1] == "2 runs, nothing lost"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"runs": (replace(GOOD, lost=1),)}, "lost 1 frame"),
        ({"runs": (replace(GOOD, lost=12),)}, "lost 12 frames"),
        ({"runs": (replace(GOOD, slow_for_s=SLOW_S),)}, "slower than its 100 Hz"),
        ({"runs": (replace(GOOD, trouble="the agent is silent"),)}, "the agent is silent"),
        ({"runs": (GOOD, replace(GOOD, name="other", lost=2))}, "other lost"),
        ({"disk_free_bytes": 9}, "disk"),
        ({"troubles": ("worker w1 cannot write: no space",)}, "w1"),
        ({"draining": True}, "shutting down"),
    ],
)
def test_every_trouble_of_a_live_run_is_degraded_and_named(change: dict[str, object], word: str) -> None:
    verdict, reason = decide(replace(RECORDING, **change))
    assert verdict == "DEGRADED"
    assert word in reason


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        (Situation(), ("IDLE", "ready for a run")),
        (Situation(draining=True), ("IDLE", "the service is shutting down")),
        (Situation(not_ready=("compiling",)), ("IDLE", "not ready for a run: compiling")),
        (replace(RECORDING, not_ready=("no more workers",)), ("RECORDING", "embryo, nothing lost")),
        (replace(RECORDING, runs=(replace(GOOD, slow_for_s=SLOW_S - 0.01),)), ("RECORDING", "embryo, nothing lost")),
        (replace(RECORDING, runs=(LiveRun("fast", 3.0, None, 99.0),)), ("RECORDING", "fast, nothing lost")),
        (replace(RECORDING, head_age_s=SILENT_S), ("RECORDING", "embryo, nothing lost")),
    ],
)
def test_these_are_no_trouble(situation: Situation, expected: tuple[str, str]) -> None:
    assert decide(situation) == expected


def test_several_troubles_are_counted() -> None:
    worse = replace(RECORDING, runs=(replace(GOOD, lost=3, slow_for_s=9),), disk_free_bytes=0)
    assert decide(worse)[1] == "embryo lost 3 frames (and 2 more)"


ANY = st.builds(
    Situation,
    runs=st.lists(
        st.builds(
            LiveRun, name=st.just("run"), target_hz=st.just(100.0), slow_for_s=st.floats(0, 9), lost=st.integers(0, 9)
        )
    ).map(tuple),
    troubles=st.lists(st.just("trouble"), max_size=2).map(tuple),
    not_ready=st.lists(st.just("not ready"), max_size=2).map(tuple),
    disk_free_bytes=st.integers(0, 9),
    disk_reserve_bytes=st.integers(0, 9),
    draining=st.booleans(),
    head_age_s=st.one_of(st.none(), st.floats(0, 9)),
)


@settings(deadline=None)
@given(ANY)
def test_verdict_promises(situation: Situation) -> None:
    verdict, reason = decide(situation)
    assert reason
    assert "\n" not in reason
    silent = situation.head_age_s is None or situation.head_age_s > SILENT_S
    assert (verdict == "NO DATA") == silent
    if verdict == "RECORDING":
        assert situation.runs
        assert not any(run.lost for run in situation.runs)
        assert situation.disk_free_bytes >= situation.disk_reserve_bytes
    if verdict == "IDLE":
        assert not situation.runs


def test_a_viewer_sees_the_heads_word_until_the_head_is_silent() -> None:
    report = ServiceReport(1, "DEGRADED", "lost 3")
    assert seen(report, 0.1) == ("DEGRADED", "lost 3")
    assert seen(report, SILENT_S + 0.1) == ("NO DATA", "the service has gone silent")
    assert seen(None, None) == ("NO DATA", "the service has not been heard yet")


def run_at(rate_hz: float | None, target_hz: float | None = 100.0) -> RunReport:
    return RunReport(
        "r", "n", "i", "s", "f", "lightsheet", "recording", (1,) * 5, 1, rate_hz=rate_hz, target_hz=target_hz
    )


def test_slowness_starts_once_and_ends_at_the_floor() -> None:
    assert slow_since(None, run_at(94.9), 5.0) == 5.0
    assert slow_since(5.0, run_at(80.0), 9.0) == 5.0
    assert slow_since(5.0, run_at(100 * RATE_FLOOR), 9.0) is None
    assert slow_since(None, run_at(None), 5.0) is None
    assert slow_since(None, run_at(10.0, None), 5.0) is None
