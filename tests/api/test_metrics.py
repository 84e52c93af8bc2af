"""Prometheus text, parsed by Prometheus' own parser."""

from __future__ import annotations

import math

import pytest
from octostream.api.catalogue_watch import LAGS_S
from octostream.api.feed import LatestFeed
from octostream.api.metrics import BUCKETS_S, STAGES, ReportCollector, Viewers
from octostream.stream.report import Alarm, ServiceReport
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


def scrape(report: ServiceReport | None, now_ns: int = 0, viewers: Viewers | None = None) -> list[Sample]:
    feed = LatestFeed()
    if report is not None:
        feed.put_report(report)
    registry = CollectorRegistry()
    registry.register(
        ReportCollector(feed, viewers or Viewers(), "0.1.0", lambda: now_ns or (report.time_ns if report else 0))
    )
    text = generate_latest(registry).decode()
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def value(samples: list[Sample], name: str, /, **labels: str) -> float:
    found = [s.value for s in samples if s.name == f"octostream_{name}" and labels.items() <= s.labels.items()]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def test_series_are_the_same_before_the_first_report_and_in_a_run(make, data) -> None:
    empty = scrape(None)
    live = scrape(make["report"](make["run"](data)))
    buckets = "octostream_stage_duration_seconds_bucket"
    names = [{(s.name, tuple(s.labels.items())) for s in samples if s.name != buckets} for samples in (empty, live)]
    assert names[0] == names[1]
    assert {s.labels["stage"] for s in empty if s.name == buckets} == set(STAGES)


def test_before_the_first_report_counters_are_zero_and_nobody_is_ready() -> None:
    samples = scrape(None)
    assert all(s.value == 0 for s in samples if s.name.endswith(("_total", "_bucket", "_count", "_sum")))
    assert value(samples, "ready") == 0
    assert value(samples, "verdict", verdict="NO DATA") == 1
    assert value(samples, "report_age_seconds") == math.inf
    bounds = [s.labels["le"] for s in samples if s.name.endswith("_bucket") and s.labels["stage"] == "reduce"]
    assert [float(b) for b in bounds] == [*BUCKETS_S, math.inf]
    assert BUCKETS_S[0] == 0.0005


def test_numbers_are_those_of_the_report(make, data) -> None:
    alarms = (Alarm("disk_full", "alarm", "full", 1), Alarm("queue_write", "warning", "fills up", 1))
    report = make["report"](make["run"](data, lost=3), alarms=alarms, head_rss_bytes=90_000_000)
    samples = scrape(report, viewers=Viewers(open=2, sent=40))
    assert value(samples, "build_info", version="0.1.0") == 1
    assert value(samples, "ready") == 1
    assert value(samples, "verdict", verdict="RECORDING") == 1
    assert value(samples, "verdict", verdict="IDLE") == 0
    assert value(samples, "runs_recording") == 1
    assert value(samples, "recording_frames_lost") == 3
    assert value(samples, "stage_frames_total", stage="reduce") == 1100
    assert value(samples, "queue_frames", stage="send") == 3
    assert value(samples, "queue_capacity_frames", stage="send") == 64
    assert value(samples, "stage_duration_seconds_bucket", stage="write", le="0.01") == 900
    assert value(samples, "stage_duration_seconds_bucket", stage="write", le="+Inf") == 1100
    assert value(samples, "stage_duration_seconds_count", stage="write") == 1100
    assert value(samples, "stage_duration_seconds_sum", stage="write") == 8.5
    assert value(samples, "frame_latency_seconds", until="durable", quantile="0.99") == pytest.approx(1.13)
    assert value(samples, "frame_latency_seconds", until="reduced", quantile="0.5") == pytest.approx(0.0142)
    assert value(samples, "storage_time_to_full_seconds") == pytest.approx((412e9 - 5e9) / 150e6)
    assert value(samples, "workers_resident_memory_bytes") == 810_000_000
    assert value(samples, "workers_memory_limit_bytes") == 3_000_000_000
    assert value(samples, "head_resident_memory_bytes") == 90_000_000
    assert value(samples, "web_resident_memory_bytes") > 1_000_000
    assert value(samples, "queue_fill_ratio", stage="write") == 0.8
    assert value(samples, "alarm", name="queue_write") == 1
    assert value(samples, "alarm", name="disk_full") == 2
    assert value(samples, "alarm", name="frames_lost") == 0
    assert value(samples, "preview_viewers") == 2
    assert value(samples, "preview_frames_sent_total") == 40


def test_a_silent_head_is_not_ready_and_has_no_data(make, data) -> None:
    report = make["report"](make["run"](data))
    samples = scrape(report, now_ns=report.time_ns + 4_000_000_000)
    assert value(samples, "ready") == 0
    assert value(samples, "verdict", verdict="NO DATA") == 1
    assert value(samples, "report_age_seconds") == pytest.approx(4)


def test_no_label_grows_with_the_runs(make, data) -> None:
    labels = {tuple(sorted(s.labels)) for s in scrape(make["report"](make["run"](data)))}
    assert labels == {(), ("version",), ("verdict",), ("name",), ("stage",), ("le", "stage"), ("quantile", "until")}


def test_the_catalogue_is_told_of_where_there_is_one(service, make, data, catalogue) -> None:
    def samples() -> list[Sample]:
        text = service.http.get(f"{service.url}/metrics").text
        return [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def until(registered: int, parked: int) -> list[Sample]:
        def shown() -> bool:
            seen = samples()
            told = value(seen, "catalogue_registered_runs"), value(seen, "catalogue_entries", state="parked")
            return told == (registered, parked)

        make["wait"](shown)
        return samples()

    make["wait"](lambda: service.catalogue._version is not None)
    runs = [make["run"](data, f"r-{n}", investigation="inv") for n in range(5)]
    for run in runs:
        catalogue.told(run, "sealed", ago_s=100)
    for lag_s in (0.25, 0.3, 100_000):
        catalogue.delivered(lag_s, reduced=1)
    catalogue.parked("no such visit", "create it")
    seen = until(3, 1)
    assert value(seen, "catalogue_entries", state="queued") == 1
    assert value(seen, "catalogue_oldest_pending_seconds") == pytest.approx(100, abs=30)
    buckets = [(s.labels["le"], s.value) for s in seen if s.name == "octostream_catalogue_lag_seconds_bucket"]
    assert [float(bound) for bound, _ in buckets] == [*LAGS_S, math.inf]
    assert [count for _, count in buckets] == [0, 1, *[2] * 9, 3]
    assert value(seen, "catalogue_lag_seconds_count") == 3
    assert value(seen, "catalogue_lag_seconds_sum") == pytest.approx(100_000.55)
    catalogue.outbox.retry()
    for _ in range(2):
        catalogue.delivered(0.2, reduced=1)
    seen = until(5, 0)
    assert value(seen, "catalogue_oldest_pending_seconds") == 0
    assert value(seen, "catalogue_lag_seconds_bucket", le="0.25") == 3
    assert not any("inv" in label for s in seen for label in s.labels.values())


def test_the_route_serves_prometheus_text(service, make, data) -> None:
    service.feed.put_report(make["report"](make["run"](data, "secret-run-name")))
    answer = service.http.get(f"{service.url}/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert {f.name for f in text_string_to_metric_families(answer.text)} >= {
        "octostream_verdict",
        "octostream_stage_frames",
    }
    assert "secret" not in answer.text
