"""What page and metrics read beside those who write."""

import pytest
from octostream.sinks.catalogue.intent import Intent
from octostream.sinks.catalogue.investigations import LOCAL
from octostream.sinks.catalogue.outbox import Outbox, Registered
from octostream.sinks.catalogue.reading import CatalogueReader, Pending
from octostream.sinks.catalogue.standing import standing
from octostream.sinks.registry import Registry

from .facts import SECOND, facts_of

LEASE = 30 * SECOND
HAS = Registered({"reduced": 7, "raw": 8}, complete=False, at_ns=3)
WHOLE = Registered({"reduced": 9}, complete=True, at_ns=4, lag_s=0.25)


@pytest.fixture
def outbox(tmp_path):
    Registry(tmp_path / "runs.sqlite").close()
    made = Outbox(tmp_path / "runs.sqlite")
    yield made
    made.close()


@pytest.fixture
def reader(outbox, tmp_path):
    made = CatalogueReader(tmp_path / "runs.sqlite")
    yield made
    made.close()


@pytest.fixture
def some(outbox):
    """One run registered with more to tell, one complete, one parked, one queued; gives their ids."""
    for n in range(4):
        outbox.write([Intent("opened", facts_of(n))], 10 + n)
    outbox.delivered(outbox.claim(0, LEASE), HAS)
    outbox.delivered(outbox.claim(0, LEASE), WHOLE)
    outbox.park(outbox.claim(0, LEASE).seq, "no such visit", "create it")
    outbox.again(outbox.claim(0, LEASE), 99, "no answer")
    outbox.write([Intent("sealed", facts_of(0)), Intent("sealed", facts_of(2))], 20)
    return [facts_of(n).run for n in range(5)]


def test_runs_stand_as_each_by_itself(some, outbox, reader):
    told = reader.standings(dict.fromkeys(some, "inv") | {"other": LOCAL})
    assert [told[run].state for run in [*some, "other"]] == [
        "registered", "complete", "parked", "queued", "local", "local"
    ]  # fmt: skip
    has = [HAS, WHOLE, None, None, None]
    for run, registered in zip(some, has, strict=True):
        assert told[run] == standing("inv", outbox.entries(run), registered)
    assert (told[some[2]].remedy, told[some[2]].waiting, told["other"].why) == ("create it", 2, "")
    assert list(reader.standings({some[1]: "inv"})) == [some[1]]
    assert reader.standings({}) == {}


def test_all_runs_of_a_page_are_read_by_one_statement(some, reader, monkeypatch):
    asked, run = [], reader._database.run
    monkeypatch.setattr(reader._database, "run", lambda *of: asked.append(of) or run(*of))
    assert len(reader.standings({f"{n}": "inv" for n in range(200)} | dict.fromkeys(some, "inv"))) == 205
    assert len(asked) == 1


def test_nothing_waits_at_first(reader):
    assert reader.pending() == Pending()
    assert (reader.registered(), reader.lags(0)) == (0, [])


def test_what_waits_is_told_apart_by_who_must_act(some, reader):
    pending = reader.pending()
    assert (pending.queued, pending.parked, pending.parked_runs) == (3, 1, 1)
    assert (pending.oldest_ns, pending.parked_ns) == (12, 12)
    assert (pending.waiting_ns, pending.why) == (13, "no answer"), "what waits behind a parked entry was counted"
    assert reader.registered() == 2


def test_whatever_happens_to_an_entry_is_seen(outbox, reader):
    seen = [reader.pending()]

    def changed():
        seen.append(reader.pending())
        return seen[-1] not in seen[:-1]

    outbox.write([Intent("opened", facts_of(0))], 1)
    assert changed()
    entry = outbox.claim(0, LEASE)
    assert changed()
    outbox.again(entry, 99, "no answer")
    assert changed()
    outbox.park(entry.seq, "no", "do")
    assert changed()
    outbox.retry()
    assert changed()
    outbox.delivered(outbox.claim(0, LEASE), HAS)
    assert changed()
    outbox.write([Intent("sealed", facts_of(0))], 1)
    assert changed()
    outbox.delivered(outbox.claim(0, LEASE), WHOLE)
    assert changed()


def test_only_lags_that_are_new_are_given(outbox, reader):
    for n, at_ns in enumerate((5, 6, 7)):
        outbox.write([Intent("sealed", facts_of(n))], 1)
        outbox.delivered(outbox.claim(0, LEASE), Registered({}, complete=True, at_ns=at_ns, lag_s=n / 10))
    outbox.write([Intent("grown", facts_of(3))], 1)
    outbox.delivered(outbox.claim(0, LEASE), Registered({}, complete=False, at_ns=8))
    assert reader.lags(5) == [0.1, 0.2]
    assert reader.pending().told[1] == 8
    for n, lag_s in ((0, 3600.0), (3, 0.5)):  # one that was complete is told again; one becomes complete
        outbox.write([Intent("sealed", facts_of(n))], 1)
        outbox.delivered(outbox.claim(0, LEASE), Registered({"reduced": 5}, complete=True, at_ns=9, lag_s=lag_s))
    assert reader.lags(8) == [0.5]
    told = reader.standings({facts_of(0).run: "inv"})[facts_of(0).run]
    assert (told.lag_s, told.datasets) == (0.0, {"reduced": 5})
    for kind in ("grown", "sealed"):  # one that was complete is taken up again
        outbox.write([Intent(kind, facts_of(1))], 1)
        outbox.delivered(outbox.claim(0, LEASE), Registered({}, kind == "sealed", at_ns=10, lag_s=0.7))
    assert reader.lags(9) == [0.7]
    assert reader.registered() == 4


def test_a_change_by_another_connection_is_noticed(outbox, reader):
    before = reader.version()
    assert reader.version() == before
    outbox.write([Intent("opened", facts_of(0))], 1)
    assert reader.version() != before
