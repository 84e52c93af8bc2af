"""A worker never takes more memory than it may, however many runs are open."""

import threading
from pathlib import Path

import numpy as np
import pytest
from octostream.acquire.recording import open_run
from octostream.kernels.recipe import Recipe
from octostream.sinks.verify import verify
from octostream.stream.model import Plan

from .conftest import acquire, until

pytestmark = pytest.mark.system

#: Two blocks of eight frames; the products, not binned, take 86 MiB a slot.
PLAN = Plan((2, 1, 8, 2048, 2048), rate_hz=8.0)
RECIPE = Recipe.load("lightsheet", ["bin.factor=1"]).to_json()
RUNS = 12
CAP_MIB = 720


def peak_mib(pid):
    """Give the most that a process ever had resident."""
    (line,) = [x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def record(run, frames):
    with run:
        for frame in (*frames, *frames):
            run.send(frame)


def test_many_open_runs_stay_below_the_cap_and_all_complete(serve):
    service = serve("--workers", "1", env={"OCTOSTREAM_MEMORY_MIB": str(CAP_MIB)})
    (worker,) = service.children("worker")
    frames = np.random.default_rng(1).integers(0, 64, (8, 2048, 2048), dtype=np.uint16)
    runs = [open_run(service.ingest, PLAN, name=f"run-{k}", recipe=RECIPE) for k in range(RUNS)]
    threads = []
    try:
        assert peak_mib(worker) < CAP_MIB
        for run in runs[: RUNS // 2]:  # each in turn, the others idle
            record(run, frames)
        for run in runs[RUNS // 2 :]:  # all the others at once
            threads.append(threading.Thread(target=record, args=(run, frames)))
            threads[-1].start()
        until(lambda: not any(t.is_alive() for t in threads), 90)
        assert [run.sealed.status for run in runs] == ["complete"] * RUNS
        assert peak_mib(worker) < CAP_MIB
        assert service.children("worker") == [worker]
        assert verify(Path(runs[-1].store)).ok
    finally:
        for run in runs:
            run._agent.close()
        for thread in threads:
            thread.join(10)


def test_a_run_that_can_never_fit_is_refused_with_need_and_given_and_leaves_its_name(serve):
    service = serve("--workers", "1", env={"OCTOSTREAM_MEMORY_MIB": "450"})
    large = ("simulated:size=2048x2048,z=32,t=1", "--rate", "100", "--keep-raw", "--name", "same")
    code, agent = acquire(service, *large)
    assert code == 1
    assert "MiB of a worker's memory" in agent.err[-1]
    assert "raise memory_mib by at least" in agent.err[-1]
    assert not list((service.data / "local").iterdir())
    code, agent = acquire(service, "simulated:size=64x64,z=4,t=2", "--name", "same")
    assert (code, agent.json()["status"]) == (0, "complete")


def test_a_worker_that_may_use_less_than_it_takes_itself_says_so(command, tmp_path):
    addresses = ("--http", "127.0.0.1:0", "--ingest", "tcp://127.0.0.1:0")
    service = command("serve", "--data", tmp_path, *addresses, env={"OCTOSTREAM_MEMORY_MIB": "100"})
    assert service.wait(90) == 1
    assert "MiB by itself and may use 100 MiB: raise memory_mib to" in service.err[-1]
