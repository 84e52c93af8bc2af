"""The deliverer before an ICAT that fails, with time that the test moves."""

import random
from urllib.error import URLError

import pytest
from octostream.sinks.catalogue.deliverer import Deliverer
from octostream.sinks.catalogue.intent import Intent
from octostream.tests.icat_server.seed import PROPOSAL

from .facts import OPENED, SECOND, facts_of, standing_of

HERE = {"investigation": PROPOSAL, "visit": "1", "instrument": "", "keep_raw": False}
DAY_S = 86_400


class Clock:
    """Wall clock and monotonic clock, moved by the test."""

    def __init__(self):
        self.s = 0.0

    def now_s(self):
        return self.s

    def now_ns(self):
        return OPENED + int(self.s * 1e9)


class Away:
    """A server that does not answer; counts how often it was asked."""

    def __init__(self):
        self.asked = 0

    def client(self):
        self.asked += 1
        raise URLError("connection refused")

    login = keep_alive = client


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def deliverer_of(outbox, settings, clock):
    def make(connection):
        return Deliverer(outbox, connection, settings, clock.now_ns, clock.now_s, random.Random(1))

    return make


@pytest.fixture
def deliverer(deliverer_of, connection, ready):
    return deliverer_of(connection)


def go_on(deliverer, clock, until_s):
    """Take turns until some time; gives how many had something to do."""
    worked, step_s = 0, max(0.5, (until_s - clock.s) / 1000)
    while clock.s < until_s:
        turn = deliverer.turn()
        worked += turn.worked
        if not turn.worked:
            clock.s += step_s if turn.idle else max(0.01, turn.wait_s)
    return worked


def waiting(outbox):
    return [(e.intent.facts.name, e.intent.kind, e.state) for e in outbox.entries()]


def opened(n, **changes):
    return Intent("opened", facts_of(n, **{**HERE, **changes}))


def datasets(client):
    return sorted(o.name for o in client.search("SELECT o FROM Dataset o"))


def test_what_is_written_is_delivered(deliverer, outbox, ready, clock):
    outbox.write([opened(0), opened(1)], clock.now_ns())
    assert [deliverer.turn().worked for _ in range(3)] == [True, True, False]
    assert (datasets(ready), waiting(outbox)) == (["run0", "run1"], [])
    assert standing_of(outbox.path).datasets.keys() == {"reduced"}


@pytest.mark.parametrize("operation", ["create", "search", "login"])
@pytest.mark.parametrize("kind", ["drop", "502", "cut", "hang"])
def test_a_call_that_goes_wrong_is_made_good(deliverer, outbox, icat_client, clock, icat_server, kind, operation):
    if operation == "login":
        icat_server.expire_sessions()
    icat_server.misbehaviour.order(kind, times=1, operations=[operation], seconds=3)
    outbox.write([opened(0)], clock.now_ns())
    go_on(deliverer, clock, 60)
    assert icat_server.misbehaviour.done == {kind: 1}
    assert (datasets(icat_client("root")), waiting(outbox)) == (["run0"], [])


def test_a_session_that_ends_is_begun_again_without_a_pause(deliverer, outbox, ready, clock, icat_server):
    for n in range(3):
        icat_server.expire_sessions()
        outbox.write([opened(n)], clock.now_ns())
        assert deliverer.turn().worked
        assert waiting(outbox) == []
    assert clock.s == 0


def test_a_wrong_password_parks_nothing(deliverer, outbox, connection, clock, ready):
    connection._credentials = type(connection._credentials)("ingester", "wrong")
    connection._client.sessionId = None
    outbox.write([opened(n) for n in range(3)], clock.now_ns())
    go_on(deliverer, clock, 60)
    assert {state for _, _, state in waiting(outbox)} == {"queued"}
    assert any("ICATSessionError" in e.reason for e in outbox.entries())
    assert "wrong" not in str([e.reason for e in outbox.entries()])


def test_what_cannot_succeed_waits_for_a_person_and_holds_up_no_other_run(deliverer, outbox, ready, clock):
    outbox.write([opened(0, visit="9"), opened(1), opened(2, parameters=(("colour", "N/A", "red"),))], clock.now_ns())
    outbox.write([Intent("sealed", facts_of(0, **{**HERE, "visit": "9"}))], clock.now_ns())
    go_on(deliverer, clock, DAY_S)
    assert datasets(ready) == ["run1"]
    assert waiting(outbox) == [
        ("run0", "opened", "parked"), ("run2", "opened", "parked"), ("run0", "sealed", "queued"),
    ]  # fmt: skip
    first, second, _ = outbox.entries()
    assert "no investigation '2026-0042' with visit '9'" in first.reason
    assert "octostream catalogue retry" in first.remedy
    assert "ParameterType 'colour'" in second.reason
    icat_type = ready.new("ParameterType", name="colour", units="N/A", valueType="STRING", applicableToDataset=True)
    icat_type.facility = ready.assertedSearch("SELECT f FROM Facility f")[0]
    icat_type.create()
    outbox.retry(second.intent.facts.run)
    deliverer.turn()
    assert datasets(ready) == ["run1", "run2"]


def test_rights_that_are_lost_park_the_entry_and_say_so(deliverer, outbox, ready, clock, icat_server):
    icat_server.misbehaviour.order("rights", times=1, operations=["create"])
    outbox.write([opened(0)], clock.now_ns())
    go_on(deliverer, clock, 10)
    (parked,) = outbox.entries()
    assert (parked.state, "not allowed" in parked.reason) == ("parked", True)
    assert "octostream catalogue check" in parked.remedy
    outbox.retry()
    go_on(deliverer, clock, 20)
    assert datasets(ready) == ["run0"]


def test_a_removal_is_not_taken_for_done_because_nothing_can_be_seen(deliverer, outbox, ready, clock, icat_server):
    outbox.write([opened(0)], clock.now_ns())
    deliverer.turn()
    outbox.write([Intent("removed", facts_of(0, **HERE))], clock.now_ns())
    icat_server.misbehaviour.order("rights", times=1, operations=["search"])
    go_on(deliverer, clock, 60)
    assert icat_server.misbehaviour.done == {"rights": 1}
    assert (datasets(ready), waiting(outbox)) == ([], [])
    assert standing_of(outbox.path).datasets == {}


def test_a_day_without_icat_costs_some_hundred_tries_and_then_everything_is_there_within_minutes(
    outbox, deliverer_of, connection, clock, ready
):
    away = Away()
    deliverer = deliverer_of(away)
    outbox.write([opened(n) for n in range(20)], clock.now_ns())
    go_on(deliverer, clock, DAY_S)
    assert 200 < away.asked < 1000
    assert [state for _, _, state in waiting(outbox)] == ["queued"] * 20
    assert {e.attempts for e in outbox.entries()} == {0}, "what the server never answered says nothing of the entry"
    deliverer.connection = connection
    go_on(deliverer, clock, DAY_S + 700)
    assert (len(datasets(ready)), waiting(outbox)) == (20, [])


def test_an_entry_that_the_server_chokes_on_holds_up_no_other(deliverer, outbox, ready, clock, monkeypatch):
    deliver = type(deliverer._registrar()).deliver

    def choke(self, intent):
        if intent.facts.name == "run0":
            raise TimeoutError("timed out")
        return deliver(self, intent)

    monkeypatch.setattr("octostream.sinks.catalogue.registration.Registration.deliver", choke)
    outbox.write([opened(n) for n in range(6)], clock.now_ns())
    go_on(deliverer, clock, 600)
    assert datasets(ready) == [f"run{n}" for n in range(1, 6)]
    assert waiting(outbox) == [("run0", "opened", "queued")]


def test_what_was_looked_up_and_is_gone_is_looked_up_again(deliverer, outbox, ready, clock):
    outbox.write([opened(0)], clock.now_ns())
    deliverer.turn()
    kind = ready.assertedSearch("SELECT o FROM DatasetType o JOIN o.facility AS f WHERE o.name = 'processed'")[0]
    ready.delete(ready.assertedSearch("SELECT o FROM Dataset o")[0])
    ready.delete(kind)
    new = ready.new("DatasetType", name="processed", facility=ready.assertedSearch("SELECT f FROM Facility f")[0])
    new.create()
    outbox.write([opened(1)], clock.now_ns())
    go_on(deliverer, clock, 60)
    outbox.retry()
    go_on(deliverer, clock, 120)
    assert (datasets(ready), waiting(outbox)) == (["run1"], [])


def test_a_run_is_complete_soon_after_its_last_frame(deliverer, outbox, ready, clock):
    last = clock.now_ns()
    outbox.write([Intent("sealed", facts_of(0, **HERE, last_frame_ns=last - SECOND, ended_ns=last))], last)
    deliverer.turn()
    assert standing_of(outbox.path).lag_s == pytest.approx(1.0)
