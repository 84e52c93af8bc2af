"""The numbers that the head adds up: counters never fall, and nobody is counted twice."""

from __future__ import annotations

from dataclasses import asdict, replace

from hypothesis import given
from hypothesis import strategies as st
from octostream.api.alarms import LOST_GPU
from octostream.api.picture import SILENT_WORKERS, WORKER_S, Disk, Picture
from octostream.api.run_account import RunAccount
from octostream.stream import messages as m
from octostream.stream.head_protocol import HeadProtocol, Worker
from octostream.stream.model import Plan, Run
from octostream.stream.report import IN_PLACE_OF_GPU
from octostream.stream.telemetry import StageMeter


class Service:
    """A picture, and workers of which each counts what it received."""

    def __init__(self) -> None:
        self.picture = Picture(HeadProtocol("http://localhost"), lambda: Disk(10, 10, 1), 2**40)
        self.counts: dict[str, int] = {}
        self.now = 100.0

    def says(self, worker: str, more: int) -> None:
        count = self.counts[worker] = self.counts.get(worker, 0) + more
        stage = asdict(replace(StageMeter("receive").report(self.now), frames_total=count))
        stats = m.Stats(worker, (stage,), 1, "", {}, malformed=count, refused=2 * count)
        self.picture.count_stats(stats, self.now)

    def totals(self) -> tuple[int, int, int]:
        report = self.picture.report(self.now, 0, 0)
        received = next(stage.frames_total for stage in report.stages if stage.name == "receive")
        return received, report.malformed_messages, report.refused_connections

    @property
    def truth(self) -> tuple[int, int, int]:
        count = sum(self.counts.values())
        return count, count, 2 * count


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.sampled_from([0.5, WORKER_S + 1])), max_size=30))
def test_a_worker_that_was_silent_and_comes_back_is_counted_once(said: list[tuple[int, int, float]]) -> None:
    service = Service()
    for worker, more, pause in said:
        service.says(f"w{worker}", more)
        assert service.totals() == service.truth
        service.now += pause
        assert service.totals() == service.truth


def test_a_silent_worker_is_not_shown() -> None:
    service = Service()
    service.says("w0", 3)
    assert [worker.id for worker in service.picture.report(service.now, 0, 0).workers] == ["w0"]
    service.now += WORKER_S + 1
    assert service.picture.report(service.now, 0, 0).workers == ()


def test_counters_outlive_any_number_of_workers() -> None:
    service = Service()
    for number in range(2 * SILENT_WORKERS):
        service.says(f"w{number}", 1)
        service.now += WORKER_S + 1
        assert service.totals() == service.truth
    assert len(service.picture._counted) <= SILENT_WORKERS + 1
    for number in range(SILENT_WORKERS + 1, 2 * SILENT_WORKERS):
        service.says(f"w{number}", 1)
        assert service.totals() == service.truth


def test_the_device_of_a_worker_is_shown_and_a_lost_gpu_is_an_alarm() -> None:
    service, full = Service(), f"{IN_PLACE_OF_GPU}: the GPU has no 12 MiB free"
    for device, alarms in (("Made-up GPU", []), (full, ["gpu_lost"]), (LOST_GPU, ["gpu_lost"])):
        service.picture._protocol.workers[b"w0"] = Worker("w0", "worker-0", "tcp://w0", device, service.now)
        service.says("w0", 1)
        report = service.picture.report(service.now, 0, 0)
        assert [worker.device for worker in report.workers] == [device]
        assert [alarm.name for alarm in report.alarms] == alarms
    assert report.alarms[0].text == f"w0 works on the {LOST_GPU}"


def test_a_series_that_does_not_follow_is_a_warning_and_no_trouble_of_the_store() -> None:
    service = Service()
    run = Run("id", "fish", "local", Plan((1, 1, 1, 4, 4)), {}, "/nowhere", False, 1)
    account = service.picture.accounts["id"] = RunAccount(run)
    account.following = "the series failed"
    alarms = service.picture.report(service.now, 0, 0).alarms
    assert [(a.name, a.severity, a.text) for a in alarms] == [("series_trouble", "warning", "fish: the series failed")]
    account.trouble = "the disk is away"
    alarms = service.picture.report(service.now, 0, 0).alarms
    assert [(a.name, a.severity) for a in alarms] == [("store_trouble", "alarm"), ("series_trouble", "warning")]
