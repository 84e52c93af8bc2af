"""What the benchmark ran on: figures without it mean nothing."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from .. import __version__

PACKAGES = ("numpy", "numba", "pyzmq", "tensorstore", "zarr", "acquire-zarr")


@dataclass(frozen=True)
class Machine:
    """The machine, and what runs on it.

    Attributes
    ----------
    date : str
        Now, UTC, ISO 8601.
    cpu : str
        Model.
    cores : int
        That this process may use.
    memory_bytes : int
        Physical memory.
    load : float
        Processes that wanted to run during the last minute; near 0 on a quiet machine.
    disk : str
        File system that the stores lie on.
    system, python : str
        Operating system; Python version.
    versions : dict
        Of octostream and of the libraries that count; empty text where one is missing.
    """

    date: str
    cpu: str
    cores: int
    memory_bytes: int
    load: float
    disk: str
    system: str
    python: str
    versions: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON types."""
        return asdict(self)


def this_machine(data: Path) -> Machine:
    """Look at this machine.

    Parameters
    ----------
    data : Path
        A folder on the disk that is measured.
    """
    return Machine(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=psutil.virtual_memory().total,
        load=round(os.getloadavg()[0], 2),
        disk=file_system(data.resolve(), [(p.mountpoint, p.fstype) for p in psutil.disk_partitions(all=True)]),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        versions={"octostream": __version__, **{name: _version(name) for name in PACKAGES}},
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def file_system(path: Path, mounts: list[tuple[str, str]]) -> str:
    """Give the type of the file system that an absolute path lies on, from (mount point, type) pairs."""
    holding = [(len(point), kind) for point, kind in mounts if path.is_relative_to(point)]
    return max(holding)[1] if holding else "unknown"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
