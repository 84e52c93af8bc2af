"""The place of the stores is taken away while a run goes on, without FUSE: read-only, no inodes left, removed."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from octostream.sinks.verify import verify
from octostream.stream.errors import RefusedError

from ..system.conftest import until
from .recorded import PLAN, LiveAgent, verdict

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


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


def test_stores_are_read_only_for_a_while(serve, tmp_path, campaign):
    data = tmp_path / "data"
    with memory_disk(data / "local", "size=200m") as place:

        def remount(how):
            done = subprocess.run(["mount", "-o", f"remount,{how}", str(place)], capture_output=True, check=False)
            return done.returncode == 0  # busy while a shard is open: then once more

        service = serve(data=data)
        agent = LiveAgent(service.ingest, "remounted")
        agent.send_to(45)
        until(lambda: len(agent.acknowledged) == 2)
        until(lambda: remount("ro"))
        agent.send_to(105)
        verdict(service, "DEGRADED", "mount the disk writable")
        assert agent.acknowledged == {0, 1}
        until(lambda: remount("rw"))
        complete(agent)
        service.end()
    campaign.append(("places", "read-only remount, writable again", {"frames": PLAN.frames, "lost": 0}))


def test_no_inodes_are_left_for_a_while(serve, tmp_path, campaign):
    with memory_disk(tmp_path / "disk", "size=200m,nr_inodes=1000") as place:
        service = serve(data=place / "data")
        agent = LiveAgent(service.ingest, "inodes")
        agent.send_to(45)
        until(lambda: len(agent.acknowledged) == 2)
        fill_inodes(place / "ballast")
        agent.send_to(105)
        verdict(service, "DEGRADED", "no space left")
        assert agent.acknowledged == {0, 1}
        shutil.rmtree(place / "ballast")
        complete(agent)
        service.end()
    campaign.append(("places", "no inodes, inodes again", {"frames": PLAN.frames, "lost": 0}))


def fill_inodes(folder: Path) -> None:
    folder.mkdir()
    for number in range(1000):
        try:
            (folder / str(number)).touch()
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017
            return
    pytest.fail("the disk does not run out of inodes")


def test_a_store_is_removed_while_it_is_recorded(serve, campaign):
    service = serve()
    removed, spared = LiveAgent(service.ingest, "removed"), LiveAgent(service.ingest, "spared")
    for agent in (removed, spared):
        agent.send_to(45)
    until(lambda: len(removed.acknowledged) == len(spared.acknowledged) == 2)
    shutil.rmtree(removed.run.store)
    for agent in (removed, spared):
        agent.send_to(105)
    verdict(service, "DEGRADED", "nobody moved or removed the store")
    with pytest.raises(RefusedError, match=r"the run has ended: its store .*removed\.ome\.zarr was removed"):
        removed.finish()
    told = service.get(f"/api/v1/runs/{removed.run.run}").json()
    assert (told["status"], told["stored"], told["lost"]) == ("incomplete", 0, PLAN.frames)
    assert told["reason"].endswith("removed.ome.zarr was removed")
    complete(spared)
    verdict(service, "IDLE", "ready")
    assert not Path(removed.run.store).exists()
    campaign.append(("places", "store removed, another run beside it", {"refused": 1, "complete": 1}))


def test_the_whole_data_directory_is_away_for_a_while(serve, tmp_path):
    """As when a network disk is not mounted: nobody removed a store, so no run is given up."""
    service = serve()
    agent = LiveAgent(service.ingest, "away")
    agent.send_to(45)
    until(lambda: len(agent.acknowledged) == 2)
    service.data.rename(tmp_path / "away")
    agent.send_to(105)
    verdict(service, "DEGRADED", "nobody moved or removed the store")
    heard = service.status()["report"]["time_ns"]
    until(lambda: service.status()["report"]["time_ns"] > heard + 7e9)  # longer than a removed store is waited for
    (tmp_path / "away").rename(service.data)
    complete(agent)
