"""The sinks on a disk that fails at operation N, for every N until nothing fails any more.

Short form: a few N, spread by the seed. Long form: every N, with the first seed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from octostream.sinks.durable import sync

from ..sinks.conftest import acquisition
from .conftest import long_form, whole_or
from .mounted import MountedDisk
from .trial import SHAPES, Trial

CHANGES = ["create", "write", "truncate", "fsync", "fsyncdir", "rename", "unlink", "mkdir", "rmdir"]
#: A read-only file system has nothing to sync, and says so without an error.
NAMES_AND_BYTES = [operation for operation in CHANGES if not operation.startswith("fsync")]
#: What fails, by the name under which it is reported: fields of `faultfs.Fault`.
FAULTS = {
    "EIO on write": {"operations": ["write"], "error": "EIO"},
    "EIO on fsync": {"operations": ["fsync"], "error": "EIO"},
    "EIO on fsync of a folder": {"operations": ["fsyncdir"], "error": "EIO"},
    "EIO on rename": {"operations": ["rename"], "error": "EIO"},
    "EIO on create": {"operations": ["create"], "error": "EIO"},
    "EIO on mkdir": {"operations": ["mkdir"], "error": "EIO"},
    "EIO on unlink": {"operations": ["unlink"], "error": "EIO"},
    "EACCES until given back": {"operations": ["open", "create", "mkdir"], "error": "EACCES", "times": 0},
    "ENOSPC until space returns": {"operations": ["write", "create", "mkdir"], "error": "ENOSPC", "times": 0},
    "EROFS until writable again": {"operations": NAMES_AND_BYTES, "error": "EROFS", "times": 0},
    "short write": {"operations": ["write"], "short": True},
    "fsync takes 20 ms": {"operations": ["fsync"], "delay_s": 0.02},
}
#: What a power cut leaves beyond what was synced: fields of `faultdisk.Survivors`.
CUTS = {
    "only what was synced": {},
    "names without data": {"names": 1.0},
    "torn writes": {"names": 1.0, "data": "half"},
    "some names and some pages": {"names": 0.5, "data": "some"},
}


class Sweep:
    """Trials on one disk, each with a fault at operation N, each examined afterwards."""

    def __init__(self, disk: MountedDisk, scratch: Path, shape: str) -> None:
        self.disk, self.scratch, self.shape = disk, scratch, shape
        self.outcomes: Counter[str] = Counter()
        calm = self._trial()
        calm.run()
        assert calm.sealed
        assert not calm.refusals
        self.operations = Counter(operation for operation, _ in disk.done)
        self.undisturbed = calm.saved(scratch / "calm")

    def over(self, numbers: Iterator[int], fault: dict[str, Any], *, cut_after_refusal: bool = False) -> None:
        """Try N after N until the fault does not strike any more."""
        for number in numbers:
            trial = self._trial(cut_after_refusal)
            self.disk.arm({**fault, "at": number})
            trial.run()
            struck = self.disk.fired > 0 or bool(trial.refusals)
            try:
                trial.examine(self.scratch / "after", self.undisturbed)
            except AssertionError as error:
                last = self.disk.done[-1]
                raise AssertionError(f"N = {number}, last operation {last}, told {trial.refusals}: {error}") from error
            shutil.rmtree(self.scratch / "after")
            self.outcomes["struck" if struck else "clean"] += 1
            self.outcomes["refused"] += bool(trial.refusals)
            self.outcomes["blocks acknowledged"] += len(trial.acknowledged)
            if not struck:
                return

    def _trial(self, cut_after_refusal: bool = False) -> Trial:
        self.disk.clear()
        shape, rate = SHAPES[self.shape]
        folder = Path(tempfile.mkdtemp(dir=self.disk.path))
        sync(self.disk.path)
        return Trial(self.disk, acquisition(folder, shape, rate, keep_raw=True), cut_after_refusal)


@pytest.fixture(scope="module", params=whole_or(["split"], SHAPES))
def sweep(request, fuse, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    scratch = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else folder))
    disk = MountedDisk(folder / "disk")
    try:
        yield Sweep(disk, scratch, request.param)
    finally:
        disk.unmount()
        shutil.rmtree(scratch)


def numbers(total: int, seed: int, few: int) -> Iterator[int]:
    """Give every N, or a few of those up to the total, spread evenly and shifted by the seed."""
    if long_form():
        return count(1)
    assert total, "nothing of this kind is done"
    step = max(1, total // few)
    return iter(range(1 + seed % step, total + 1, step))


def told(campaign, sweep, what):
    campaign.append(("sinks", f"{what}, {sweep.shape}", dict(sweep.outcomes)))
    sweep.outcomes.clear()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_costs_time_and_nothing_else(sweep, campaign, seed, what):
    fault = FAULTS[what]
    total = sum(sweep.operations[operation] for operation in fault["operations"])
    sweep.over(numbers(total, seed, 2), fault)
    told(campaign, sweep, what)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("what", [name for name in FAULTS if name.startswith("EIO")])
def test_what_is_acknowledged_after_a_fault_survives_a_power_cut(sweep, campaign, seed, what):
    fault = FAULTS[what]
    total = sum(sweep.operations[operation] for operation in fault["operations"])
    sweep.over(numbers(total, seed, 1), fault, cut_after_refusal=True)
    told(campaign, sweep, f"{what}, power cut at the next acknowledgement")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("what", CUTS)
def test_power_is_cut_after_an_operation(sweep, campaign, seed, what):
    total = sum(sweep.operations[operation] for operation in CHANGES)
    fault = {"operations": CHANGES, "cut": {**CUTS[what], "seed": seed}}
    sweep.over(numbers(total, seed, 8), fault)
    told(campaign, sweep, f"power cut leaves {what}")
