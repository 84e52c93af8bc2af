"""What the web process knows of the catalogue, and when it warns."""

from __future__ import annotations

import pytest
from octostream.api.catalogue_watch import (
    CATALOGUE_ALARMS,
    LATE_NS,
    CatalogueState,
    CatalogueWatch,
    Looking,
    catalogue_alarms,
    with_catalogue,
)
from octostream.api.feed import LatestFeed
from octostream.api.web import Listening
from octostream.sinks.catalogue.intent import Intent
from octostream.sinks.catalogue.outbox import Outbox, Registered
from octostream.sinks.catalogue.reading import Pending
from octostream.sinks.registry import Registry
from octostream.stream.errors import StoreError
from octostream.stream.link import Publisher, context
from octostream.stream.preview import publish_report
from octostream.stream.report import Alarm, ServiceReport
from octostream.tests.sinks.catalogue.facts import facts_of, report_of

NOW = 10**18
WHOLE = Registered({"reduced": 1}, complete=True, at_ns=5, lag_s=0.1)


class Fixed:
    """A catalogue that stands still."""

    def __init__(self, pending: Pending) -> None:
        self._state = CatalogueState(pending)

    def state(self) -> CatalogueState:
        return self._state

    def standings(self, investigations: dict[str, str]) -> dict[str, object]:
        raise AssertionError


@pytest.fixture
def registry(tmp_path):
    made = Registry(tmp_path / "runs.sqlite")
    yield made
    made.close()


@pytest.fixture
def outbox(registry):
    made = Outbox(registry.path)
    yield made
    made.close()


@pytest.fixture
def watch(outbox, registry):
    made = CatalogueWatch(registry.path)
    yield made
    made.close()


def test_what_was_there_before_is_not_counted_again(outbox, watch) -> None:
    outbox.write([Intent("sealed", facts_of(0)), Intent("sealed", facts_of(1))], 1)
    outbox.delivered(outbox.claim(0, 1), WHOLE)
    watch.look()
    state = watch.state()
    assert (state.registered, sum(state.lags), state.pending.queued) == (1, 0, 1)
    outbox.delivered(outbox.claim(0, 1), Registered({}, complete=True, at_ns=6, lag_s=0.2))
    watch.look()
    state = watch.state()
    assert (state.registered, state.lags[:3], state.lag_sum_s) == (2, (0, 1, 0), 0.2)


def test_a_change_of_runs_is_no_change_of_the_catalogue(outbox, watch, registry) -> None:
    watch.look()
    first = watch.state()
    registry.add(report_of(0))
    watch.look()
    assert watch.state() is first
    outbox.write([Intent("opened", facts_of(0))], 1)
    watch.look()
    assert watch.state() is not first


def test_nothing_is_read_while_nothing_changes(outbox, watch, monkeypatch) -> None:
    watch.look()
    monkeypatch.setattr(watch._reader, "pending", lambda: pytest.fail("read again"))
    watch.look()


def test_looking_goes_on_after_the_disk_failed(outbox, watch, monkeypatch, make) -> None:
    monkeypatch.setattr("octostream.api.catalogue_watch.DISK_S", 0.0)
    look, failures = watch.look, [StoreError("no", "yes")] * 3

    def failing() -> None:
        if failures:
            raise failures.pop()
        look()

    monkeypatch.setattr(watch, "look", failing)
    looking = Looking(watch)
    make["wait"](lambda: watch._version is not None)
    looking.close()
    with pytest.raises(StoreError):
        watch.standings({})


@pytest.mark.parametrize(
    ("pending", "expected"),
    [
        (Pending(), ()),
        (Pending(queued=1, oldest_ns=NOW - LATE_NS, waiting_ns=NOW - LATE_NS), ()),
        (Pending(parked=1, parked_runs=1, oldest_ns=1, parked_ns=1), (("catalogue_parked", "a run waits", 1),)),
        (Pending(parked=9, parked_runs=3, oldest_ns=1, parked_ns=1), (("catalogue_parked", "3 runs wait", 1),)),
        (
            Pending(queued=1, waiting_ns=NOW - LATE_NS - 7, why="no answer"),
            (("catalogue_late", "more than 10 min ago (no answer)", NOW - 7),),
        ),
        (
            Pending(1, 1, 1, 1, 1, 1),
            (("catalogue_parked", "a run waits", 1), ("catalogue_late", "more than 10 min ago", 1 + LATE_NS)),
        ),
    ],
)
def test_a_warning_stands_when_a_person_is_waited_for_or_the_catalogue_for_long(pending, expected) -> None:
    alarms = catalogue_alarms(pending, NOW)
    assert [(alarm.name, alarm.since_ns) for alarm in alarms] == [(name, since) for name, _, since in expected]
    assert all(text in alarm.text for alarm, (_, text, _) in zip(alarms, expected, strict=True))
    assert {alarm.severity for alarm in alarms} <= {"warning"}
    assert {alarm.name for alarm in alarms} <= set(CATALOGUE_ALARMS)


def test_the_head_s_own_alarms_come_first() -> None:
    report = ServiceReport(NOW, "DEGRADED", "", alarms=(Alarm("disk_full", "alarm", "full", 1),))
    parked = Fixed(Pending(parked=1, parked_runs=1, parked_ns=1))
    assert with_catalogue(report, None) is report
    assert with_catalogue(report, Fixed(Pending())) is report
    assert [alarm.name for alarm in with_catalogue(report, parked).alarms] == ["disk_full", "catalogue_parked"]


def test_what_the_head_tells_gets_the_warnings_as_it_comes(tmp_path, make) -> None:
    feed, made = LatestFeed(), context()
    copies = f"ipc://{tmp_path}/copies"
    listening = Listening(copies, feed, Fixed(Pending(parked=1, parked_runs=1, parked_ns=1)))
    publisher = Publisher(made, copies)

    def heard() -> ServiceReport | None:
        publish_report(publisher, ServiceReport(NOW, "IDLE", ""))
        return feed.report()

    make["wait"](heard)
    listening.close()
    publisher.close()
    made.term()
    assert [alarm.name for alarm in feed.report().alarms] == ["catalogue_parked"]
