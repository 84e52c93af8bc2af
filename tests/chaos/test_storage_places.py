"""The place of the stores is taken away while a run goes on, without FUSE: read-only, no inodes left, removed."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from octostream.api.keeping import REMOVED_S
from octostream.sinks.verify import verify
from octostream.stream.errors import RefusedError

from ..system.conftest import Service
from .recorded import PLAN, LiveAgent, soon, verdict

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    started = Service(tmp_path_factory.mktemp("places") / "data")
    yield started
    started.end()


@contextmanager
def memory_disk(place: Path, options: str):
    """Mount a file system in memory."""
    place.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=False)
    if mounted.returncode:
        assert os.environ.get("CI") != "true", "under CI mounting must be possible"
        pytest.skip("mounting is not permitted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def complete(agent) -> None:
    sealed = agent.finish()
    assert (sealed.status, sealed.ledger["stored"]) == ("complete", [[0, PLAN.frames - 1]])
    report = verify(Path(agent.run.store))
    assert report.ok, report.problems


def test_stores_are_read_only_for_a_while(service, campaign):
    with memory_disk(service.data / "remounted", "size=200m") as place:

        def remount(how):
            done = subprocess.run(["mount", "-o", f"remount,{how}", str(place)], capture_output=True, check=False)
            return done.returncode == 0  # busy while a shard is open: then once more

        agent = LiveAgent(service.ingest, "run", "remounted")
        agent.send_to(45)
        soon(lambda: len(agent.acknowledged) == 2)
        soon(lambda: remount("ro"))
        agent.send_to(105)
        verdict(service, "DEGRADED", "mount the disk writable")
        assert agent.acknowledged == {0, 1}
        soon(lambda: remount("rw"))
        complete(agent)
    campaign.append(("places", "read-only remount, writable again", {"frames": PLAN.frames, "lost": 0}))


def test_no_inodes_are_left_for_a_while(service, campaign):
    with memory_disk(service.data / "inodes", "size=200m,nr_inodes=1000") as place:
        agent = LiveAgent(service.ingest, "run", "inodes")
        agent.send_to(45)
        soon(lambda: len(agent.acknowledged) == 2)
        fill_inodes(place / "ballast")
        agent.send_to(105)
        verdict(service, "DEGRADED", "no space left")
        assert agent.acknowledged == {0, 1}
        shutil.rmtree(place / "ballast")
        complete(agent)
    campaign.append(("places", "no inodes, inodes again", {"frames": PLAN.frames, "lost": 0}))


def remove(store: Path) -> bool:
    """Remove a store; what its writers put there meanwhile is left for the next try."""
    shutil.rmtree(store, ignore_errors=True)
    return not store.exists()


def fill_inodes(folder: Path) -> None:
    folder.mkdir()
    for number in range(1000):
        try:
            (folder / str(number)).touch()
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017
            return
    pytest.fail("the disk does not run out of inodes")


def test_a_store_is_removed_while_it_is_recorded(service, campaign):
    removed, spared = LiveAgent(service.ingest, "removed"), LiveAgent(service.ingest, "spared")
    for agent in (removed, spared):
        agent.send_to(45)
    soon(lambda: len(removed.acknowledged) == len(spared.acknowledged) == 2)
    soon(lambda: remove(Path(removed.run.store)))
    for agent in (removed, spared):
        agent.send_to(105)
    with pytest.raises(RefusedError, match=r"the run has ended: its store .*removed\.ome\.zarr was removed"):
        removed.finish()
    told = service.get(f"/api/v1/runs/{removed.run.run}").json()
    assert (told["status"], told["stored"], told["lost"]) == ("incomplete", 0, PLAN.frames)
    assert told["reason"].endswith("removed.ome.zarr was removed")
    complete(spared)
    verdict(service, "IDLE", "ready")
    assert not Path(removed.run.store).exists()
    campaign.append(("places", "store removed, another run beside it", {"refused": 1, "complete": 1}))


def test_the_whole_data_directory_is_away_for_a_while(service, tmp_path, campaign):
    """As when a network disk is not mounted: nobody removed a store, so no run is given up."""
    agent = LiveAgent(service.ingest, "away")
    agent.send_to(45)
    soon(lambda: len(agent.acknowledged) == 2)
    service.data.rename(tmp_path / "away")
    agent.send_to(105)
    verdict(service, "DEGRADED", "nobody moved or removed the store")
    heard = time.time_ns()
    longer = (REMOVED_S + 2) * 1e9
    soon(lambda: (said := service.status()) and said["report"]["time_ns"] > heard + longer)
    (tmp_path / "away").rename(service.data)
    complete(agent)
    campaign.append(("places", "data directory away, back again", {"frames": PLAN.frames, "lost": 0}))
