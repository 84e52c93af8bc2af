"""``octostream catalogue status | retry | park``, as an operator and as a program use them."""

import json

import pytest
from octostream.api.cli import app
from octostream.sinks.catalogue.intent import Intent
from octostream.sinks.catalogue.outbox import Outbox, Registered
from octostream.sinks.catalogue.owner_notes import OwnerNotes
from octostream.sinks.catalogue.standing import UNTOLD
from octostream.sinks.registry import Registry
from octostream.stream.errors import OctostreamError, UsageError
from octostream.tests.sinks.catalogue.facts import facts_of, report_of
from typer.testing import CliRunner

LEASE = 10**9


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/.octostream").mkdir(parents=True)
    return tmp_path / "data"


@pytest.fixture
def registry(data):
    made = Registry(data / ".octostream/runs.sqlite")
    for n in range(4):
        made.add(report_of(n))
    yield made
    made.close()


@pytest.fixture
def outbox(registry):
    made = Outbox(registry.path)
    yield made
    made.close()


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "octostream.toml"
    file.write_text('[catalogue]\nurl = "https://icat.example.org"\nfacility = "F"\n')
    return file


def catalogue(*arguments):
    return CliRunner().invoke(app, ["catalogue", *map(str, arguments)])


def test_without_a_catalogue_there_is_the_local_registry_only(data):
    assert catalogue("status", "--data", data).stdout.splitlines() == ["local registry only"]
    Registry(data / ".octostream/runs.sqlite").close()
    said = catalogue("status", "--data", data, "--json")
    assert said.exit_code == 0
    assert json.loads(said.stdout) == {
        "catalogue": None, "queued": 0, "parked": 0, "oldest_pending_s": None, "runs": [], "owners": {}
    }  # fmt: skip


@pytest.fixture
def some(outbox, registry):
    """One run complete, one parked, one queued, one unheard of, one removed: none knows of the others."""
    for n in (0, 1, 2):
        outbox.write([Intent("opened", facts_of(n))], 10**9)
    outbox.delivered(outbox.claim(0, LEASE), Registered({"reduced": 7, "raw": 8}, True, 5, 0.25))
    outbox.park(outbox.claim(0, LEASE).seq, "no such visit", "create it")
    outbox.again(outbox.claim(0, LEASE), 2**62, "no answer")
    registry.remove(report_of(0).id)


def test_every_run_says_how_it_stands(some, data, config):
    said = catalogue("status", "--data", data, "--config", config)
    assert said.exit_code == 1, "something waits for a person"
    head, counts, *lines = said.stdout.splitlines()
    assert head == "ICAT https://icat.example.org, facility F"
    assert counts.startswith("2 queued, 1 parked, the oldest for ")
    states = {line.split()[2]: (line.split()[0], line) for line in lines}
    assert {name: state for name, (state, _) in states.items()} == {
        "run0": "registered", "run1": "parked", "run2": "queued", "run3": "local"
    }  # fmt: skip
    assert states["run0"][1].endswith("reduced 7; raw 8; next try at once")
    assert states["run1"][1].endswith("no such visit (create it)")
    assert "no answer; next try in " in states["run2"][1]
    assert UNTOLD in states["run3"][1]


def test_a_program_gets_the_same(some, data, config):
    told = json.loads(catalogue("status", "--data", data, "--config", config, "--json").stdout)
    assert told["catalogue"] == {"url": "https://icat.example.org", "facility": "F"}
    assert (told["queued"], told["parked"], told["oldest_pending_s"] > 0) == (2, 1, True)
    runs = {run["name"]: run for run in told["runs"]}
    assert runs["run0"]["datasets"] == {"reduced": 7, "raw": 8}
    assert (runs["run0"]["status"], runs["run3"]["status"]) == ("removed", "recording")
    assert (runs["run1"]["why"], runs["run1"]["next_try_ns"]) == ("no such visit", None)
    assert runs["run2"]["next_try_ns"] == 2**62


def test_whose_data_have_no_owner_yet_is_told(some, data):
    notes = OwnerNotes(data / ".octostream/runs.sqlite")
    notes.note(facts_of(2).run, "setfacl ended with code 1")
    notes.note("another", "gone")
    assert "owners     " + facts_of(2).run in catalogue("status", "--data", data).stdout
    told = json.loads(catalogue("status", "--data", data, "--json").stdout)
    assert told["owners"] == {facts_of(2).run: "setfacl ended with code 1"}
    notes.note(facts_of(2).run, "")
    assert json.loads(catalogue("status", "--data", data, "--json").stdout)["owners"] == {}


def test_one_run_is_asked_for_by_its_id(some, data):
    told = json.loads(catalogue("status", facts_of(2).run, "--data", data, "--json").stdout)
    assert ([run["name"] for run in told["runs"]], told["parked"]) == (["run2"], 0)
    unknown = catalogue("status", "run2", "--data", data)
    assert isinstance(unknown.exception, UsageError)


def test_what_is_parked_is_tried_again(some, data, outbox):
    assert catalogue("retry", facts_of(1).run, "--data", data).stdout == "1 entry tried again\n"
    assert [e.state for e in outbox.entries(facts_of(1).run)] == ["queued"]
    assert json.loads(catalogue("retry", "--all", "--json", "--data", data).stdout) == {"tried_again": 3}
    assert [e.due_ns for e in outbox.entries(facts_of(2).run)] == [0]
    for wrong in (["retry"], ["retry", facts_of(1).run, "--all"], ["retry", "nobody"]):
        assert isinstance(catalogue(*wrong, "--data", data).exception, UsageError)


def test_a_person_parks_a_run_whole(some, data, outbox):
    outbox.write([Intent("sealed", facts_of(2))], 3)
    assert catalogue("park", facts_of(2).run, "--why", "wrong visit", "--data", data).exit_code == 0
    assert {(e.state, e.reason) for e in outbox.entries(facts_of(2).run)} == {("parked", "wrong visit")}
    nothing = catalogue("park", report_of(3).id, "--why", "x", "--data", data)
    assert isinstance(nothing.exception, OctostreamError)
    assert not isinstance(nothing.exception, UsageError)
    assert isinstance(catalogue("park", facts_of(2).run, "--why", " ", "--data", data).exception, UsageError)


def test_a_folder_that_no_service_ever_had_is_named(tmp_path):
    for command in (["retry", "--all"], ["park", "x", "--why", "y"], ["status", "x"]):
        assert "has no registry" in str(catalogue(*command, "--data", tmp_path / "none").exception)
    assert not (tmp_path / "none").exists()
