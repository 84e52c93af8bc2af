import threading

import pytest
from octostream.api.catalogue_wait import await_catalogue, catalogue_line
from octostream.sinks.catalogue.intent import Intent
from octostream.sinks.catalogue.outbox import Outbox, Registered
from octostream.sinks.registry import Registry
from octostream.tests.sinks.catalogue.facts import facts_of, report_of

RUN = facts_of(0).run


@pytest.fixture
def outbox(tmp_path):
    (tmp_path / ".octostream").mkdir()
    registry = Registry(tmp_path / ".octostream/runs.sqlite")
    registry.add(report_of(0))
    registry.close()
    made = Outbox(registry.path)
    yield made
    made.close()


def test_it_waits_until_the_catalogue_has_the_run(tmp_path, outbox):
    outbox.write([Intent("sealed", facts_of(0))], 1)
    assert await_catalogue(tmp_path, RUN, 0).state == "queued"
    entry = outbox.claim(1, 1)
    told = threading.Timer(0.3, outbox.delivered, (entry, Registered({"reduced": 7}, True, 2, 0.25)))
    told.start()
    try:
        stands = await_catalogue(tmp_path, RUN, 60)
    finally:
        told.join()
    assert catalogue_line(stands.to_json()) == "complete, 0.25 s after the last frame (reduced 7)"


def test_it_does_not_wait_for_a_person(tmp_path, outbox):
    outbox.write([Intent("sealed", facts_of(0))], 1)
    outbox.park(outbox.entries()[0].seq, "no such visit", "create it")
    assert catalogue_line(await_catalogue(tmp_path, RUN, 60).to_json()) == "parked: no such visit"
