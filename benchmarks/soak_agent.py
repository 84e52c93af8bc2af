"""The instrument of the soak: one process that records one run after the other, without a pause worth the name.

Entry: ``python -m octostream.benchmarks.soak_agent TASK_JSON``; a line of JSON a run goes to standard output.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..acquire.recording import open_run
from ..kernels.recipe import Recipe
from ..stream.clock import monotonic_s
from ..stream.errors import OctostreamError
from ..stream.model import Plan
from .agent import send
from .workload import OFFSET, STACK_FRAMES, Workload


def runs(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Record until the time is over; gives how each run ended.

    Parameters
    ----------
    task : dict
        ``sample``, ``size``: the frames. ``ingest``: address of the service. ``spool``: folder. ``rate_hz``: frames a
        second. ``seconds``: of all runs together, ``run_seconds``: of one. ``set``: parameters of the recipe.
    """
    workload = Workload(Path(task["sample"]), tuple(task["size"]))
    bank = workload.bank()
    stacks = max(1, math.ceil(task["run_seconds"] * task["rate_hz"] / STACK_FRAMES))
    plan = Plan((stacks, 1, STACK_FRAMES, *workload.size), rate_hz=task["rate_hz"], source=workload.sample.name)
    recipe = Recipe.load("lightsheet", [f"calibrate.offset={OFFSET}", *task["set"]])
    end = monotonic_s() + task["seconds"]
    while monotonic_s() < end:
        yield _record(task, plan, recipe, bank)


def _record(task: dict[str, Any], plan: Plan, recipe: Recipe, bank: NDArray[np.uint16]) -> dict[str, Any]:
    with open_run(task["ingest"], plan, recipe=recipe.to_json(), spool=Path(task["spool"])) as run:
        send(run, bank, iter(range(plan.frames)), plan.rate_hz)
    assert run.sealed is not None
    ledger, summary = run.sealed.ledger, run.sealed.summary
    return {
        "store": run.store,
        "status": run.sealed.status,
        "frames": plan.frames,
        "stored": ledger["frames_stored"],
        "lost": ledger["frames_lost"],
        "why": ledger["lost"][0]["why"] if ledger["lost"] else "",
        "late": summary["late"],
        "rate_hz": summary["rate_hz"],
        "durable_p99_ms": summary["latency_ms"]["durable"]["p99"],
        "raw_bytes": summary["raw_bytes"],
    }


def main(arguments: list[str]) -> int:
    """Do one task."""
    try:
        for ended in runs(json.loads(arguments[0])):
            sys.stdout.write(json.dumps(ended) + "\n")
            sys.stdout.flush()
    except OctostreamError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
