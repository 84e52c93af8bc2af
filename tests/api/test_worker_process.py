"""What a worker takes from a store before it serves the run."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from octostream.api import worker_process
from octostream.api.alarms import LOST_GPU
from octostream.api.tokens import read_token, write_token
from octostream.api.worker_process import PrepareOnDisk, device_of
from octostream.kernels.device import Description
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.sinks import commits, durable
from octostream.sinks.keeper import StoreKeeper
from octostream.sinks.layout import commits_folder
from octostream.stream.model import Commit, Frame, FrameStats, Plan, Run
from octostream.stream.ranges import Ranges


@pytest.fixture
def store(tmp_path):
    """A run of three blocks of one frame, of which the first two are committed."""
    plan, recipe = Plan((3, 1, 1, 16, 16), rate_hz=1.0), Recipe.load("lightsheet")
    place = tmp_path / "run.ome.zarr"
    run = Run("r1", "run", "local", plan, recipe.to_json(), str(place), False, 1)
    StoreKeeper.create(run, plan_reduction(recipe, plan, {}).products, {}, {})
    write_token(place, "secret")
    for block in (0, 1):
        frames, stats = (Frame(block, 1, 1),), (FrameStats(0, 1, 0.5, 0),)
        commits.write_commit(place, Commit(block, frames, stats, "w", 1, 512, 1, ("0",)))
    return place


def test_a_damaged_record_is_not_told_as_committed(store):
    """The agent would let go of frames that the seal then calls lost."""
    assert PrepareOnDisk(0)(str(store)).committed == Ranges(((0, 1),))
    record = commits.record_file(store, 1)
    record.write_bytes(record.read_bytes().replace(b'"raw_bytes": 512', b'"raw_bytes": 513'))
    assert PrepareOnDisk(0)(str(store)).committed == Ranges(((0, 0),))


def test_records_are_settled_before_they_are_told(store, monkeypatch):
    seen = []
    monkeypatch.setattr(commits, "sync", seen.append)
    PrepareOnDisk(0)(str(store))
    assert seen == [commits_folder(store)]


def test_the_token_survives_a_power_cut_and_is_private(store, monkeypatch):
    seen = []
    monkeypatch.setattr(durable, "sync", seen.append)
    write_token(store, "another")
    assert seen == [store / ".octostream"]
    assert read_token(store) == "another"
    assert (store / ".octostream" / "token").stat().st_mode & 0o777 == 0o600


class Gpu:
    """A device that can only be described."""

    def describe(self):
        return Description("gpu", "Made-up GPU", 80 * 2**30, "9.0", "nvrtc 12.9")


@pytest.mark.parametrize(
    ("wish", "had_gpu", "there", "asked", "told"),
    [
        ("auto", False, False, "auto", "cpu"),
        ("cpu", False, False, "cpu", "cpu"),
        ("gpu", False, True, "gpu", "Made-up GPU, 80 GiB, compute capability 9.0"),
        ("gpu", True, False, "auto", LOST_GPU),
        ("auto", True, False, "auto", LOST_GPU),
        ("gpu", True, True, "auto", "Made-up GPU, 80 GiB, compute capability 9.0"),
    ],
)
def test_a_worker_that_lost_its_gpu_takes_the_cpu_and_says_so(monkeypatch, wish, had_gpu, there, asked, told):
    seen, gpu = [], Gpu() if there else None
    monkeypatch.setattr(worker_process, "choose_device", lambda what: (seen.append(what), gpu)[1])
    assert device_of(wish, had_gpu=had_gpu) == (gpu, told)
    assert seen == [asked]


def test_blocks_are_reduced_on_the_device_of_the_worker(store):
    gpu = Gpu()
    assert PrepareOnDisk(0, gpu)(str(store)).reducer.args == (gpu,)
    assert PrepareOnDisk(0)(str(store)).reducer.args == (None,)


def test_a_gpu_that_is_not_there_is_one_line():
    read, write = os.pipe()
    settings = {"reserve_bytes": 0, "device": "gpu", "had_gpu": False}
    command = [sys.executable, "-m", "octostream.api.process", "worker", str(write), json.dumps(settings)]
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, pass_fds=(write,), env=hidden, capture_output=True, timeout=60, check=False)
    os.close(write)
    with os.fdopen(read) as lines:
        said = [json.loads(line) for line in lines]
    assert done.returncode == 2
    assert [(fact["error"].partition(":")[0], fact["code"]) for fact in said] == [("there is no GPU to use", 2)]
