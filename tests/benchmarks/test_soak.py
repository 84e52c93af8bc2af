"""The soak: what it calls a leak, and a soak of some seconds with the real processes."""

import os
import random
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from octostream.benchmarks import slopes, soak
from octostream.benchmarks.slopes import Use, Watch, slope, trends
from typer.testing import CliRunner

NO_LEAK = {"store": "", "status": "complete", "frames": 10, "stored": 10, "lost": 0, "late": 0, "raw_bytes": 1}


def watched(rss=lambda s: 500e6, files=lambda s: 20, threads=lambda s: 9, seconds=1200):
    return {"head": [Use(float(s), int(rss(s)), int(files(s)), int(threads(s))) for s in range(seconds)]}


def leaks(uses):
    return {t.what for t in trends(uses, 60.0) if t.leaks}


def test_slope_is_that_of_a_line_and_deaf_to_peaks():
    noise = np.random.default_rng(1).normal(0, 5, 3000)
    values = 3 + 0.25 * np.arange(3000) + noise
    values[::17] += 10_000
    assert slope(range(3000), values) == pytest.approx(0.25, rel=0.02)
    assert slope([1.0], [5.0]) == 0.0
    assert slope([], []) == 0.0


@pytest.mark.parametrize(
    ("uses", "named"),
    [
        (watched(), set()),
        (watched(rss=lambda s: 500e6 + 50e3 * s), {"memory, MB"}),
        (watched(rss=lambda s: 500e6 + 5e3 * s), set()),
        (watched(rss=lambda s: 500e6 - 90e3 * s), set()),
        (watched(rss=lambda s: 500e6 + 90e6 * random.Random(s).random()), set()),
        (watched(rss=lambda s: 500e6 + 300e6 * (s % 60 == 0)), set()),
        (watched(rss=lambda s: 90e6 + 500e6 * (s > 30)), set()),
        (watched(files=lambda s: 20 + s // 60), {"files"}),
        (watched(files=lambda s: 20 + 8 * (s % 60 > 50)), set()),
        (watched(threads=lambda s: 9 + s // 200), {"threads"}),
        (watched(threads=lambda s: 9 + (s > 600)), set()),
    ],
)
def test_what_is_a_leak(uses, named):
    assert leaks(uses) == named


def wait_for(condition, seconds=30.0):
    deadline, tick = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        tick.wait(0.01)


def test_processes_are_looked_at_until_they_end():
    ending = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    watch = Watch({"here": os.getpid(), "ending": ending.pid}, period_s=0.02)
    watch.start()
    wait_for(lambda: len(watch.uses["ending"]) >= 3)
    ending.communicate()
    before = len(watch.uses["here"])
    wait_for(lambda: len(watch.uses["here"]) >= before + 5)
    watch.stop()
    assert len(watch.uses["ending"]) < len(watch.uses["here"])
    assert all(use.rss_bytes > 2**20 and use.files > 2 and use.threads >= 1 for use in watch.uses["here"])


@pytest.mark.parametrize(
    ("runs", "uses", "code", "rc"),
    [
        ([NO_LEAK], watched(), 0, 0),
        ([NO_LEAK], watched(files=lambda s: s), 0, 1),
        ([NO_LEAK, {**NO_LEAK, "lost": 1, "stored": 9, "status": "incomplete"}], watched(), 0, 1),
        ([NO_LEAK], watched(), 1, 1),
        ([], watched(), 0, 1),
        ([NO_LEAK], {}, 0, 1),
    ],
)
def test_verdict(monkeypatch, tmp_path, runs, uses, code, rc):
    said = {"runs": runs, "trends": trends(uses, 60.0), "code": code}
    monkeypatch.setattr(soak, "soak", lambda *arguments: said)
    app = soak.typer.Typer()
    app.command()(soak.main)
    ran = CliRunner().invoke(app, [str(tmp_path)])
    assert ran.exit_code == rc, ran.output
    assert f"{len(runs)} runs" in ran.output
    assert ("GREW" in ran.output) == any(t.leaks for t in said["trends"])


@pytest.mark.system
def test_seconds_of_soak(monkeypatch, lattice):
    """The real processes; in seconds nothing has settled, so a slope is no leak here."""
    for name in ("SLACK_MB", "SLACK_FILES", "SLACK_THREADS"):
        monkeypatch.setattr(slopes, name, 1000.0)
    app = soak.typer.Typer()
    app.command()(soak.main)
    ran = CliRunner().invoke(
        app, [str(lattice), "--minutes", "0.12", "--run-seconds", "3", "--size", "128x128", "--rate", "50"]
    )
    assert ran.exit_code == 0, ran.output
    assert "lost 0" in ran.output
    for process in ("supervisor", "head", "web", "worker", "agent"):
        assert f"| {process} | memory, MB |" in ran.output
