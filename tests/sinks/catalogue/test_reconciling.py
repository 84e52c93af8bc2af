"""The registry compared with the stand-in ICAT."""

import pytest
from octostream.sinks.catalogue.deliverer import Deliverer
from octostream.sinks.catalogue.intent import Intent
from octostream.sinks.catalogue.lookup import Lookup
from octostream.sinks.catalogue.reconciling import Reconciliation
from octostream.sinks.registry import Registry
from octostream.tests.icat_server.seed import FACILITY, PROPOSAL

from .facts import SECOND, facts_of, report_of

OURS = {"investigation": PROPOSAL, "visit": "1"}
END = {"stored": 6, "last_frame_ns": 5 * SECOND, "sealed_ns": 6 * SECOND}


def report(n, status="complete", **changes):
    return report_of(n, **OURS, status=status, **{**END, **changes})


@pytest.fixture
def registry(tmp_path):
    made = Registry(tmp_path / "runs.sqlite")
    yield made
    made.close()


@pytest.fixture
def deliver(outbox, connection, settings, ready):
    deliverer = Deliverer(outbox, connection, settings)

    def all_of_it():
        while deliverer.turn().worked:
            pass
        assert outbox.entries() == []

    return all_of_it


@pytest.fixture
def reconcile(registry, outbox, connection):
    def facts_from_store(told):
        n = int(told.name.removeprefix("run"))
        return None if n == 9 else facts_of(n, **OURS, instrument="").at(told)

    lookup = Lookup(connection.client(), FACILITY)

    def run(*, dry=False, raw_shards=False):
        reconciliation = Reconciliation(registry, outbox, lookup, facts_from_store, raw_shards, int)
        return {one.name: (one.state, one.why) for one in reconciliation.run(dry=dry)}

    return run


@pytest.fixture
def three(registry, outbox, deliver):
    """One run complete, one incomplete, one recording, all as they should be."""
    for n, status, kind in ((0, "complete", "sealed"), (1, "incomplete", "failed"), (2, "recording", "opened")):
        registry.add(report(n, status))
        outbox.write([Intent(kind, facts_of(n, **OURS, instrument="").at(report(n, status)))], n)
    deliver()


def test_what_is_right_is_left_alone(three, reconcile, outbox, registry):
    registry.add(report_of(3, investigation="local", status="complete"))
    registry.update(report(2, "recording", stored=5))
    assert set(reconcile().values()) == {("as it should be", ())}
    assert set(reconcile()) == {"run0", "run1", "run2"}
    assert outbox.entries() == []


def lose(root, query):
    found = root.search(query)
    assert found, query
    root.deleteMany(found)


DAMAGE = {
    "a dataset": ("SELECT o FROM Dataset o WHERE o.name = 'run0 raw'", "there is no dataset 'run0 raw'"),
    "a parameter": (
        "SELECT p FROM DatasetParameter p JOIN p.dataset d JOIN p.type t WHERE d.name = 'run0' AND t.name = 'size_z'",
        "parameter size_z of dataset ",
    ),
    "a file": (
        "SELECT f FROM Datafile f JOIN f.dataset d WHERE d.name = 'run0'",
        "has no Datafile",
    ),
    "the job": ("SELECT j FROM Job j", "has no job"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_was_lost_in_icat_is_told_again(damage, three, reconcile, deliver, ready, outbox):
    query, text = DAMAGE[damage]
    if damage == "the job":  # as it is lost with its collection: neither is ever changed by itself
        query = (
            "SELECT c FROM DataCollection c JOIN c.jobsAsOutput j JOIN c.dataCollectionDatasets l JOIN l.dataset d"
            " WHERE d.name = 'run0'"
        )
    lose(ready, query)
    dry = reconcile(dry=True)
    assert outbox.entries() == []
    state, (why,) = dry["run0"]
    assert (state, text in why) == ("to be told again", True)
    assert reconcile() == {**dry, "run0": ("told again", (why,))}
    assert reconcile()["run0"] == ("waits", ())
    deliver()
    assert {state for state, _ in reconcile().values()} == {"as it should be"}
    names = [o.name for o in ready.search("SELECT o FROM Dataset o ORDER BY o.name")]
    assert names == ["run0", "run0 raw", "run1", "run1 raw", "run2", "run2 raw"]


def test_a_shard_that_is_no_file_is_told_again(registry, outbox, connection, settings, reconcile, ready, tmp_path):
    store = tmp_path / "run0.ome.zarr"
    (store / "raw/0/c").mkdir(parents=True)
    for n in range(3):
        (store / f"raw/0/c/{n}").write_bytes(b"x")
    registry.add(report(0, store=str(store)))
    outbox.write([Intent("sealed", facts_of(0, **OURS, instrument="").at(report(0, store=str(store))))], 1)
    deliverer = Deliverer(outbox, connection, settings.model_copy(update={"raw_shards": True}))
    assert deliverer.turn().worked
    assert reconcile(raw_shards=True)["run0"] == ("as it should be", ())
    lose(ready, "SELECT f FROM Datafile f WHERE f.name = 'raw/0/c/1'")
    assert "has 2 of 3 Datafiles" in reconcile(raw_shards=True, dry=True)["run0"][1][0]
    store.rename(tmp_path / "archive")
    assert reconcile(raw_shards=True)["run0"] == ("as it should be", ())


def test_a_flag_that_somebody_changed_is_told_again(three, reconcile, deliver, ready):
    for name, flag in (("run0", False), ("run1", True)):
        (dataset,) = ready.search(
            f"SELECT o FROM Dataset o WHERE o.name = '{name}' INCLUDE o.investigation, o.type, o.sample"
        )
        dataset.complete = flag
        dataset.update()
    assert [state for state, _ in reconcile().values()] == ["as it should be", "told again", "told again"]
    deliver()
    flags = {o.name: o.complete for o in ready.search("SELECT o FROM Dataset o")}
    assert (flags["run0"], flags["run1"]) == (True, False)


def test_runs_that_were_never_told_of_are_told_now(registry, reconcile, deliver, outbox):
    """ICAT was set later, or the registry was made anew."""
    registry.add(report(0))
    registry.add(report(1, "incomplete"))
    registry.add(report(9))
    found = reconcile()
    assert {name: state for name, (state, _) in found.items()} == {
        "run0": "told again", "run1": "told again", "run9": "for a person"
    }  # fmt: skip
    assert "is gone" in found["run9"][1][1]
    assert {e.intent.kind for e in outbox.entries()} == {"sealed", "failed"}
    deliver()
    assert {state for name, (state, _) in reconcile().items() if name != "run9"} == {"as it should be"}


def test_a_registry_made_anew_finds_its_datasets_again(three, registry, reconcile, deliver, outbox, ready):
    for entry in ("registered", "outbox"):
        outbox._database.run("clear", f"DELETE FROM {entry}")
    before = ready.search("SELECT COUNT(o) FROM Dataset o")
    assert {state for state, _ in reconcile().values()} == {"told again"}
    deliver()
    assert ready.search("SELECT COUNT(o) FROM Dataset o") == before
    assert {state for state, _ in reconcile().values()} == {"as it should be"}


def test_two_that_claim_to_be_one_are_left_to_a_person(three, reconcile, ready, outbox):
    (dataset,) = ready.search(
        "SELECT o FROM Dataset o WHERE o.name = 'run0' INCLUDE o.investigation, o.type, o.parameters AS p, p.type"
    )
    twin = ready.new("Dataset", name="copy", investigation=dataset.investigation, type=dataset.type, complete=True)
    twin.parameters = [
        ready.new("DatasetParameter", type=p.type, stringValue=p.stringValue, numericValue=p.numericValue)
        for p in dataset.parameters
    ]
    twin.create()
    state, (why,) = reconcile()["run0"]
    assert (state, why) == ("for a person", f"datasets {dataset.id} and {twin.id} both claim to be 'run0'")
    assert outbox.entries() == []


def test_what_happens_meanwhile_is_newer(registry, outbox):
    registry.add(report(0, "recording"))
    intent = Intent("grown", facts_of(0, **OURS))
    assert not outbox.write_if_quiet(intent, "complete", 1)
    outbox.write([Intent("sealed", facts_of(0, **OURS))], 1)
    assert not outbox.write_if_quiet(intent, "recording", 2)
    assert [e.intent.kind for e in outbox.entries()] == ["sealed"]


def test_a_run_that_is_parked_is_named(three, reconcile, outbox):
    outbox.write([Intent("grown", facts_of(0, **OURS))], 1)
    outbox.park(outbox.claim(1, 1).seq, "no right", "give it")
    assert reconcile()["run0"] == ("parked", ("no right",))
