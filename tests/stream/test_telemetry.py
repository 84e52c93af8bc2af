import threading
from dataclasses import asdict

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from octostream.stream.histogram import FIRST_S, GROWTH, Histogram
from octostream.stream.report import ServiceReport, stage_report
from octostream.stream.telemetry import BUCKETS_S, StageMeter, add_stages, checked_stage, only_totals

durations = st.lists(st.floats(1e-4, 500), min_size=1, max_size=200)


@given(durations, st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_quantiles_are_right_within_a_bucket(values, q):
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    exact = np.quantile(values, q, method="inverted_cdf")
    assert exact / GROWTH**1.01 <= histogram.quantile_s(q) <= exact * GROWTH**1.01


@given(durations, durations)
def test_merging_is_observing_both(a, b):
    one, two, both = Histogram(), Histogram(), Histogram()
    for value in a:
        one.observe(value)
        both.observe(value)
    for value in b:
        two.observe(value)
        both.observe(value)
    one.merge(two.counts, two.total_s)
    assert one.counts == both.counts
    assert one.count == len(a) + len(b)


def test_ends_of_the_histogram():
    histogram = Histogram()
    histogram.observe(-1.0)
    histogram.observe(1e9)
    assert histogram.quantile_s(0.0) <= FIRST_S
    assert histogram.count == 2
    assert Histogram().quantile_s(0.5) is None


def test_meter_counts_rate_and_totals():
    meter = StageMeter("reduce")
    for k in range(1000):
        meter.observe(100 + k / 100, 0.002, 1, 8)
    report = meter.report(110.0)
    assert report.rate_hz == 100
    assert (report.frames_total, report.bytes_total, report.durations) == (1000, 8000, 1000)
    assert abs(report.p50_ms - 2) < 0.2
    assert dict(report.buckets)[0.0025] == 1000
    assert dict(report.buckets)[0.001] == 0
    assert [bound for bound, _ in report.buckets] == list(BUCKETS_S)
    quiet = meter.report(130.0)
    assert (quiet.rate_hz, quiet.p50_ms, quiet.frames_total) == (0, None, 1000)


def test_a_wait_is_time_of_the_stage_and_no_frame():
    meter = StageMeter("reduce")
    meter.observe(100.0, 0.002, 1, 8)
    meter.waited(100.0, 0.0004)
    assert meter.report(101.0).durations == 1
    meter.waited(100.0, 0.3)
    report = meter.report(101.0)
    assert (report.frames_total, report.rate_hz, report.bytes_total, report.durations) == (1, 1, 8, 2)
    assert report.p99_ms > 250


def test_stages_add_up_and_totals_stay():
    a, b = StageMeter("write"), StageMeter("write")
    a.observe(10.0, 0.1, 30, 300)
    b.observe(10.0, 0.4, 10, 100)
    total = add_stages([a.report(11.0), b.report(11.0)])
    assert (total.frames_total, total.rate_hz, total.durations) == (40, 40, 2)
    assert total.p99_ms > 350
    past = only_totals(total)
    assert (past.frames_total, past.rate_hz, past.p99_ms) == (40, 0, None)
    assert stage_report(asdict(total)) == total


def test_sums_of_what_strangers_say_can_still_be_sent():
    most = checked_stage({**asdict(StageMeter("send").report(1.0)), "bytes_total": 2**53, "queue": 2**53})
    total = add_stages([most] * 5000)
    assert msgpack.unpackb(msgpack.packb(asdict(total)))["bytes_total"] == 2**53


def test_report_survives_json():
    stage = StageMeter("send").report(1.0)
    report = ServiceReport(1, "IDLE", "ready", stages=(stage,), disk_free_bytes=5, write_bytes_per_s=2.0)
    assert ServiceReport.from_json(report.to_json()) == report
    assert report.to_json()["time_to_full_s"] == 2.5


def test_reporting_while_another_thread_observes():
    meter = StageMeter("send")
    over = threading.Event()

    def observe():
        now = 0.0
        while not over.is_set():
            now += 0.7
            meter.observe(now, 0.001)

    thread = threading.Thread(target=observe)
    thread.start()
    try:
        for k in range(4000):
            meter.report(k * 0.7)
    finally:
        over.set()
        thread.join(10)


@pytest.mark.parametrize(
    "change",
    [
        {"rate_hz": "fast"},
        {"rate_hz": float("nan")},
        {"queue": 1.5},
        {"name": 3},
        {"buckets": ((0.5, 1),)},
        {"p50_ms": "slow"},
        {"lost": True},
        {"queue": -1},
        {"frames_total": 2**64 - 1},
        {"rate_hz": 1e300},
    ],
)
def test_stage_of_a_stranger_is_checked(change):
    good = asdict(StageMeter("send").report(1.0))
    assert checked_stage(good) == stage_report(good)
    with pytest.raises((TypeError, ValueError)):
        checked_stage({**good, **change})
