import json
import sqlite3

import pytest
from octostream.sinks.catalogue.facts import Described, RunFacts
from octostream.sinks.catalogue.intent import Intent
from octostream.sinks.catalogue.outbox import Registered
from octostream.sinks.registry import Registry
from octostream.stream.errors import StoreError

from .facts import SECOND, facts_of, report_of, run_of, standing_of

LEASE = 30 * SECOND


@pytest.fixture
def registry(tmp_path):
    made = Registry(tmp_path / "runs.sqlite")
    yield made
    made.close()


def waiting(outbox):
    return [(e.intent.facts.run[-8], e.intent.kind, e.state) for e in outbox.entries()]


def test_facts_survive_their_json_whatever_was_typed():
    facts = facts_of(
        parameters=(("na", "", 1.1), ("buffer", "N/A", "'x'")),
        metadata={"sample": 'O\'Brien \\ "ü" 漢', "depth_um": 1.5, "live": True},
    )
    assert RunFacts.from_json(json.loads(json.dumps(facts.to_json()))) == facts


def test_facts_of_another_version_are_read_as_far_as_they_are_known():
    facts = facts_of(stored=3)
    assert RunFacts.from_json({**facts.to_json(), "stored_bytes": 77}) == facts


def test_a_store_that_was_moved_is_where_the_registry_says():
    moved = facts_of().at(report_of(0, store="/disk2/inv/1/another.ome.zarr"))
    assert (moved.store, moved.location) == ("/disk2/inv/1/another.ome.zarr", "inv/1/another.ome.zarr")
    assert facts_of().at(report_of(0)).location == facts_of().location


def test_facts_are_those_of_the_run_and_its_report(tmp_path):
    run = run_of(3, str(tmp_path / "inv/1/run3.ome.zarr"))
    report = report_of(3, store=run.store, stored=4, lost=2, sealed_ns=9)
    facts = RunFacts.of(run, report, tmp_path, "0.1.0", Described(sample="fish"))
    assert (facts.location, facts.stored, facts.lost, facts.ended_ns) == ("inv/1/run3.ome.zarr", 4, 2, 9)
    assert (facts.sample, facts.technique) == ("fish", "")
    assert facts.uuid == facts_of(3).uuid != facts_of(4).uuid


def test_an_intent_is_written_with_its_run_or_not_at_all(registry, outbox):
    with pytest.raises(StoreError, match="not in the registry"):
        registry.update(report_of(0), [Intent("opened", facts_of(0))])
    assert outbox.entries() == []
    registry.add(report_of(0))
    registry.update(report_of(0, stored=1), [Intent("opened", facts_of(0))])
    assert [e.intent for e in outbox.entries()] == [Intent("opened", facts_of(0))]
    broken = facts_of(0, metadata={"x": object()})
    with pytest.raises(TypeError):
        registry.update(report_of(0, stored=6), [Intent("sealed", broken)])
    assert registry.get(report_of(0).id).stored == 1


def test_the_catalogue_hears_of_a_removal_where_it_heard_of_the_run(registry, outbox):
    for n in (0, 1, 2):
        registry.add(report_of(n))
    for n in (0, 1):
        registry.update(report_of(n), [Intent("opened", facts_of(n))])
    entry = outbox.claim(0, LEASE)
    outbox.delivered(entry, Registered({"reduced": 1}, complete=False, at_ns=1))
    for n in (0, 1, 2):
        registry.remove(report_of(n).id)
    assert [(e.intent.kind, e.intent.facts) for e in outbox.entries()] == [
        ("removed", facts_of(0)), ("removed", facts_of(1)),
    ]  # fmt: skip


def test_the_catalogue_hears_how_a_run_ended_from_whoever_knows_no_more(registry, outbox):
    for n in (0, 1, 2):
        registry.add(report_of(n))
    for n in (0, 1):
        registry.update(report_of(n), [Intent("opened", facts_of(n))])
    outbox.delivered(outbox.claim(0, LEASE), Registered({"reduced": 1}, complete=False, at_ns=1))
    registry.end(report_of(0, status="complete", stored=6))
    for n in (1, 2):
        registry.end(report_of(n, status="incomplete", lost=6, reason="gone", sealed_ns=7))
    assert [(e.intent.kind, e.intent.facts) for e in outbox.entries()] == [
        ("opened", facts_of(1)),
        ("sealed", facts_of(0, stored=6)),
        ("failed", facts_of(1, lost=6, reason="gone", ended_ns=7)),
    ]


def test_of_a_run_one_entry_goes_after_the_other_and_runs_do_not_wait_for_one_another(outbox):
    for n in (0, 1):
        outbox.write([Intent("opened", facts_of(n)), Intent("grown", facts_of(n))], n)
    first, second = outbox.claim(10, LEASE), outbox.claim(10, LEASE)
    assert [(e.intent.facts.name, e.intent.kind) for e in (first, second)] == [("run0", "opened"), ("run1", "opened")]
    assert outbox.claim(10, LEASE) is None
    outbox.park(first.seq, "no such investigation", "create it")
    outbox.delivered(second, Registered({"reduced": 7}, complete=False, at_ns=11))
    third = outbox.claim(11, LEASE)
    assert (third.intent.facts.name, third.intent.kind) == ("run1", "grown")
    assert outbox.claim(11, LEASE) is None
    assert [standing_of(outbox.path, n).datasets for n in (0, 1)] == [{}, {"reduced": 7}]


def test_the_last_word_replaces_what_it_makes_needless(outbox):
    for kind in ("opened", "grown", "grown", "failed", "grown", "sealed"):
        outbox.write([Intent(kind, facts_of(0))], 1)
    assert [kind for _, kind, _ in waiting(outbox)] == ["opened", "sealed"]
    outbox.write([Intent("removed", facts_of(0))], 1)
    assert [kind for _, kind, _ in waiting(outbox)] == ["removed"]


def test_what_replaces_an_entry_has_waited_for_as_long_as_it(outbox):
    for now, kind in enumerate(("opened", "grown", "grown", "sealed"), 5):
        outbox.write([Intent(kind, facts_of(0))], now)
    assert [(e.intent.kind, e.written_ns) for e in outbox.entries()] == [("opened", 5), ("sealed", 6)]
    outbox.write([Intent("sealed", facts_of(1))], 20)
    assert outbox.entries(facts_of(1).run)[0].written_ns == 20


def test_what_is_replaced_while_it_is_delivered_is_delivered_again(outbox):
    outbox.write([Intent("grown", facts_of(0, stored=1))], 1)
    claimed = outbox.claim(1, LEASE)
    outbox.write([Intent("grown", facts_of(0, stored=2))], 2)
    outbox.delivered(claimed, Registered({}, complete=False, at_ns=3))
    (left,) = outbox.entries()
    assert left.intent.facts.stored == 2


def test_a_lease_ends_with_time_or_with_its_holder(outbox):
    outbox.write([Intent("opened", facts_of(0))], 0)
    assert outbox.claim(0, LEASE).attempts == 1
    assert outbox.claim(LEASE - 1, LEASE) is None
    assert outbox.claim(LEASE, LEASE).attempts == 2
    outbox.release()
    assert outbox.claim(LEASE, LEASE).attempts == 2, "who was killed says nothing of the entry"


def test_an_entry_is_not_tried_before_it_is_due_and_parked_until_somebody_says_so(outbox):
    outbox.write([Intent("opened", facts_of(0))], 0)
    outbox.again(outbox.claim(0, LEASE), 100, "refused")
    assert outbox.claim(99, LEASE) is None
    entry = outbox.claim(100, LEASE)
    assert (entry.reason, entry.attempts) == ("refused", 2)
    outbox.park(entry.seq, "unknown investigation 'inv'", "create it in ICAT")
    assert outbox.claim(10**18, LEASE) is None
    (parked,) = outbox.entries()
    assert (parked.state, parked.reason, parked.remedy) == (
        "parked",
        "unknown investigation 'inv'",
        "create it in ICAT",
    )
    assert (outbox.retry("another"), outbox.retry(facts_of(0).run)) == (0, 1)
    again = outbox.claim(0, LEASE)
    assert (again.attempts, again.remedy) == (1, "")


def test_the_version_changes_when_another_connection_writes(registry, outbox):
    before = outbox.version()
    assert outbox.version() == before
    registry.add(report_of(0))
    assert outbox.version() != before


def test_a_power_cut_in_the_middle_of_a_change_leaves_neither(tmp_path, registry, outbox, monkeypatch):
    registry.add(report_of(0))
    before = registry.get(report_of(0).id)
    monkeypatch.setattr("octostream.sinks.catalogue.outbox.json.dumps", lambda _: (_ for _ in ()).throw(OSError("cut")))
    with pytest.raises(OSError):
        registry.update(report_of(0, stored=3), [Intent("grown", facts_of(0))])
    monkeypatch.undo()
    assert (registry.get(report_of(0).id), outbox.entries()) == (before, [])
    with sqlite3.connect(tmp_path / "runs.sqlite") as other:
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    other.close()
