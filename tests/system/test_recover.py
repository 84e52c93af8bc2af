"""A service and its agents are killed for good; a store is recovered without them."""

import json
import signal
import sqlite3
from pathlib import Path

import pytest
import zarr
from octostream.sinks.commits import intact_commits
from octostream.sinks.verify import verify

from .conftest import until

pytestmark = pytest.mark.system


def test_everything_is_killed_in_the_middle_of_a_run(serve, command, lattice):
    service = serve()
    agent = command(
        "acquire", lattice, "--to", service.ingest, "--json", "--rate", "60", "--loop", "20", "--name", "cut",
        "--investigation", "fish", "--visit", "2026-1",
        "--technique", "lattice", "--meta", "sample=cell", "--meta", "excitation_nm=488,560", "--meta", "outer_na=0.5",
    )  # fmt: skip
    store = service.data / "fish" / "2026-1" / "cut.ome.zarr"
    until(lambda: len(list((store / ".octostream" / "commits").glob("*.json"))) >= 3, 60)

    (run,) = service.get("/api/v1/runs").json()["runs"]
    assert (run["investigation"], run["visit"], run["store"]) == ("fish", "2026-1", str(store))
    told = service.get(run["data_url"] + "/zarr.json").json()["attributes"]["octostream"]
    assert (told["visit"], told["technique"], run["technique"]) == ("2026-1", "lattice", "lattice")
    said = service.get(f"/api/v1/runs/{run['id']}/metadata").json()
    assert said == {"run": run["id"], "technique": "lattice", "metadata": told["plan"]["metadata"]}
    assert told["plan"]["metadata"] == {"sample": "cell", "excitation_nm": "488, 560", "outer_na": 0.5}

    refused = command("recover", store, "--json")
    assert refused.wait(60) == 2
    (line,) = refused.err
    assert "a service is running on" in line
    assert agent.process.poll() is None

    children = [pid for role in ("head", "web", "worker") for pid in service.children(role)]
    service.process.send_signal(signal.SIGKILL)
    agent.process.kill()
    service.process.wait(10)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), 10)
    acknowledged = {f.number for commit in intact_commits(store) for f in commit.frames}
    assert acknowledged

    recovery = command("recover", store, "--json")
    assert recovery.wait(60) == 1, recovery.err
    told = recovery.json()
    assert (told["ok"], told["status"], told["frames_stored"]) == (False, "incomplete", len(acknowledged))
    report = verify(store)
    assert report.ok, report.problems
    states = zarr.open_array(store / "frames" / "state", mode="r")[...]
    assert {int(n) for n in (states == 1).nonzero()[0]} == acknowledged
    with sqlite3.connect(service.data / ".octostream" / "runs.sqlite") as registry:
        ((status, text),) = registry.execute("SELECT status, report FROM run WHERE visit = '2026-1'")
    registry.close()
    assert (status, json.loads(text)["stored"]) == ("incomplete", len(acknowledged))
    checked = command("verify", store, "--json")
    assert checked.wait(60) == 1  # incomplete, and nothing wrong
    assert checked.json()["problems"] == []


@pytest.mark.parametrize("path", ["nothing.ome.zarr", "."])
def test_recover_of_no_store(command, tmp_path, path):
    recovery = command("recover", tmp_path / path)
    assert recovery.wait(60) == 1
    (line,) = recovery.err
    assert "is not an octostream store" in line
    assert list(tmp_path.iterdir()) == []
