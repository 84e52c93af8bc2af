"""What every part of the campaign shares: seeds, the long form, disks that fail.

The short form is part of ``make test``. The long form is ``make chaos``, or by hand
``OCTOSTREAM_CHAOS=long pytest tests/chaos -s``. A single seed is repeated by ``pytest tests/chaos --seeds 7``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ..system.conftest import command, serve  # noqa: F401 - fixtures of this folder too
from .mounted import MountedDisk, why_not

SHORT, LONG = "1", "1-10"


def pytest_addoption(parser):
    parser.addoption("--seeds", help="seeds of the campaign: 7 or 1,2,3 or 1-200")


def long_form() -> bool:
    """Whether everything is asked for, not the slice that tests run every time."""
    return os.environ.get("OCTOSTREAM_CHAOS") == "long"


def camera_form() -> bool:
    """Whether frames are to be as large as a camera's, where a test can; it needs 40 GB of disk."""
    return os.environ.get("OCTOSTREAM_CHAOS") == "camera"


def whole_or(few, whole):
    """Give all cases in the long form, and a few of them in the short one."""
    return list(whole) if long_form() else list(few)


def seeds(config) -> list[int]:
    """Give the seeds asked for, as numbers."""
    text = config.getoption("--seeds", default=None) or (LONG if long_form() else SHORT)
    spans = [part.partition("-") for part in text.split(",")]
    return [seed for first, _, last in spans for seed in range(int(first), int(last or first) + 1)]


def pytest_generate_tests(metafunc):
    """A test that takes a ``seed`` runs once a seed; its name says which."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", seeds(metafunc.config))


@pytest.fixture(scope="session")
def fuse() -> None:
    """Skips where FUSE cannot be used; under CI nothing is left out."""
    if why := why_not():
        assert os.environ.get("CI") != "true", f"under CI nothing is left out: {why}"
        pytest.skip(why)


@pytest.fixture
def fault_disk(fuse, tmp_path):
    """Mounts disks that fail on request."""
    mounted: list[MountedDisk] = []

    def mount(name: str = "disk", content: Path | None = None) -> MountedDisk:
        mounted.append(MountedDisk(tmp_path / name, content))
        return mounted[-1]

    yield mount
    for disk in reversed(mounted):
        disk.unmount()


#: Rows of the table at the end: which part, what was done, how often by outcome.
Rows = list[tuple[str, str, dict[str, int]]]
ROWS: pytest.StashKey[Rows] = pytest.StashKey()


@pytest.fixture(scope="session")
def campaign(pytestconfig) -> Rows:
    """Rows of the table that is printed at the end; a test appends its own."""
    return pytestconfig.stash.setdefault(ROWS, [])


def pytest_terminal_summary(terminalreporter, config):
    rows = config.stash.get(ROWS, [])
    if rows:
        asked = ",".join(map(str, seeds(config)))
        terminalreporter.section(f"campaign, {os.environ.get('OCTOSTREAM_CHAOS', 'short')} form, seeds {asked}")
    for part, what, figures in rows:
        said = ", ".join(f"{name} {count}" for name, count in figures.items())
        terminalreporter.write_line(f"{part} | {what} | {said}")
