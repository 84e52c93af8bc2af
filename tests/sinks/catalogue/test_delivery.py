"""The deliverer's loop before the stand-in."""

import threading

import pytest
from octostream.sinks.catalogue.delivery import Delivery
from octostream.sinks.catalogue.intent import Intent
from octostream.sinks.catalogue.investigations import Investigations
from octostream.sinks.catalogue.settings import Credentials
from octostream.stream.clock import wall_ns
from octostream.tests.icat_server.seed import PASSWORDS, PROPOSAL

from .facts import facts_of

WHO = Credentials("ingester", PASSWORDS["ingester"])


def until(condition, seconds=30.0):
    done = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        done.wait(0.05)
    raise AssertionError("it did not come true")


@pytest.fixture
def start(tmp_path, settings, ready):
    begun = []

    def go():
        made = Delivery(tmp_path / "runs.sqlite", settings, WHO)
        thread = threading.Thread(target=made.run, daemon=True)
        begun.append((made, thread))
        thread.start()
        return made

    yield go
    for made, thread in begun:
        made.stop()
        thread.join(20)
        assert not thread.is_alive()


def test_an_investigation_without_a_visit_is_listed_like_any_other(start, outbox, tmp_path, ready):
    first = ready.assertedSearch("SELECT o FROM Investigation o INCLUDE o.facility, o.type", assertmax=None)[0]
    ready.new(
        "Investigation", name="no-visit", visitId="", title="t", facility=first.facility, type=first.type
    ).create()
    start()
    known = Investigations(tmp_path / "runs.sqlite")
    until(lambda: known.ask(PROPOSAL, "2", wall_ns()) == "there")
    assert known.ask("no-visit", "", wall_ns()) == "there"
    assert known.ask("no-visit", "1", wall_ns()) == "missing"
    known.close()


def test_a_second_deliverer_waits_until_the_first_is_gone(start, outbox, ready):
    first = start()
    here = {"investigation": PROPOSAL, "visit": "1", "instrument": "", "keep_raw": False}
    outbox.write([Intent("opened", facts_of(0, **here))], wall_ns())
    until(lambda: not outbox.entries())
    second = start()
    assert second._lock is None or not second._outbox.entries()
    outbox.write([Intent("opened", facts_of(1, **here))], wall_ns())
    until(lambda: not outbox.entries())
    first.stop()
    outbox.write([Intent("opened", facts_of(2, **here))], wall_ns())
    until(lambda: not outbox.entries())
    assert len(ready.search("SELECT o FROM Dataset o")) == 3
