"""Parties die, disks fill, operators interrupt: nothing that was acknowledged is lost, everything else is named."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import ome_zarr_models
import pytest
import tensorstore as ts
import yaozarrs
import zarr
from octostream.sinks.verify import verify

from .conftest import Command, acquire, until

pytestmark = pytest.mark.system

#: 600 frames of 384x300 in stacks of 20, at 100 Hz: six seconds, ten blocks at least.
SOURCE = "simulated:size=384x300,z=20,t=30,seed=5,cells=20"


def start_agent(command, service, *arguments, source=SOURCE, rate="100"):
    return command("acquire", source, "--to", service.ingest, "--rate", rate, "--json", *arguments)


def stored(service, count, run=None):
    """Wait until so many frames are durable; gives the run."""

    def enough():
        report = (service.status() or {}).get("report") or {"runs": ()}
        runs = [r for r in report["runs"] if run is None or r["name"] == run]
        return runs[0] if runs and runs[0]["stored"] >= count else None

    return until(enough, 60)


def same_level0(a, b):
    np.testing.assert_array_equal(zarr.open_group(a, mode="r")["0"][...], zarr.open_group(b, mode="r")["0"][...])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The store of the same run when nothing happens to it."""
    from .conftest import Service

    service = Service(tmp_path_factory.mktemp("undisturbed"))
    try:
        code, agent = acquire(service, SOURCE, "--name", "calm")
        assert code == 0, agent.err
        yield agent.json()["store"]
    finally:
        service.end()


def test_worker_is_killed(serve, command, undisturbed):
    service = serve("--workers", "1")
    agent = start_agent(command, service, "--name", "killed")
    for count in (100, 250):
        stored(service, count)
        (pid,) = until(lambda: service.children("worker"))
        os.kill(pid, signal.SIGKILL)
        until(lambda pid=pid: [p for p in service.children("worker") if p != pid])
    assert agent.wait(90) == 0, agent.err
    result = agent.json()
    assert (result["status"], result["frames_stored"], result["frames_lost"]) == ("complete", 600, 0)
    report = verify(Path(result["store"]))
    assert report.ok, report.problems
    same_level0(result["store"], undisturbed)


def test_one_of_two_workers_is_killed_and_the_other_stopped(serve, command, undisturbed):
    service = serve("--workers", "2")
    agent = start_agent(command, service, "--name", "two")
    stored(service, 100)
    first, second = until(lambda: service.children("worker"))
    os.kill(first, signal.SIGKILL)
    stored(service, 250)
    os.kill(second, signal.SIGSTOP)
    stored(service, 400)
    os.kill(second, signal.SIGCONT)
    assert agent.wait(90) == 0, agent.err
    assert agent.json()["status"] == "complete"
    same_level0(agent.json()["store"], undisturbed)


def test_operator_interrupts_the_agent(serve, command):
    service = serve()
    agent = start_agent(command, service, "--name", "stopped")
    stored(service, 100)
    agent.signal(signal.SIGINT)
    assert agent.wait(60) == 1
    result = agent.json()
    assert result["status"] == "incomplete"
    assert result["frames_stored"] == result["frames_sent"] > 100
    assert result["frames_stored"] + result["frames_lost"] == result["frames_expected"] == 600
    sent = result["frames_sent"]
    assert result["lost"] == [{"first": sent, "last": 599, "where": "source", "why": "stopped by the operator"}]
    ledger = service.get(f"/api/v1/runs/{result['run']}/ledger").json()
    assert ledger["frames_stored"] == sent
    root = zarr.open_group(result["store"], mode="r")
    assert root.attrs["octostream"]["status"] == "incomplete"
    np.testing.assert_array_equal(root["frames/state"][...], [1] * sent + [2] * (600 - sent))
    report = verify(Path(result["store"]))
    assert report.ok, report.problems


@pytest.mark.parametrize("role", ["web", "head"])
def test_page_or_head_dies_mid_run(serve, command, undisturbed, role):
    service = serve()
    agent = start_agent(command, service, "--name", role)
    stored(service, 100)
    (pid,) = service.children(role)
    os.kill(pid, signal.SIGKILL)
    until(lambda: [p for p in service.children(role) if p != pid])
    assert agent.wait(90) == 0, agent.err
    assert agent.json()["status"] == "complete"
    same_level0(agent.json()["store"], undisturbed)
    until(lambda: service.status() and service.get("/readyz").status_code == 200)


def test_service_is_restarted_mid_run(serve, command, undisturbed, tmp_path):
    service = serve()
    agent = start_agent(command, service, "--name", "restart")
    run = stored(service, 100)
    service.signal(signal.SIGTERM)
    service.signal(signal.SIGTERM)  # the second one changes nothing
    assert service.wait(30) == 0, service.err
    assert agent.process.poll() is None
    again = serve(http=service.dashboard.split("//")[1].rstrip("/"), ingest=service.ingest)
    assert agent.wait(90) == 0, agent.err
    assert agent.json()["run"] == run["id"]
    assert agent.json()["status"] == "complete"
    same_level0(agent.json()["store"], undisturbed)
    until(lambda: again.get(f"/api/v1/runs/{run['id']}").json()["status"] == "complete", 10)


def test_agent_never_returns(serve, command):
    service = serve(env={"OCTOSTREAM_AGENT_TIMEOUT_S": "2"})
    agent = start_agent(command, service, "--name", "gone")
    run = stored(service, 60)
    agent.process.kill()
    sealed = until(
        lambda: (r := service.get(f"/api/v1/runs/{run['id']}").json())["status"] == "incomplete" and r, seconds=30
    )
    ledger = service.get(f"/api/v1/runs/{run['id']}/ledger").json()
    assert ledger["frames_stored"] + ledger["frames_lost"] == 600
    assert ledger["frames_stored"] >= 60
    assert "silent" in ledger["lost"][0]["why"]
    report = verify(Path(sealed["store"]))
    assert report.ok, report.problems


def test_disk_fills_and_space_returns(serve, command, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "none", disk], check=False)
    if mounted.returncode:
        assert os.environ.get("CI") != "true", "mounting must be possible under CI"
        pytest.skip("mounting is not permitted here")
    service = None
    try:
        service = serve(data=disk / "data")
        agent = start_agent(command, service, "--name", "full")
        stored(service, 100)
        ballast = disk / "ballast"
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        ballast.write_bytes(bytes(free - 4 * 2**20))
        report = until(lambda: (s := service.status()) and s["verdict"] == "DEGRADED" and s, 30)
        assert "disk" in report["reason"]
        assert service.get("/readyz").status_code == 200
        held = report["report"]["runs"][0]["stored"]
        assert held < 600
        ballast.unlink()
        assert agent.wait(90) == 0, agent.err
        assert agent.json()["status"] == "complete"
        assert verify(Path(agent.json()["store"])).ok
    finally:
        if service:
            service.end()
        subprocess.run(["umount", "-l", disk], check=True)


def test_readers_poll_while_the_store_grows(serve, command):
    """Nobody who reads during the run ever gets an exception, or sees a value change that was there before."""
    service = serve()
    agent = start_agent(command, service, "--name", "live", rate="120")
    run = stored(service, 20)
    until(lambda: zarr.open_group(run["store"], mode="r")["0"].shape[0])
    accepted(run["store"])
    assert agent.process.poll() is None
    seen = np.zeros((0,))
    polls = 0
    while agent.process.poll() is None:
        group = zarr.open_group(run["store"], mode="r")
        level = group["0"][...]
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{run['store']}/projections/xy/0"}}
        maxima = ts.open(spec, read=True).result().read().result()
        both = min(len(maxima), len(level))
        np.testing.assert_array_equal(maxima[:both], level[:both].max(axis=2))
        if seen.size:
            assert level.shape[0] >= seen.shape[0]
            np.testing.assert_array_equal(level[: seen.shape[0]], seen)
        seen = level
        polls += 1
        assert polls < 5000
    assert agent.wait(30) == 0, agent.err
    assert polls > 3
    assert seen.shape[0] > 1
    accepted(run["store"])
    final = zarr.open_group(run["store"], mode="r")["0"][...]
    np.testing.assert_array_equal(final[: seen.shape[0]], seen)


def accepted(store):
    """See that two validators that are not ours take the store and its projections."""
    for image in (store, *(f"{store}/projections/{name}" for name in ("xy", "xz", "yz"))):
        yaozarrs.validate_zarr_store(image)
        ome_zarr_models.open_ome_zarr(zarr.open_group(image, mode="r"))


def test_two_instruments_at_once(serve, command):
    service = serve("--workers", "2")
    first = start_agent(command, service, "--name", "one")
    second = start_agent(command, service, "--name", "two", source=SOURCE.replace("seed=5", "seed=6"))
    assert first.wait(90) == 0, first.err
    assert second.wait(90) == 0, second.err
    assert {first.json()["status"], second.json()["status"]} == {"complete"}


def test_supervisor_killed_leaves_no_orphan(tmp_path):
    from .conftest import Service

    service = Service(tmp_path / "data")
    children = [pid for role in ("head", "web", "worker") for pid in service.children(role)]
    assert len(children) >= 3
    service.process.kill()
    service.wait(10)
    until(lambda: not any(alive(pid) for pid in children), 20)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_interrupted_demo_command_is_not_a_traceback(command, serve):
    service = serve()
    agent: Command = start_agent(command, service, "--name", "twice")
    stored(service, 40)
    agent.signal(signal.SIGINT)
    agent.wait(60)
    assert not any("Traceback" in line for line in agent.err)


@pytest.mark.parametrize("role", ["worker", "head", "web"])
def test_signals_in_bursts_stop_a_process(serve, role):
    """One signal interrupts the handler of another: nothing in there may wait."""
    service = serve()
    (pid,) = service.children(role)
    for _ in range(300):
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            break
    until(lambda: [p for p in service.children(role) if p != pid and alive(p)], 20)
    until(lambda: not alive(pid), 10)


def test_second_service_on_the_same_data_is_refused(serve, command):
    service = serve()
    second = command("serve", "--data", service.data, "--http", "127.0.0.1:0", "--ingest", "tcp://127.0.0.1:0")
    assert second.wait(60) == 2
    assert "another service uses" in second.err[-1]
    assert str(service.data) in second.err[-1]
    until(lambda: service.get("/readyz").status_code == 200)


def test_agent_that_slept_too_long_goes_on(serve, command, undisturbed):
    """The run was sealed for its silence; it is taken up again, and ends complete."""
    service = serve(env={"OCTOSTREAM_AGENT_TIMEOUT_S": "1.5"})
    agent = start_agent(command, service, "--name", "asleep")
    run = stored(service, 40)
    agent.signal(signal.SIGSTOP)
    until(lambda: service.get(f"/api/v1/runs/{run['id']}").json()["status"] == "incomplete", 30)
    agent.signal(signal.SIGCONT)
    assert agent.wait(60) == 0, agent.err
    assert verify(Path(run["store"])).ok
    same_level0(run["store"], undisturbed)


def test_agent_is_terminated(serve, command):
    service = serve()
    agent = start_agent(command, service, "--name", "terminated")
    stored(service, 40)
    agent.signal(signal.SIGTERM)
    assert agent.wait(60) == 1
    result = agent.json()
    assert (result["status"], result["frames_stored"]) == ("incomplete", result["frames_sent"])
    assert result["lost"][0]["why"] == "stopped by the operator"


def test_nobody_reads_the_log(tmp_path):
    """The reader of standard error goes away (a terminal, a `tee`): the service goes on, only its log is gone."""
    reading, writing = os.pipe()
    addresses = ["--http", "127.0.0.1:0", "--ingest", "tcp://127.0.0.1:0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "octostream", "serve", "--json", "--data", tmp_path / "data", *addresses],
        stdout=subprocess.PIPE,
        stderr=writing,
        text=True,
    )
    os.close(writing)
    try:
        ready = next(said for line in process.stdout if (said := json.loads(line))["event"] == "ready")
        os.close(reading)
        service = SimpleNamespace(ingest=ready["ingest"])
        code, agent = acquire(service, "simulated:size=32x32,z=2,t=2", "--name", "bad name")
        assert code == 1
        assert "bad name" in agent.err[-1]
        assert acquire(service, "simulated:size=32x32,z=2,t=2")[0] == 0
        assert process.poll() is None
    finally:
        process.terminate()
        assert process.wait(30) == 0
        process.stdout.close()


def test_name_of_a_removed_store_leaves_nothing_behind(shared_service):
    code, agent = acquire(shared_service, "simulated:size=32x32,z=2,t=2", "--name", "removed")
    assert code == 0
    store = Path(agent.json()["store"])
    shutil.rmtree(store)
    code, again = acquire(shared_service, "simulated:size=32x32,z=2,t=2", "--name", "removed")
    assert code in (1, 2)
    assert "removed" in again.err[-1]
    assert not store.exists()
