"""The registry of runs on a disk that fails at operation N: what was entered is there after a power cut."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest
from octostream.sinks.durable import sync
from octostream.sinks.registry import Registry
from octostream.stream.errors import NameRefusedError, StoreError
from octostream.stream.report import RunReport

from .test_storage_sinks import CHANGES, CUTS, numbers

FAULTS = {
    "EIO on fsync": {"operations": ["fsync", "fsyncdir"], "error": "EIO"},
    "EIO on write": {"operations": ["write"], "error": "EIO"},
    "EIO on unlink": {"operations": ["unlink", "truncate"], "error": "EIO"},
    "ENOSPC": {"operations": ["write", "create"], "error": "ENOSPC"},
    **{f"power cut leaves {name}": {"operations": CHANGES, "cut": cut} for name, cut in CUTS.items()},
}


def report(number: int, status: str = "recording") -> RunReport:
    name = f"run-{number}"
    return RunReport(name, name, "local", "/store", "x" * 9000, "lightsheet", status, (1, 1, 1, 1, 1), 1)


def keep_books(folder: Path) -> dict[str, str]:
    """Enter runs and end some, each twice if the first is refused; gives what was promised."""
    promised: dict[str, str] = {}
    with suppress(StoreError), closing(twice(lambda: Registry(folder / "runs.sqlite"))) as registry:
        for number in range(4):
            for status in ("recording", "complete") if number % 2 else ("recording",):
                change = registry.add if status == "recording" else registry.update
                # Refused in its last step, the change may have been made: then the name is taken.
                with suppress(NameRefusedError):
                    twice(partial(change, report(number, status)))
                promised[f"run-{number}"] = status
    return promised


def twice(call):
    try:
        return call()
    except StoreError:
        return call()


@pytest.fixture
def tried(fault_disk, tmp_path):
    """Keeps books on a disk with a fault, then cuts the power; gives promises, what is found, strikes, operations."""
    disk = fault_disk()

    def attempt(*faults):
        disk.clear()
        folder = Path(tempfile.mkdtemp(dir=disk.path))
        sync(disk.path)
        disk.arm(*faults)
        promised = keep_books(folder)
        struck, done = disk.fired, Counter(operation for operation, _ in disk.done)
        if not disk.dead:
            disk.cut()
        left = disk.save(tmp_path / "left")
        with closing(Registry(left / folder.name / "runs.sqlite")) as registry:
            found = {run.id: run.status for run in registry.list()}
        shutil.rmtree(left)
        return promised, found, struck, done

    return attempt


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("what", FAULTS)
def test_what_is_entered_survives(tried, campaign, seed, what):
    fault = FAULTS[what]
    *_, done = tried()
    figures: Counter[str] = Counter()
    for number in numbers(sum(done[operation] for operation in fault["operations"]), seed, 3):
        promised, found, struck, _ = tried({**fault, "at": number})
        for run, status in promised.items():  # a change that was cut off may have come to the disk all the same
            assert found.get(run) in (status, "complete"), f"N = {number}: promised {promised}, found {found}"
        figures["struck" if struck else "clean"] += 1
        figures["promises kept"] += len(promised)
        if not struck:
            break
    campaign.append(("registry", what, dict(figures)))
