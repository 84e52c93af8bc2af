"""``octostream catalogue export``: which runs, and where to."""

import json
import xml.etree.ElementTree as ET

import pytest
from octostream.api.cli import app
from octostream.sinks.catalogue.intent import Intent
from octostream.sinks.catalogue.outbox import Outbox, Registered
from octostream.sinks.registry import Registry
from octostream.stream.errors import OctostreamError, UsageError
from octostream.tests.sinks.catalogue.facts import facts_of, report_of
from typer.testing import CliRunner


@pytest.fixture
def data(tmp_path):
    """Two runs that ICAT was told of, one of no investigation, one whose store is gone untold."""
    (tmp_path / ".octostream").mkdir()
    registry = Registry(tmp_path / ".octostream/runs.sqlite")
    outbox = Outbox(registry.path)
    for n in (0, 1):
        registry.add(report_of(n, status="complete", stored=6, sealed_ns=10**18))
        outbox.write([Intent("sealed", facts_of(n, keep_raw=False))], 1)
        outbox.delivered(outbox.claim(1, 1), Registered({"reduced": n}, True, 1, 0.1))
    registry.add(report_of(2, investigation="local"))
    registry.close()
    outbox.close()
    return tmp_path


@pytest.fixture
def export(data):
    config = data / "octostream.toml"
    config.write_text('[catalogue]\nurl = "https://icat.example.org"\nfacility = "F"\n')
    return lambda *arguments: CliRunner().invoke(
        app, ["catalogue", "export", *map(str, arguments), "--data", str(data), "--config", str(config)]
    )


def names(text):
    return [element.findtext("name") for element in ET.fromstring(text).iter("dataset") if element.get("id")]


def test_all_runs_of_investigations_are_written_oldest_first(export, data):
    assert names(export().stdout_bytes) == ["run0", "run1"]
    told = json.loads(export("--out", data / "all.xml", "--json").stdout)
    assert told == {"file": str(data / "all.xml"), "runs": [facts_of(0).run, facts_of(1).run], "left_out": []}
    assert names((data / "all.xml").read_bytes()) == ["run0", "run1"]


def test_runs_are_named_by_their_ids(export):
    assert names(export(facts_of(1).run).stdout_bytes) == ["run1"]
    types = export(facts_of(1).run, "--with-types").stdout_bytes
    assert ET.fromstring(types).find("data/parameterType/name").text == "registration_uuid"


def test_nothing_is_overwritten_and_what_is_not_there_is_named(export, data):
    (data / "old.xml").write_text("old")
    for arguments in (["--out", data / "old.xml"], ["--json"], ["nobody"], [facts_of(2).run]):
        assert isinstance(export(*arguments).exception, UsageError), arguments
    assert (data / "old.xml").read_text() == "old"
    assert "cannot be written" in str(export("--out", data / "no/such/folder.xml").exception)


def test_a_run_of_which_nothing_is_known_any_more_is_left_out_and_named(export, data):
    registry, outbox = Registry(data / ".octostream/runs.sqlite"), Outbox(data / ".octostream/runs.sqlite")
    for n in (3, 4):
        registry.add(report_of(n, status="complete"))
    outbox.write([Intent("sealed", facts_of(4, keep_raw=False))], 1)  # ICAT is away, and so is the store
    outbox.close()
    registry.close()
    said = export("--out", data / "all.xml", "--json")
    assert isinstance(said.exception, OctostreamError)
    assert f"their stores are gone: {facts_of(3).run}" in str(said.exception)
    assert json.loads(said.stdout)["left_out"] == [facts_of(3).run]
    assert names((data / "all.xml").read_bytes()) == ["run0", "run1", "run4"]


def test_half_a_file_is_not_left_behind(export, data):
    outbox = Outbox(data / ".octostream/runs.sqlite")
    outbox.write([Intent("sealed", facts_of(1, sample="bell\a", keep_raw=False))], 1)
    outbox.close()
    assert "U+0007" in str(export("--out", data / "all.xml").exception)
    assert not (data / "all.xml").exists()
