"""Runs in ICAT while they are recorded: the real service before the stand-in."""

import httpx
import numpy as np
import pytest
from octostream import __version__
from octostream.acquire.recording import open_run
from octostream.api.stored_runs import registry_file
from octostream.sinks.catalogue.reading import CatalogueReader
from octostream.sinks.catalogue.settings import PASSWORD_VARIABLE, USERNAME_VARIABLE
from octostream.stream.model import Plan
from octostream.tests.icat_server.seed import FACILITY, PASSWORDS, PROPOSAL

from ..sinks.catalogue.prepared import prepare
from .conftest import acquire, until

CREDENTIALS = {USERNAME_VARIABLE: "ingester", PASSWORD_VARIABLE: PASSWORDS["ingester"]}
OURS = ("--investigation", PROPOSAL, "--visit", "1")


@pytest.fixture
def root(icat_client, icat_server):
    """The ICAT has what octostream needs; gives a client that sees everything."""
    client = icat_client("root")
    prepare(client, icat_server.url, __version__)
    return client


@pytest.fixture
def config(tmp_path, icat_server):
    file = tmp_path / "octostream.toml"
    file.write_text(
        f'[catalogue]\nurl = "{icat_server.url}"\nfacility = "{FACILITY}"\nauthenticator = "simple"\ntimeout_s = 5\n'
    )
    return file


def seen(root):
    """Give (name, complete, fileCount) of the datasets that are there, by python-icat."""
    return {(o.name, o.complete, bool(o.fileCount)) for o in root.search("SELECT o FROM Dataset o")}


def runs(service):
    """Give the runs as the interface tells them."""
    return httpx.get(service.dashboard + "api/v1/runs").json()["runs"]


def test_a_run_is_in_icat_from_its_first_second_and_complete_within_a_second_of_its_last(serve, command, config, root):
    service = serve("--config", config, env=CREDENTIALS)
    agent = command(
        "acquire", "simulated:t=60,z=1,size=64x64", "--rate", "20", "--to", service.ingest, "--name", "one",
        "--keep-raw", *OURS
    )  # fmt: skip
    until(lambda: seen(root) == {("one", False, False), ("one raw", False, False)})
    assert agent.process.poll() is None, "the run was over before it was registered"
    assert agent.wait(60) == 0
    until(lambda: seen(root) == {("one", True, True), ("one raw", True, True)})
    told = until(lambda: [r for r in runs(service) if r["catalogue"]["state"] == "complete"])
    ids = {o.name: o.id for o in root.search("SELECT o FROM Dataset o")}
    assert told[0]["catalogue"]["datasets"] == {"reduced": ids["one"], "raw": ids["one raw"]}
    until(lambda: "octostream_catalogue_lag_seconds_count 1.0" in httpx.get(service.dashboard + "metrics").text)


def test_icat_may_be_away_for_the_whole_run(serve, config, root, icat_server):
    icat_server.refuse()
    service = serve("--config", config, env=CREDENTIALS)
    for name in ("one", "two"):
        code, agent = acquire(service, "simulated:t=30,z=1,size=64x64", "--name", name, *OURS)
        assert (code, agent.json()["status"]) == (0, "complete")
    code, _ = acquire(service, "simulated:t=3,z=1,size=64x64", "--name", "alone")
    assert code == 0
    icat_server.accept()
    until(lambda: seen(root) == {("one", True, True), ("two", True, True)})


def test_a_misspelt_investigation_is_refused_when_the_run_is_opened(serve, config, root):
    service = serve("--config", config, env=CREDENTIALS)
    first = command_until_known(service)
    assert "its visits are '1', '2'" in first
    code, agent = acquire(service, "simulated:t=3,z=1,size=64x64", "--investigation", "2026-0043", "--visit", "1")
    assert code == 1
    assert "ICAT has no investigation '2026-0043' with visit '1'" in "".join(agent.err)


def command_until_known(service):
    """Open runs of a visit that is not there until the service has heard from ICAT; gives how it is refused then."""

    def refused():
        code, agent = acquire(service, "simulated:t=1,z=1,size=64x64", "--investigation", PROPOSAL, "--visit", "9")
        return "".join(agent.err) if code else ""

    return until(refused, 60)


@pytest.mark.rate
def test_a_run_is_complete_in_icat_within_a_second_of_its_last_frame(serve, config, root):
    service = serve("--config", config, env=CREDENTIALS)
    plan, frame = Plan((40, 1, 1, 256, 256)), np.zeros((256, 256), np.uint16)
    reader = CatalogueReader(registry_file(service.data))
    lags = []
    for n in range(20):
        with open_run(service.ingest, plan, name=f"run{n}", investigation=PROPOSAL, visit="1", keep_raw=True) as run:
            for _ in range(plan.frames):
                run.send(frame)
        done = until(
            lambda run=run.run: (known := reader.standings({run: PROPOSAL})[run]).state == "complete" and known
        )
        lags.append(done.lag_s)
    reader.close()
    assert {complete for _, complete, _ in seen(root)} == {True}
    lags.sort()
    p95 = lags[int(0.95 * len(lags))]
    print(f"\nlast frame to complete: median {lags[10]:.2f} s, p95 {p95:.2f} s, longest {lags[-1]:.2f} s")
    assert p95 < 1.0
