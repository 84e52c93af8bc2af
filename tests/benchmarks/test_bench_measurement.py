"""What several runs say together, and how it is shown."""

import json
import re
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octostream.benchmarks.machine import Machine, file_system, this_machine
from octostream.benchmarks.measurement import Measurement, Result, ratios
from octostream.benchmarks.table import HEAD, aligned, machine_lines, notes, rows

LATENCY = {"reduced": {"p50": 10.0, "p99": 20.0}, "durable": {"p50": 300.0, "p99": 500.0}}


def measured(frames=100, seconds=1.0, **changes):
    facts = {"cpu_s": {"agent": 0.5, "service": 1.5}, "peak_bytes": 10**9, "raw_bytes": 8 * frames, "stored_bytes": 0}
    return Measurement(frames=frames, seconds=seconds, **{**facts, **changes})


def result(name="ours", rates=(100.0,), **changes):
    return Result(name, f"what {name} does", "", tuple(measured(round(10 * r), 10.0, **changes) for r in rates))


MEASUREMENTS = st.builds(
    Measurement,
    frames=st.integers(1, 10**6),
    seconds=st.floats(1e-3, 1e4),
    cpu_s=st.fixed_dictionaries({"agent": st.floats(0, 1e3), "service": st.floats(0, 1e3)}),
    peak_bytes=st.integers(0, 2**40),
    raw_bytes=st.integers(0, 2**50),
    stored_bytes=st.integers(0, 2**50),
    latency_ms=st.just(LATENCY) | st.just({}),
)


@settings(deadline=None)
@given(MEASUREMENTS)
def test_a_measurement_survives_json(measurement):
    assert Measurement.from_json(json.loads(json.dumps(measurement.to_json()))) == measurement


@settings(deadline=None)
@given(st.lists(MEASUREMENTS, min_size=1, max_size=7))
def test_runs_are_summed_up_by_median_and_spread(measurements):
    summed = Result("a", "b", "", tuple(measurements))
    rates = [m.frames / m.seconds for m in measurements]
    assert summed.rate_hz == pytest.approx(median(rates))
    assert summed.spread_hz == pytest.approx((min(rates), max(rates)))
    assert summed.spread_hz[0] <= summed.rate_hz <= summed.spread_hz[1]
    agent = [1000 * m.cpu_s["agent"] / m.frames for m in measurements]
    assert summed.cpu_ms["agent"] == pytest.approx(median(agent))
    assert summed.peak_bytes == max(m.peak_bytes for m in measurements)
    assert summed.stored_mb == pytest.approx(median(m.stored_bytes / m.frames / 1e6 for m in measurements))
    json.dumps(summed.to_json(), allow_nan=False)


def test_latencies_are_medians_of_the_runs_that_know_them():
    fast = measured(latency_ms={"durable": {"p50": 100.0, "p99": None}})
    slow = measured(latency_ms={"durable": {"p50": 300.0, "p99": 500.0}})
    summed = Result("a", "b", "", (fast, slow, measured()))
    assert summed.latency_ms == {"durable": {"p50": 200.0, "p99": 500.0}}


def test_ratios_are_ours_over_theirs_and_leave_out_who_did_not_run():
    ours = result(rates=(90.0, 150.0, 120.0))
    theirs = result("theirs", rates=(10.0, 60.0, 40.0))
    absent = Result("absent", "x", "not installed")
    assert ratios(ours, [theirs, absent]) == {"theirs": pytest.approx(3.0)}


def test_the_table_has_a_row_for_each_and_ratios_only_for_those_compared():
    absent = Result("absent", "writes", "not installed: do this")
    results = [result(rates=(150.0,)), result("theirs", rates=(50.0, 40.0, 60.0)), absent, result("paced", (99.0,))]
    table = rows(results, compared=3)
    assert [row[0] for row in table] == ["ours", "theirs", "absent", "paced"]
    assert {len(row) for row in table} == {len(HEAD)}
    column = HEAD.index("ours/theirs")
    assert [row[column] for row in table] == ["", "3.00", "–", ""]
    assert table[1][1:3] == ("50.0", "40.0–60.0")
    assert table[0][HEAD.index("CPU ms/frame")] == "1.33"
    assert table[0][HEAD.index("memory MB")] == "1000"


def test_lines_of_a_table_end_under_each_other_and_lose_nothing():
    lines = aligned(
        [HEAD, ("a long name", "1.0", "0.5–1.5", "", "3", "4", "5"), ("b", "100.0", "", "2", "3", "4", "5")]
    )
    assert len({len(line) for line in lines}) == 1
    assert lines[1].split() == ["a", "long", "name", "1.0", "0.5–1.5", "3", "4", "5"]
    end = lines[0].index("frames/s") + len("frames/s")
    assert [line[:end][-5:].strip() for line in lines[1:]] == ["1.0", "100.0"]


def test_notes_say_what_each_does_what_is_missing_and_how_late_frames_are():
    results = [result(latency_ms=LATENCY), Result("absent", "writes", "not installed: do this")]
    said = notes(results)
    assert "ours: what ours does" in said
    assert "ours, CPU a frame: agent 0.50 ms, service 1.50 ms" in said
    assert "ours, camera → durable: p50 300.0 ms, p99 500.0 ms" in said
    assert said[-2:] == ["absent: writes", "absent: not installed: do this"]


def test_this_machine_is_described(tmp_path):
    machine = this_machine(tmp_path)
    assert machine.cpu
    assert machine.cores >= 1
    assert machine.memory_bytes > 2**28
    assert machine.versions["octostream"]
    assert machine.versions["zarr"].startswith("3.")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", machine.date)
    json.dumps(machine.to_json())


def test_lines_about_the_machine_name_what_counts_and_leave_out_what_is_missing():
    versions = {"octostream": "1.2.3", "zarr": "3.1", "acquire-zarr": ""}
    machine = Machine("2026-01-01T00:00:00+00:00", "A CPU", 2, 8 * 2**30, 0.25, "ext4", "Linux 6", "3.11.7", versions)
    assert machine_lines(machine) == [
        "A CPU, 2 cores, 8.0 GiB memory, ext4",
        "Linux 6, Python 3.11.7, octostream 1.2.3, zarr 3.1",
        "2026-01-01T00:00:00+00:00, load 0.25 at the start",
    ]


def test_the_file_system_is_that_of_the_nearest_mount(tmp_path):
    mounts = [("/", "root"), (str(tmp_path), "near"), (str(tmp_path / "other"), "other"), ("/nowhere", "far")]
    assert file_system(tmp_path / "data", mounts) == "near"
    assert file_system(tmp_path / "otherwise", mounts) == "near"
    assert file_system(tmp_path, []) == "unknown"
