"""Entry of the contestants' processes: ``python -m octostream.benchmarks.process TASK_JSON``."""

from __future__ import annotations

import importlib
import json
import sys
from typing import Final

from ..stream.errors import OctostreamError
from .contestant import Task

#: Module of each role, imported by the one that needs it: a contestant's memory must not hold another one's libraries.
ROLES: Final = {
    "octostream": "agent",
    "zeromq": "pipe",
    "numpy": "numpy_zarr",
    "acquire-zarr": "acquire_zarr_stream",
}


def main(arguments: list[str]) -> int:
    """Do one task; the measurement goes to standard output as one line of JSON, an error to standard error."""
    task = Task.from_json(arguments[0])
    work = importlib.import_module(f"octostream.benchmarks.{ROLES[task.role]}").work
    try:
        measurement = work(task)
    except OctostreamError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(json.dumps(measurement.to_json()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
