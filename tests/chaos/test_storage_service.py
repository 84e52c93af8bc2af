"""The real service on a disk that fails: it says so, acknowledges nothing, and goes on when the disk does."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from octostream.sinks.arrays import context, open_planned
from octostream.sinks.commits import intact_commits
from octostream.sinks.layout import region
from octostream.sinks.runfile import read_run
from octostream.sinks.verify import verify

from ..system.conftest import Service
from .conftest import whole_or
from .mounted import MountedDisk
from .recorded import FRAMES, PLAN, LiveAgent, is_exact, kill_all, soon, verdict
from .test_storage_sinks import CHANGES, NAMES_AND_BYTES

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

STORES = ".ome.zarr"
#: What fails until it is healed, where, and a word of what must be said.
TROUBLES = {
    "fsync of shards": ({"operations": ["fsync"], "error": "EIO", "under": STORES}, "Input/output error"),
    "no space": ({"operations": ["write", "create", "mkdir"], "error": "ENOSPC", "under": STORES}, "no space left"),
    "read-only": ({"operations": NAMES_AND_BYTES, "error": "EROFS", "under": STORES}, "Read-only file system"),
    "permission lost": ({"operations": ["open", "create", "mkdir"], "error": "EACCES", "under": STORES}, "permission"),
    "fsync of anything": ({"operations": ["fsync", "fsyncdir"], "error": "EIO"}, "Input/output error"),
}


#: Files that are written when a run is sealed, and a word of what must be said when they cannot be.
SEALING = {"ledger.json": "cannot seal", "runs.sqlite": "the registry"}


@pytest.fixture(scope="module")
def service(fuse, tmp_path_factory):
    """A service whose data directory is on a fault disk."""
    disk = MountedDisk(tmp_path_factory.mktemp("service") / "disk")
    started = None
    try:
        started = Service(disk.path / "data")
        started.disk = disk
        yield started
    finally:
        if started:
            disk.heal()
            started.end()
        disk.unmount()


@pytest.fixture(scope="module")
def undisturbed(service):
    """The store of the same run when nothing happens to it."""
    agent = LiveAgent(service.ingest, "calm")
    sealed = agent.finish()
    assert sealed.status == "complete", sealed.ledger
    return Path(agent.run.store)


@pytest.mark.parametrize("what", whole_or(["read-only", "fsync of anything"], TROUBLES))
def test_a_disk_that_fails_for_a_while(service, undisturbed, campaign, what):
    fault, said = TROUBLES[what]
    agent = LiveAgent(service.ingest, what.replace(" ", "-"))
    agent.send_to(45)
    soon(lambda: len(agent.acknowledged) == 2)
    service.disk.arm({**fault, "times": 0})
    agent.send_to(105)
    verdict(service, "DEGRADED", said)
    assert agent.acknowledged == {0, 1}
    assert service.get("/livez").status_code == 200
    struck = service.disk.fired
    service.disk.heal()
    assert agent.finish().status == "complete"
    verdict(service, "IDLE", "ready")
    is_exact(Path(agent.run.store), undisturbed)
    campaign.append(("service", f"{what} until healed", {"struck": struck, "frames": PLAN.frames, "lost": 0}))


@pytest.mark.parametrize("file", whole_or(["runs.sqlite"], SEALING))
def test_a_disk_that_fails_when_the_run_is_sealed(service, undisturbed, file):
    agent = LiveAgent(service.ingest, f"sealing-{file.partition('.')[0]}")
    agent.send_to(PLAN.frames - 1)
    soon(lambda: len(agent.acknowledged) == len(PLAN.blocks) - 1)
    service.disk.arm({"operations": CHANGES, "error": "EIO", "under": file, "times": 0})
    head = service.children("head")
    agent.send_to(PLAN.frames)
    verdict(service, "DEGRADED", SEALING[file])
    assert agent.run.sealed is None
    service.disk.heal()
    assert agent.finish().status == "complete"
    assert service.children("head") == head
    is_exact(Path(agent.run.store), undisturbed)


def power_cut(disk, service, agent, seed) -> set[int]:
    """Cut the power somewhere in the middle, kill every process; gives the blocks that were acknowledged."""
    chance = random.Random(seed)
    survivors = {"names": chance.random(), "data": chance.choice(["none", "half", "some"]), "seed": seed}
    agent.send_to(45)
    soon(lambda: len(agent.acknowledged) == 2)
    disk.arm({"operations": CHANGES, "at": chance.randint(1, 250), "cut": survivors if seed % 2 else {}})
    agent.send_to(PLAN.frames - 5)
    soon(lambda: disk.dead)
    kill_all(service)
    return agent.acknowledged


def check_acknowledged(store: Path, acknowledged: set[int]) -> set[int]:
    """See that every acknowledged block is there, bit for bit; gives the frames of all blocks that are there."""
    stored = read_run(store)
    commits = {commit.block: commit for commit in intact_commits(store)}
    assert acknowledged <= commits.keys()
    raw = next(product for product in stored.products if product.path == "raw/0")
    array = open_planned(store, PLAN, raw, context(1))
    for number in commits:
        block = PLAN.blocks[number]
        found = array[region(raw, block)].read().result().reshape(block.count, *PLAN.frame_shape)
        np.testing.assert_array_equal(found, FRAMES[block.first : block.first + block.count])
    return {frame.number for commit in commits.values() for frame in commit.frames}


def test_power_is_cut_and_the_agent_lives(fault_disk, serve, undisturbed, tmp_path, campaign, seed):
    disk = fault_disk()
    service = serve(data=disk.path / "data")
    agent = LiveAgent(service.ingest, "cut")
    acknowledged = power_cut(disk, service, agent, seed)
    left = disk.save(tmp_path / "left")
    disk.unmount()
    store = left / Path(agent.run.store).relative_to(disk.path)
    kept = check_acknowledged(store, acknowledged)
    fault_disk(content=left)
    again = serve(data=disk.path / "data", ingest=service.ingest, http=service.dashboard.split("//")[1].rstrip("/"))
    sealed = agent.finish()
    assert sealed.run == agent.run.run
    assert sealed.ledger["stored"] == [[0, PLAN.frames - 1]]
    assert again.get(f"/api/v1/runs/{sealed.run}").json()["status"] == "complete"
    is_exact(Path(agent.run.store), undisturbed)
    campaign.append(
        ("service", f"power cut, agent lives, seed {seed}", {"acknowledged": 20 * len(acknowledged), "kept": len(kept)})
    )


def test_power_is_cut_and_the_agent_is_gone_too(fault_disk, serve, tmp_path, campaign, seed):
    disk = fault_disk()
    service = serve(data=disk.path / "data")
    agent = LiveAgent(service.ingest, "both")
    acknowledged = power_cut(disk, service, agent, seed)
    agent.vanish()
    left = disk.save(tmp_path / "left")
    disk.unmount()
    kept = check_acknowledged(left / Path(agent.run.store).relative_to(disk.path), acknowledged)
    fault_disk(content=left)
    again = serve(data=disk.path / "data", env={"OCTOSTREAM_AGENT_TIMEOUT_S": "1.5"})
    run = f"/api/v1/runs/{agent.run.run}"
    soon(lambda: again.get(run).json()["status"] == "incomplete")
    ledger = again.get(f"{run}/ledger").json()
    assert numbers(ledger["stored"]) == kept
    assert numbers([(loss["first"], loss["last"]) for loss in ledger["lost"]]) == set(range(PLAN.frames)) - kept
    assert all("silent" in loss["why"] for loss in ledger["lost"])
    report = verify(Path(agent.run.store))
    assert report.ok, report.problems
    campaign.append(
        ("service", f"power cut, agent gone, seed {seed}", {"acknowledged": 20 * len(acknowledged), "kept": len(kept)})
    )


def numbers(spans) -> set[int]:
    return {number for first, last in spans for number in range(first, last + 1)}
