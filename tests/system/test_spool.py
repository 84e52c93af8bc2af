"""The tier is behind or away: frames wait on the instrument's disk, and what cannot wait is named."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import zarr
from octostream.acquire.resume import ENDED
from octostream.acquire.segment import segment_path
from octostream.acquire.spool_contents import read_contents
from octostream.acquire.spool_folder import SpoolFolder
from octostream.sinks.reading import read_ledger
from octostream.sinks.verify import verify

from .conftest import acquire, until
from .test_faults import stored

pytestmark = pytest.mark.system

#: 600 frames of 128x96 in stacks of 10, at 50 Hz: twelve seconds, twelve blocks; the memory holds three of them.
SOURCE = "simulated:size=128x96,z=10,t=60,seed=7,cells=9"
FRAMES = 600
#: A record in the spool: 4 KiB that describe it, then the frame in whole pages.
RECORD_BYTES = 28672
MEMORY = ("--memory-mib", "10")


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """The frames of the same run when nothing happens to it."""
    from .conftest import Service

    service = Service(tmp_path_factory.mktemp("calm"))
    try:
        code, agent = acquire(service, SOURCE, "--name", "calm", "--keep-raw")
        assert code == 0, agent.err
        yield zarr.open_group(agent.json()["store"], mode="r")["raw/0"][...].reshape(FRAMES, 96, 128)
    finally:
        service.end()


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


def start(command, service, spool, *arguments, overrun="spool"):
    asked = ("--overrun", overrun, *MEMORY, "--keep-raw", *arguments)
    env = {"OCTOSTREAM_SPOOL": str(spool)}
    return command("acquire", SOURCE, "--to", service.ingest, "--rate", "50", "--json", *asked, env=env)


def halt(service, number):
    """Stop or continue everything of a tier that answers agents."""
    for role in ("head", "worker"):
        for pid in service.children(role):
            os.kill(pid, number)


def revive(service):
    """Have the head go on, and workers that know nothing of what was on its way to their stopped predecessors."""
    for pid in service.children("worker"):
        os.kill(pid, signal.SIGKILL)
    for pid in service.children("head"):
        os.kill(pid, signal.SIGCONT)


def waiting(spool):
    """Give how many frames lie in the spools."""
    return sum(summary.frames for summary in SpoolFolder(spool).spools())


def checked(store, calm):
    """Compare what is stored with the undisturbed run; gives the ledger."""
    report = verify(Path(store))
    assert report.ok, report.problems
    ledger = read_ledger(Path(store))
    raw = zarr.open_group(store, mode="r")["raw/0"][...].reshape(-1, 96, 128)
    for first, last in ledger.stored.spans:
        np.testing.assert_array_equal(raw[first : last + 1], calm[first : last + 1])
    assert len(ledger.stored) + len(ledger.lost) == FRAMES
    return ledger


def test_tier_that_is_away_costs_nothing(serve, command, spool, calm):
    """The camera keeps its rate, the frames go to the disk and from there to the tier, longer than its patience."""
    service = serve(env={"OCTOSTREAM_AGENT_TIMEOUT_S": "2"})
    agent = start(command, service, spool, "--name", "away")
    stored(service, 50)
    assert waiting(spool) < 50
    halt(service, signal.SIGSTOP)
    until(lambda: waiting(spool) > 150, 30)
    halt(service, signal.SIGCONT)
    assert agent.wait(90) == 0, agent.err
    result = agent.json()
    assert (result["status"], result["frames_stored"]) == ("complete", FRAMES)
    assert checked(result["store"], calm).status == "complete"
    assert not list(spool.glob("*")), "the spool of a sealed run is removed"


def test_killed_agent_is_resumed_from_its_spool(serve, command, spool, calm):
    """Durable or in the spool: it is stored. Everything else is named, and nothing else is."""
    service = serve(env={"OCTOSTREAM_AGENT_TIMEOUT_S": "2"})
    agent = start(command, service, spool, "--name", "killed")
    run = stored(service, 50)
    halt(service, signal.SIGSTOP)
    until(lambda: waiting(spool) > 100, 30)
    agent.process.kill()
    agent.process.wait()
    listed = command("spool", "list", "--dir", spool, "--json")
    assert listed.wait(30) == 0, listed.err
    (entry,) = listed.json()["spools"]
    assert (entry["name"], entry["owner"]) == ("killed", None)
    revive(service)
    until(lambda: service.get(f"/api/v1/runs/{run['id']}").json()["status"] == "incomplete", 30)
    before = read_ledger(Path(run["store"])).stored
    resumed = command("spool", "resume", "--dir", spool, "--json")
    assert resumed.wait(60) == 1, resumed.err
    (sealed,) = resumed.json()["runs"]
    assert (sealed["run"], sealed["status"]) == (run["id"], "incomplete")
    ledger = checked(run["store"], calm)
    assert len(ledger.stored) == len(before) + entry["frames"]
    assert {(k.where, k.why) for k in ledger.losses} == {("agent", ENDED)}
    assert not list(spool.glob("*"))
    assert command("spool", "resume", "--dir", spool, "--json").wait(30) == 0


def test_full_spool_loses_the_newest_frames_by_name(serve, command, spool, calm):
    service = serve()
    agent = start(command, service, spool, "--name", "full", "--spool-gib", str(80 * RECORD_BYTES / 2**30))
    stored(service, 50)
    halt(service, signal.SIGSTOP)
    until(lambda: any(line.startswith("alarm") for line in agent.err), 40)
    halt(service, signal.SIGCONT)
    assert agent.wait(90) == 1
    result = agent.json()
    ledger = checked(result["store"], calm)
    assert ledger.status == "incomplete"
    assert {k.where for k in ledger.losses} == {"agent"}
    assert all("its spool were full" in k.why for k in ledger.losses), ledger.losses
    assert result["frames_sent"] == result["frames_stored"] == FRAMES - len(ledger.lost)
    assert not list(spool.glob("*"))


def test_policy_drop_loses_the_newest_frames_by_name(serve, command, spool, calm):
    service = serve()
    agent = start(command, service, spool, "--name", "dropped", overrun="drop")
    stored(service, 50)
    halt(service, signal.SIGSTOP)
    until(lambda: any(line.startswith("alarm") for line in agent.err), 40)
    halt(service, signal.SIGCONT)
    assert agent.wait(90) == 1
    ledger = checked(agent.json()["store"], calm)
    assert {(k.where, k.why) for k in ledger.losses} == {
        ("agent", "the agent's memory was full: the tier was behind or away")
    }
    assert not spool.exists()


def test_damaged_record_costs_that_frame_only(serve, command, spool, calm):
    service = serve()
    give_up(command, service, spool, "damaged")
    (directory,) = spool.iterdir()
    places = read_contents(directory).places
    number = sorted(places)[-5]
    flip(segment_path(directory, places[number].segment), places[number].slot * RECORD_BYTES + 10000)
    revive(service)
    resumed = command("spool", "resume", "--dir", spool, "--json")
    assert resumed.wait(60) == 1, resumed.err
    (sealed,) = resumed.json()["runs"]
    ledger = checked(sealed["store"], calm)
    assert [(k.first, k.last) for k in ledger.losses if k.where == "spool"] == [(number, number)]
    assert set(places) - {number} <= set(ledger.stored)


def give_up(command, service, spool, name):
    """Press Ctrl-C twice while the tier is away."""
    agent = start(command, service, spool, "--name", name)
    stored(service, 50)
    halt(service, signal.SIGSTOP)
    until(lambda: waiting(spool) > 100, 30)
    agent.signal(signal.SIGINT)
    until(lambda: any("stopping" in line for line in agent.err), 20)
    agent.signal(signal.SIGINT)
    assert agent.wait(60) == 1
    return agent


def flip(file, at):
    with file.open("r+b") as opened:
        opened.seek(at)
        byte = opened.read(1)[0]
        opened.seek(at)
        opened.write(bytes([byte ^ 0x10]))


def test_operator_gives_up_and_nothing_is_lost(serve, command, spool, calm):
    """Ctrl-C twice while the tier is away: what was captured waits in the spool, also what was in memory."""
    service = serve()
    agent = give_up(command, service, spool, "given-up")
    assert "frames wait in it: `octostream spool resume` sends them" in "\n".join(agent.err)
    assert "given up with" in agent.err[-1]
    halt(service, signal.SIGCONT)
    resumed = command("spool", "resume", "--dir", spool, "--json")
    assert resumed.wait(60) == 1, resumed.err
    (sealed,) = resumed.json()["runs"]
    ledger = checked(sealed["store"], calm)
    (loss,) = ledger.losses
    assert (loss.where, loss.why, loss.last) == ("source", "stopped by the operator", FRAMES - 1)
