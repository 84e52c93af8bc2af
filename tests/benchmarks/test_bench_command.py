"""``octostream bench`` as a user runs it, small."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest


@pytest.fixture
def start(lattice, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / lattice.name).symlink_to(lattice)
    started = []

    def popen(*arguments):
        command = [sys.executable, "-m", "octostream", "bench", "--data", str(tmp_path / "data"), *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = {**os.environ, "OCTOSTREAM_CACHE": str(cache)}
        started.append(subprocess.Popen(command, text=True, env=environment, start_new_session=True, **pipes))
        return started[-1]

    yield popen
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def bench(start):
    def run(*arguments):
        process = start(*arguments)
        out, err = process.communicate(timeout=100)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return run


@pytest.mark.system
def test_the_whole_contest(bench, tmp_path):
    done = bench("--size", "256x256", "--seconds", "0.3", "--runs", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip().splitlines()) == 1
    facts = json.loads(done.stdout)
    assert (facts["size"], facts["seconds"], facts["runs"]) == ([256, 256], 0.3, 1)
    assert facts["machine"]["cores"] >= 1
    results = {r["name"]: r for r in facts["results"]}
    assert len(results) == 7
    for name, result in results.items():
        if result["missing"]:
            assert name.startswith("acquire-zarr")
            continue
        (run,) = result["runs"]
        assert run["frames"] % 88 == 0, name
        assert result["rate_hz"] == pytest.approx(run["frames"] / run["seconds"])
        assert run["raw_bytes"] == run["frames"] * 256 * 256 * 2, name
        assert (run["stored_bytes"] > 0) == ("pipe" not in name), name
        assert run["peak_bytes"] > 10**7, name
    ours, paced = results["octostream"], results["octostream at 100 Hz"]
    assert ours["cpu_ms_per_frame"].keys() == {"agent", "service"}
    assert min(ours["cpu_ms_per_frame"].values()) > 0
    assert 0 < ours["latency_ms"]["reduced"]["p50"] <= ours["latency_ms"]["durable"]["p99"]
    assert 0 < paced["latency_ms"]["reduced"]["p50"] <= paced["latency_ms"]["durable"]["p99"]
    assert paced["rate_hz"] < 105 < ours["rate_hz"]
    assert ours["stored_mb_per_frame"] == pytest.approx(results["NumPy + zarr-python"]["stored_mb_per_frame"], rel=0.1)
    compared = {name for name, r in results.items() if not r["missing"]} - {"octostream", "octostream at 100 Hz"}
    assert facts["ratios"].keys() == compared
    for name, ratio in facts["ratios"].items():
        assert ratio == pytest.approx(ours["rate_hz"] / results[name]["rate_hz"])
    for name in results:
        assert any(line.startswith(name) for line in done.stderr.splitlines()), name
    assert [p.name for p in (tmp_path / "data").iterdir()] == [".octostream"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--size", "big"], 2, "--size 'big' is not a frame size: write HxW, for example 2048x2048"),
        (["--size", "4x4"], 2, "frames of 4x4 cannot be compared: give --size from 16x16 to 8192x8192"),
        (["--seconds", "3e4"], 1, "the run needs"),
    ],
)
def test_what_cannot_be_done_is_one_line(bench, tmp_path, arguments, code, said):
    done = bench(*arguments)
    assert done.returncode == code
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert list(tmp_path.glob("data/bench-*")) == []


@pytest.mark.system
def test_ctrl_c_ends_every_process_and_leaves_no_store(start, tmp_path):
    process = start("--size", "64x64", "--seconds", "2", "--runs", "9")
    until(lambda: list(tmp_path.glob("data/bench-*/data/local/*.ome.zarr")))
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 5  # service, head, page, worker, agent
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    assert "Traceback" not in err
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    assert list(tmp_path.glob("data/bench-*")) == []


def until(condition, seconds=60.0):
    """Wait until something holds, at most so long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        threading.Event().wait(0.02)
