"""A worker loses its GPU, or finds it full: the CPU takes over, an alarm says so, and every frame is in the store."""

import json
import os
import shutil
from pathlib import Path

import pytest
from octostream.api.alarms import LOST_GPU
from octostream.sinks.provenance import provenance_file
from octostream.sinks.verify import verify

from .conftest import until
from .test_faults import same_level0

pytestmark = pytest.mark.system

HERE = Path(__file__).parent
#: 24 frames in stacks of 4: six blocks of a second at most; a frame is three launches.
SOURCE = "simulated:size=24x40,z=4,t=6,seed=5,cells=2"
FRAMES, LAUNCHES = 24, 3
GPU = "Made-up GPU, 80 GiB, compute capability 9.0"


@pytest.fixture
def on_gpu(serve, tmp_path):
    """Start a service with one worker on the emulated GPU."""
    if shutil.which("g++") is None and os.environ.get("CI") != "true":
        pytest.skip("the GPU is emulated with g++, which is not installed")

    def start(**told):
        folder = tmp_path / "gpu"
        folder.mkdir()
        for name, text in told.items():
            (folder / name).write_text(str(text))
        path = os.pathsep.join(filter(None, [str(HERE / "emulated_gpu"), os.environ.get("PYTHONPATH", "")]))
        return serve("--workers", "1", "--device", "gpu", env={"EMULATED_GPU": str(folder), "PYTHONPATH": path})

    return start


def record(command, service, name):
    return command("acquire", SOURCE, "--to", service.ingest, "--rate", "4", "--name", name, "--json")


def stored_whole(agent):
    """Wait for the end of a recording, and see that nothing of it is missing; gives the store."""
    assert agent.wait(90) == 0, agent.err
    result = agent.json()
    assert (result["status"], result["frames_stored"], result["frames_lost"]) == ("complete", FRAMES, 0)
    report = verify(Path(result["store"]))
    assert report.ok, report.problems
    return result["store"]


def told(service):
    """Give the devices of the workers, and what the alarm about them says."""
    report = (service.status() or {}).get("report") or {"workers": (), "alarms": ()}
    return [w["device"] for w in report["workers"]], [a["text"] for a in report["alarms"] if a["name"] == "gpu_lost"]


def made_on(store):
    """Give the devices that a store says its blocks were reduced on."""
    devices = json.loads(provenance_file(Path(store)).read_bytes())["devices"]
    return {device for of_worker in devices.values() for device in of_worker}


def alarm(service):
    return until(lambda: told(service)[1], 60)


def test_a_gpu_that_is_lost_in_a_block_costs_no_frame(on_gpu, command, tmp_path):
    service = on_gpu(launches=LAUNCHES * 9 + 2)  # in the middle of the tenth frame, the second of its stack
    until(lambda: GPU in told(service)[0])
    assert told(service)[1] == []
    lost = stored_whole(record(command, service, "lost"))
    assert (tmp_path / "gpu" / "lost").exists()
    assert alarm(service)[0].endswith(f"works on the {LOST_GPU}")
    after = stored_whole(record(command, service, "after"))
    same_level0(lost, after)
    assert (made_on(lost), made_on(after)) == ({GPU, LOST_GPU}, {LOST_GPU})


def test_a_full_gpu_is_an_alarm_and_costs_no_frame(on_gpu, command):
    service = on_gpu(full="")
    agent = record(command, service, "full")
    (text,) = alarm(service)
    assert "works on the cpu, in place of a GPU: the GPU has no " in text
    (device,) = made_on(stored_whole(agent))
    assert text.endswith(f"works on the {device}")
