"""``octostream demo`` as a newcomer runs it: whole system, real rate, real recording, verdict."""

import json
import os
import shutil
import signal

import httpx
import pytest

from .conftest import until

pytestmark = [pytest.mark.system, pytest.mark.rate]

RATE_HZ = 95.0


@pytest.fixture
def cache(tmp_path, lattice):
    """Keep the test from fetching 52 MB each time; the checksum is checked all the same."""
    folder = tmp_path / "cache"
    folder.mkdir()
    shutil.copy(lattice, folder / "lattice_lightsheet_raw.tif")
    return {"OCTOSTREAM_CACHE": str(folder)}


@pytest.mark.timeout(400)
def test_camera_rate_complete_and_verified(command, cache, tmp_path):
    """2048x2048 at 100 Hz, everything durable. Machines are shared: the best of four counts, within 5 %.

    What a quiet machine holds is measured by hand (docs/performance.md): a slow neighbour is no reason to fail.
    """
    best = 0.0
    for attempt in range(4):
        data = tmp_path / f"data{attempt}"
        demo = command("demo", "--seconds", "4", "--json", "--data", data, env=cache)
        assert demo.wait(110) == 0, demo.err[-5:]
        result = json.loads(demo.out[-1])
        assert result["verified"] is True
        assert (result["frames_expected"], result["frames_stored"], result["frames_lost"]) == (440, 440, 0)
        assert result["store"].startswith(str(data))
        assert result["dashboard"].startswith("http://127.0.0.1:")
        for stage in ("reduced", "durable"):
            assert 0 < result["latency_ms"][stage]["p50"] <= result["latency_ms"][stage]["p99"]
        assert any("dashboard" in line for line in demo.err)
        assert any("440 sent, 440 stored, 0 lost" in line for line in demo.err)
        shutil.rmtree(data)
        best = max(best, result["rate_hz"])
        if best >= RATE_HZ:
            break
    assert best >= RATE_HZ


def test_service_stays_up_when_asked(command, cache, tmp_path):
    demo = command("demo", "--seconds", "0.5", "--hold", "--data", tmp_path / "data", env=cache)
    dashboard = until(lambda: next((line.split()[1] for line in demo.out if line.startswith("dashboard")), None), 90)
    until(lambda: any("stays up" in line for line in demo.out), 90)
    assert httpx.get(dashboard).status_code == 200
    until(lambda: [r["status"] for r in httpx.get(dashboard + "api/v1/runs").json()["runs"]] == ["complete"], 10)
    demo.signal(signal.SIGINT)
    assert demo.wait(40) == 0, demo.err


def test_interrupted_demo_seals_and_fails(command, cache, tmp_path):
    demo = command("demo", "--seconds", "60", "--json", "--data", tmp_path / "data", env=cache)
    until(lambda: any(line.startswith("recording") for line in demo.err), 90)
    os.killpg(demo.process.pid, signal.SIGINT)  # as a terminal does
    assert demo.wait(60) == 1
    result = json.loads(demo.out[-1])
    assert result["status"] == "incomplete"
    assert result["frames_stored"] == result["frames_sent"] > 0
    assert not any("Traceback" in line for line in demo.err), demo.err
