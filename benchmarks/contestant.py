"""What takes part in the benchmark, and how its work is done in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..stream.errors import OctostreamError
from .measurement import Measurement
from .workload import Workload

#: Start of a process, its imports, its frames, and the end of a slow block; on a busy machine.
SPARE_S = 180.0


class Contestant(Protocol):
    """A way of getting frames to where they stay."""

    @property
    def name(self) -> str:
        """Short, unique."""
        ...

    @property
    def what(self) -> str:
        """What it does, and what it does not."""
        ...

    @property
    def missing(self) -> str:
        """Why it cannot run here and what to do; empty where it can."""
        ...

    def run(self, folder: Path, seconds: float) -> Measurement:
        """Work for about so long.

        Parameters
        ----------
        folder : Path
            Empty, on the disk that is measured; whatever lies there afterwards is removed.
        seconds : float
            Time that frames are fed for; what was fed is finished.

        Raises
        ------
        OctostreamError
            It failed; the text says how.
        """
        ...


@dataclass(frozen=True)
class Task:
    """What a process of a contestant is told.

    Attributes
    ----------
    role : str
        Which work to do.
    workload : Workload
        On which frames.
    folder : Path
        Where to write.
    seconds : float
        How long to feed frames.
    options : mapping
        More, of JSON types, for that role.
    """

    role: str
    workload: Workload
    folder: Path
    seconds: float
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Give it as one argument of a command line."""
        facts = {"folder": str(self.folder), "seconds": self.seconds, "options": dict(self.options)}
        return json.dumps({"role": self.role, "workload": self.workload.as_json(), **facts})

    @classmethod
    def from_json(cls, text: str) -> Task:
        """Take what ``to_json`` gave."""
        data = json.loads(text)
        sample, (height, width) = data["workload"]["sample"], data["workload"]["size"]
        workload = Workload(Path(sample), (height, width))
        return cls(data["role"], workload, Path(data["folder"]), data["seconds"], data["options"])


@dataclass(frozen=True)
class Launcher:
    """Starts the processes of contestants, all in the same way.

    Attributes
    ----------
    workload : Workload
        The frames.
    environment : mapping
        Settings of the memory allocator and the like that octostream's own processes get; fairness asks that all do.
    """

    workload: Workload
    environment: Mapping[str, str]

    def command(self, task: Task) -> list[str]:
        """Give the command line that does a task."""
        return [sys.executable, "-m", "octostream.benchmarks.process", task.to_json()]

    def measure(self, role: str, folder: Path, seconds: float, **options: Any) -> Measurement:
        """Do a task in a fresh process and give what it measured.

        Raises
        ------
        OctostreamError
            It failed, or did not end in time.
        """
        task = Task(role, self.workload, folder, seconds, options)
        limit = 10 * seconds + SPARE_S
        process = subprocess.Popen(
            self.command(task),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **self.environment},
            process_group=0,  # Ctrl-C is for the benchmark, which ends the process below
        )
        try:
            out, err = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired as error:
            raise OctostreamError(f"{role} did not end within {limit:.0f} s", "run on a quieter machine") from error
        finally:
            process.kill()
            process.wait()
        if process.returncode != 0:
            reason = (err.strip().splitlines() or ["it said nothing"])[-1]
            raise OctostreamError(f"{role} ended with code {process.returncode} ({reason})", "see what it said")
        return Measurement.from_json(json.loads(out.strip().splitlines()[-1]))
