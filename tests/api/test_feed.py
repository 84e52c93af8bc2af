"""The holder of the newest: latest wins, bounded, wakes whoever waits."""

from __future__ import annotations

import asyncio
import threading

from hypothesis import given, settings
from hypothesis import strategies as st
from octostream.api.feed import FORGET_S, LatestFeed
from octostream.stream.report import PreviewFrame, ServiceReport


def frame(run: str, number: int) -> PreviewFrame:
    return PreviewFrame(run, number, 0, 1, 1, 1, b"\0\0")


def report(time_ns: int = 1) -> ServiceReport:
    return ServiceReport(time_ns, "IDLE", "")


def test_nothing_is_known_at_first() -> None:
    feed = LatestFeed()
    assert feed.report() is None
    assert feed.preview("r") is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 99), st.floats(0, 100))))
def test_previews_are_the_latest_of_runs_seen_within_a_minute(puts: list[tuple[str, int, float]]) -> None:
    now = 0.0
    feed = LatestFeed(clock=lambda: now)
    latest: dict[str, tuple[int, float]] = {}
    for run, number, pause in puts:
        now += pause
        feed.put_preview(frame(run, number))
        latest[run] = (number, now)
    for run in "abc":
        held = feed.preview(run)
        number, seen = latest.get(run, (None, 0.0))
        if number is None or now - seen > FORGET_S:
            assert held is None
        else:
            assert held is not None
            assert held.number == number


def test_forgotten_runs_leave_no_memory_behind() -> None:
    now = 0.0
    feed = LatestFeed(clock=lambda: now)
    for n in range(1000):
        now += 1.0
        feed.put_preview(frame(f"run-{n}", n))
    assert len(feed._previews) <= FORGET_S + 1


def test_a_waiter_is_woken_from_another_thread() -> None:
    async def wait(feed: LatestFeed) -> tuple[int, ServiceReport | None]:
        task = asyncio.ensure_future(feed.changed(-1, 30.0))
        before = await task
        task = asyncio.ensure_future(feed.changed(before, 30.0))
        await asyncio.sleep(0)
        thread = threading.Thread(target=feed.put_report, args=(report(7),))
        thread.start()
        version = await task
        thread.join()
        assert version > before
        return version, feed.report()

    feed = LatestFeed()
    _, got = asyncio.run(wait(feed))
    assert got is not None
    assert got.time_ns == 7
    assert not feed._waiters


def test_a_wait_ends_and_leaves_nothing_behind() -> None:
    feed = LatestFeed()
    feed.put_report(report())
    assert asyncio.run(feed.changed(1, 0.01)) == 1
    assert not feed._waiters


def test_a_loop_that_is_gone_does_not_stop_the_head() -> None:
    feed = LatestFeed()
    loop = asyncio.new_event_loop()
    feed._waiters.add(loop.create_future())
    loop.close()
    feed.put_report(report(3))
    got = feed.report()
    assert got is not None
    assert got.time_ns == 3
