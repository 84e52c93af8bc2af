"""What the worker's thread counts while it hands a block over."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from octostream.stream import worker as worker_module
from octostream.stream.histogram import Histogram
from octostream.stream.model import Frame, FrameStats, Plan
from octostream.stream.worker import Worker, WorkerSettings

PLAN = Plan((1, 1, 3, 4, 4))


@pytest.fixture
def worker(tmp_path):
    made = Worker(WorkerSettings("w", "s", f"ipc://{tmp_path}/head", "tcp://127.0.0.1:*"), prepare=None)
    yield made
    made._close()


def test_the_wait_for_a_gpu_is_time_of_the_stage_reduce(worker, monkeypatch):
    now, jobs = [100.0], []

    def stats(number):
        now[0] += 0.1 if number == 2 else 0  # the last frame is still under way
        return FrameStats(number, number, number, 0)

    monkeypatch.setattr(worker_module, "perf_counter", lambda: now[0])
    monkeypatch.setattr(worker_module, "monotonic_s", lambda: now[0])
    slot = SimpleNamespace(reducer=SimpleNamespace(stats=stats), reduced=Histogram())
    here = SimpleNamespace(
        slots={0: slot},
        prepared=SimpleNamespace(run=SimpleNamespace(plan=PLAN)),
        writing=SimpleNamespace(put=jobs.append),
    )
    worker._hand_over(here, 0, tuple(Frame(number, 0, 0) for number in range(3)))
    (job,) = jobs
    assert [each.min for each in job.stats] == [0, 1, 2]
    report = worker._reduce.report(101.0)
    assert (report.frames_total, report.durations) == (0, 1)
    assert report.duration_sum_s == pytest.approx(0.1)
