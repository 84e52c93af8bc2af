"""``octostream catalogue owners`` before the stand-in ICAT."""

import json
import sys

import pytest
from octostream.api.cli import app
from octostream.sinks.catalogue.intent import Intent
from octostream.sinks.catalogue.outbox import Outbox
from octostream.sinks.catalogue.owner_notes import OwnerNotes
from octostream.sinks.catalogue.settings import PASSWORD_VARIABLE, USERNAME_VARIABLE
from octostream.sinks.registry import Registry
from octostream.stream.errors import UsageError
from octostream.tests.icat_server.seed import FACILITY, PASSWORDS, PROPOSAL
from octostream.tests.sinks.catalogue.facts import facts_of, report_of
from typer.testing import CliRunner

RUN = facts_of(0).run


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv(USERNAME_VARIABLE, "ingester")
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORDS["ingester"])
    (tmp_path / ".octostream").mkdir()
    registry = Registry(tmp_path / ".octostream/runs.sqlite")
    registry.add(report_of(0, investigation=PROPOSAL))
    registry.add(report_of(1))
    registry.close()
    outbox = Outbox(registry.path)
    outbox.write([Intent("opened", facts_of(0, investigation=PROPOSAL))], 1)
    outbox.close()
    return tmp_path


@pytest.fixture
def owners(data, icat_server):
    def run(*arguments, command):
        known = {"url": icat_server.url, "facility": FACILITY, "authenticator": "simple", "owner_command": command}
        file = data / "octostream.toml"
        file.write_text("[catalogue]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in known.items()))
        return CliRunner().invoke(app, ["catalogue", "owners", *arguments, "--data", str(data), "--config", str(file)])

    return run


def test_a_dry_run_prints_the_command_and_runs_nothing(owners, data):
    mark = data / "ran"
    command = [sys.executable, "-c", f"open({str(mark)!r}, 'w')", "{users}", "{store}"]
    said = owners(RUN, "--dry-run", command=command)
    assert said.stdout.rstrip().endswith(f"alice {facts_of(0).store}")
    told = json.loads(owners(RUN, "--dry-run", "--json", command=command).stdout)
    assert told["command"] == [*command[:3], "alice", facts_of(0).store]
    assert not mark.exists()
    assert owners(RUN, command=command).exit_code == 0
    assert mark.exists()


def test_the_store_is_where_the_registry_says(owners, data):
    registry = Registry(data / ".octostream/runs.sqlite")
    registry.update(report_of(0, investigation=PROPOSAL, store="/disk2/inv/1/run.ome.zarr"))
    registry.close()
    assert (
        owners(RUN, "--dry-run", command=["own", "{store}"]).stdout.rstrip().endswith("own /disk2/inv/1/run.ome.zarr")
    )


def test_a_failure_is_said_and_noted_until_it_goes_well(owners, data):
    notes = OwnerNotes(data / ".octostream/runs.sqlite")
    assert "ended with code 4" in str(owners(RUN, command=[sys.executable, "-c", "exit(4)"]).exception)
    assert "ended with code 4" in notes.read()[RUN]
    assert owners(RUN, command=[sys.executable, "-c", ""]).exit_code == 0
    assert notes.read() == {}


def test_what_cannot_be_done_is_said(owners):
    assert isinstance(owners(RUN, command=[]).exception, UsageError)
    assert isinstance(owners("nobody", command=["x"]).exception, UsageError)
    assert "there is no owner" in str(owners(facts_of(1).run, command=["x"]).exception)
