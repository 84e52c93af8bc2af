"""Many workers and many agents: a slow one holds nobody up, and a run belongs to one agent."""

import os
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import zarr
from octostream.acquire.pacing import Pacer
from octostream.acquire.recording import open_run
from octostream.sinks.verify import verify
from octostream.stream.errors import RefusedError
from octostream.stream.model import Plan

from .conftest import until

pytestmark = pytest.mark.system

#: Six seconds of a camera. A block lasts a second at most, so the slow worker below needs several times that for one.
PLAN = Plan((60, 1, 10, 96, 128), rate_hz=100.0)
FRAMES = np.random.default_rng(8).integers(100, 4000, (PLAN.frames, *PLAN.frame_shape), np.uint16)
STANDS_S, GOES_S = 1.5, 0.005


@contextmanager
def crawling(pid):
    """Have a process stand still nearly all the time, but never so long that it is given up."""
    over = threading.Event()

    def crawl():
        while not over.is_set():
            os.kill(pid, signal.SIGSTOP)
            over.wait(STANDS_S)
            os.kill(pid, signal.SIGCONT)
            over.wait(GOES_S)

    thread = threading.Thread(target=crawl)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def blocks_of(run):
    """Give how many blocks are durable, by what the agent was told."""
    return len(run._agent._protocol.committed)


def test_a_slow_worker_does_not_hold_the_others(serve):
    service = serve("--workers", "2")
    slow, _ = until(lambda: pids if len(pids := sorted(service.children("worker"))) == 2 else None)
    pacer = Pacer(PLAN.rate_hz)
    with open_run(service.ingest, PLAN, keep_raw=True, overrun="block") as run, crawling(slow):
        began = time.monotonic()
        for number, frame in enumerate(FRAMES):
            pacer.wait(number)
            run.send(frame)
        took = time.monotonic() - began
        durable = blocks_of(run)
        held = run.held
    assert run.sealed.status == "complete"
    assert took < 1.25 * PLAN.frames / PLAN.rate_hz, "the camera was held up"
    assert durable >= len(PLAN.blocks) // 2, f"only {durable} blocks while it went on, {held} frames held"
    report = verify(Path(run.store))
    assert report.ok, report.problems
    np.testing.assert_array_equal(zarr.open_group(run.store, mode="r")["raw/0"][...].reshape(FRAMES.shape), FRAMES)


def test_a_run_belongs_to_the_agent_that_opened_it(serve):
    service = serve()
    with open_run(service.ingest, PLAN, name="mine", keep_raw=True) as run:
        for frame in FRAMES[:300]:
            run.send(frame)
        with pytest.raises(RefusedError, match="name taken"):
            open_run(service.ingest, PLAN, name="mine")
        for frame in FRAMES[300:]:
            run.send(frame)
    assert run.sealed.status == "complete"
    np.testing.assert_array_equal(zarr.open_group(run.store, mode="r")["raw/0"][...].reshape(FRAMES.shape), FRAMES)
