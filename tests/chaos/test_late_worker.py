"""A worker stands still with frames before it, its blocks are given away, then it wakes: what it writes is harmless."""

import json
import os
import re
import signal
from pathlib import Path

import pytest
from octostream.sinks.commits import recorded_blocks
from octostream.sinks.layout import commits_folder
from octostream.sinks.reading import read_ledger

from ..system.conftest import Command, Service, acquire, until
from .promise import check_data, check_registry, leftovers

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

#: Blocks of 100 frames of 6 KiB: one fits whole into the buffers of a connection that nobody reads.
SOURCE = "simulated:size=64x48,z=10,t=120,seed=7,cells=5"
FRAMES = 1200
NAME = "late"


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    service = Service(tmp_path_factory.mktemp("calm"))
    try:
        code, agent = acquire(service, SOURCE, "--name", NAME, "--keep-raw")
        assert code == 0, agent.err
        yield Path(agent.json()["store"])
    finally:
        service.end()


class Standstill:
    """A tier of two workers, one of which stands still with blocks that were sent to it."""

    def __init__(self, folder):
        self.data = folder / "data"
        self.store = self.data / "local" / f"{NAME}.ome.zarr"
        self.service = Service(self.data, "--workers", "2")
        asked = ("--rate", "100", "--overrun", "block", "--memory-mib", "2", "--keep-raw", "--json")
        self.agent = Command("acquire", SOURCE, "--to", self.service.ingest, "--name", NAME, *asked)
        until(lambda: self.records(), 60)
        self.awake, self.late = sorted(self.service.children("worker"))
        for pid in (self.awake, self.late):
            os.kill(pid, signal.SIGSTOP)
        self.before = self.records()
        # The memory is nearly full, and both may have more than that under way: a block to each in turn. The agent says
        # where it is every other second, 200 frames apart, and nothing any more once its memory is full.
        until(lambda: any(int(n) > 280 for line in self.agent.err for n in re.findall(r"(\d+) on their way", line)), 60)
        os.kill(self.awake, signal.SIGCONT)

    def records(self):
        """Give who committed which block."""
        if not commits_folder(self.store).exists():
            return {}
        blocks = recorded_blocks(self.store)
        texts = {n: (commits_folder(self.store) / f"{n:08d}.json").read_text() for n in blocks}
        return {n: json.loads(text)["record"]["worker"] for n, text in texts.items()}

    def wake(self):
        os.kill(self.late, signal.SIGCONT)
        until(lambda: len(((self.service.status() or {}).get("report") or {"workers": ()})["workers"]) == 2, 60)

    def end(self):
        for pid in (self.awake, self.late):
            if pid in self.service.children("worker"):
                os.kill(pid, signal.SIGCONT)
        self.agent.end()
        self.service.end()


@pytest.fixture
def standstill(tmp_path):
    made = Standstill(tmp_path)
    yield made
    made.end()


def test_late_writes_are_harmless(standstill, calm):
    given_away = range(max(standstill.before) + 1, max(standstill.before) + 4)
    until(lambda: set(given_away) <= standstill.records().keys(), 60)
    by_the_other = standstill.records()
    standstill.wake()
    until(lambda: any(standstill.records()[n] != by_the_other[n] for n in given_away), 30)
    assert standstill.agent.wait(90) == 0, standstill.agent.err
    whole(standstill, calm)


def test_worker_that_wakes_after_the_seal_writes_nothing(standstill, calm):
    assert standstill.agent.wait(90) == 0, standstill.agent.err
    before = content(standstill.store)
    standstill.wake()
    # Another run goes through the worker that was late: all that lay before it is done by then.
    for _ in range(2):
        assert acquire(standstill.service, SOURCE)[0] == 0
    assert content(standstill.store) == before
    whole(standstill, calm)


def whole(standstill, calm):
    ledger = read_ledger(standstill.store)
    assert (ledger.status, ledger.losses) == ("complete", ())
    check_data(standstill.store, calm, set(range(FRAMES)))
    check_registry(standstill.data, standstill.store)
    assert not leftovers(standstill.store)
    verified = Command("verify", standstill.store)
    assert verified.wait(60) == 0, verified.out


def content(folder):
    """Give every file with what tells that it was written anew."""
    files = (f for f in folder.rglob("*") if f.is_file())
    return {f: (f.stat().st_ino, f.stat().st_mtime_ns, f.read_bytes()) for f in files}
