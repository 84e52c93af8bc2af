"""Prometheus metrics: the latest report, translated when asked for, nothing counted twice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psutil
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from ..stream.report import STAGES, RunReport, ServiceReport, StageReport
from ..stream.telemetry import BUCKETS_S
from .alarms import ALARM, ALARMS, WARNING
from .catalogue_watch import CATALOGUE_ALARMS
from .feed import Feed
from .verdict import seen, silent

VERDICTS = ("RECORDING", "DEGRADED", "IDLE", "NO DATA")


@dataclass
class Viewers:
    """What the web process itself does, for its own metrics.

    Attributes
    ----------
    open : int
        Preview connections now.
    sent : int
        Preview frames sent since the process started.
    """

    open: int = field(default=0)
    sent: int = field(default=0)


class ReportCollector:
    """Collector over the latest report; without one every series is there and zero.

    Parameters
    ----------
    feed : Feed
        Where the report comes from.
    viewers : Viewers
        Counts of the web process.
    version : str
        Version of octostream.
    now_ns : callable
        Wall clock, nanoseconds.
    """

    def __init__(self, feed: Feed, viewers: Viewers, version: str, now_ns: Callable[[], int]) -> None:
        self._feed = feed
        self._viewers = viewers
        self._version = version
        self._now_ns = now_ns

    def collect(self) -> Iterator[Metric]:
        """Give every metric family."""
        report = self._feed.report()
        age_s = None if report is None else max(0.0, (self._now_ns() - report.time_ns) / 1e9)
        yield _info(self._version)
        yield _verdict(report, age_s)
        yield _gauge("report_age_seconds", "Time since the head last spoke.", math.inf if age_s is None else age_s)
        yield _gauge("preview_viewers", "Preview connections.", self._viewers.open)
        yield _counter("preview_frames_sent", "Preview frames sent to viewers.", self._viewers.sent)
        yield _gauge("ready", "1 if new runs can start.", float(_ready(report, age_s)))
        known = report or ServiceReport(time_ns=0, verdict="NO DATA", reason="")
        yield _alarms(known)
        yield from _memory(known)
        yield from _service(known)
        yield from _runs(known)
        yield from _stages(known)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"octostream_{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"octostream_{name}", text, value=value)


def _info(version: str) -> Metric:
    info = GaugeMetricFamily("octostream_build_info", "Version of octostream; always 1.", labels=["version"])
    info.add_metric([version], 1)
    return info


def _verdict(report: ServiceReport | None, age_s: float | None) -> Metric:
    word, _ = seen(report, age_s)
    family = GaugeMetricFamily("octostream_verdict", "1 for the present verdict, 0 for the others.", labels=["verdict"])
    for verdict in VERDICTS:
        family.add_metric([verdict], float(verdict == word))
    return family


def _alarms(report: ServiceReport) -> Metric:
    levels = {alarm.name: ALARM if alarm.severity == "alarm" else WARNING for alarm in report.alarms}
    family = GaugeMetricFamily("octostream_alarm", "0: nothing, 1: a warning stands, 2: an alarm.", labels=["name"])
    for name in (*ALARMS, *CATALOGUE_ALARMS):
        family.add_metric([name], levels.get(name, 0))
    return family


def _memory(report: ServiceReport) -> Iterator[Metric]:
    workers = report.workers
    yield _gauge("workers_resident_memory_bytes", "Resident memory of all workers.", sum(w.rss_bytes for w in workers))
    limit = sum(w.memory_bytes for w in workers)
    yield _gauge("workers_memory_limit_bytes", "What all workers together may have resident.", limit)
    yield _gauge("head_resident_memory_bytes", "Resident memory of the head.", report.head_rss_bytes)
    own = psutil.Process().memory_info().rss
    yield _gauge("web_resident_memory_bytes", "Resident memory of the web process.", own)


def _ready(report: ServiceReport | None, age_s: float | None) -> bool:
    return report is not None and not silent(age_s) and not report.not_ready and not report.draining


def _service(report: ServiceReport) -> Iterator[Metric]:
    full_s = report.time_to_full_s
    yield _gauge("draining", "1 if the service is shutting down.", float(report.draining))
    yield _gauge("workers", "Known workers.", len(report.workers))
    yield _gauge("workers_ready", "Workers that are ready.", sum(w.ready for w in report.workers))
    yield _gauge("workers_troubled", "Workers that cannot commit.", sum(bool(w.trouble) for w in report.workers))
    yield _gauge("storage_free_bytes", "Free space under the data directory.", report.disk_free_bytes)
    yield _gauge("storage_size_bytes", "Size of the file system of the data directory.", report.disk_total_bytes)
    yield _gauge("storage_reserve_bytes", "Below this nothing is committed.", report.disk_reserve_bytes)
    text = "Time until the reserve is reached at the present rate; +Inf while nothing is written."
    yield _gauge("storage_time_to_full_seconds", text, math.inf if full_s is None else full_s)
    yield _gauge("write_bytes_per_second", "Bytes of products written per second.", report.write_bytes_per_s)
    yield _counter("refused_connections", "Connections of agents that were not let in.", report.refused_connections)
    yield _counter("malformed_messages", "Messages that made no sense.", report.malformed_messages)


def _runs(report: ServiceReport) -> Iterator[Metric]:
    live = [run for run in report.runs if run.status == "recording"]
    yield _gauge("runs_recording", "Runs that are recording.", len(live))
    yield _gauge("recording_frames_per_second", "Frames reduced per second.", sum(r.rate_hz or 0 for r in live))
    yield _gauge("recording_target_frames_per_second", "Planned frame rate.", sum(r.target_hz or 0 for r in live))
    yield _gauge("recording_frames_lost", "Frames that the open runs have lost.", sum(r.lost for r in live))
    last_ns = max((run.last_frame_ns for run in report.runs), default=0)
    yield _gauge("last_frame_timestamp_seconds", "When the newest frame was complete at the camera.", last_ns / 1e9)
    yield _latency(live)


def _latency(live: list[RunReport]) -> Metric:
    text = "Time from camera to reduced and to durable, the slowest open run; NaN where there is none."
    family = GaugeMetricFamily("octostream_frame_latency_seconds", text, labels=["until", "quantile"])
    for until in ("reduced", "durable"):
        for key, quantile in (("p50", "0.5"), ("p99", "0.99")):
            maps = (run.reduced_ms if until == "reduced" else run.durable_ms for run in live)
            values = [ms for values in maps if (ms := values.get(key)) is not None]
            family.add_metric([until, quantile], max(values) / 1000 if values else math.nan)
    return family


def _stages(report: ServiceReport) -> Iterator[Metric]:
    given = {stage.name: stage for stage in report.stages}
    stages = [given.get(name, StageReport(name)) for name in STAGES]
    for name, text, value in (
        ("stage_frames", "Frames that passed the stage.", lambda s: s.frames_total),
        ("stage_bytes", "Bytes that passed the stage.", lambda s: s.bytes_total),
        ("stage_frames_lost", "Frames lost at the stage.", lambda s: s.lost),
    ):
        counter = CounterMetricFamily(f"octostream_{name}", text, labels=["stage"])
        for stage in stages:
            counter.add_metric([stage.name], value(stage))
        yield counter
    for name, text, value in (
        ("queue_frames", "Frames waiting in front of the stage.", lambda s: s.queue),
        ("queue_capacity_frames", "Frames that may wait in front of the stage.", lambda s: s.queue_capacity),
        ("queue_fill_ratio", "Fill of the stage's fullest queue that should not be full.", lambda s: s.fill),
    ):
        gauge = GaugeMetricFamily(f"octostream_{name}", text, labels=["stage"])
        for stage in stages:
            gauge.add_metric([stage.name], value(stage))
        yield gauge
    text = "Time that the stage took for a frame (write: for a block)."
    histogram = HistogramMetricFamily("octostream_stage_duration_seconds", text, labels=["stage"])
    for stage in stages:
        histogram.add_metric([stage.name], _buckets(stage), stage.duration_sum_s)
    yield histogram


def _buckets(stage: StageReport) -> list[tuple[str, float]]:
    counts = stage.buckets or tuple((bound, 0) for bound in BUCKETS_S)
    return [*((repr(float(bound)), float(n)) for bound, n in counts), ("+Inf", float(stage.durations))]
