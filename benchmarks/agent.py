"""The agent of the benchmark: the library that a microscope uses, fed from memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..acquire.pacing import Pacer
from ..acquire.recording import Recording, open_run
from ..stream.errors import OctostreamError
from .contestant import Task
from .measurement import Measurement
from .meter import Meter
from .workload import frame_numbers

OVER = "the time of the benchmark is over"


def work(task: Task) -> Measurement:
    """Record until the time is over and the run is sealed.

    Options: ``ingest``, address of the service; ``service``, its process ids; ``rate_hz``, None for as fast as it goes;
    ``key``, a key file, if the service asks for one.

    Raises
    ------
    OctostreamError
        The run failed, or lost a frame.
    """
    bank, plan = task.workload.bank(), task.workload.plan(task.seconds)
    recipe, maps = task.workload.recipe().resolve(plan.frame_shape)
    parts = {"agent": [os.getpid()], "service": task.options["service"]}
    key = Path(task.options["key"]) if "key" in task.options else None
    to, recipe_json = task.options["ingest"], recipe.to_json()
    # Who sends as fast as the service takes frames waits for it; a spool would measure this machine's disk.
    with open_run(to, plan, recipe=recipe_json, maps=maps, key=key, overrun="block") as run:
        with Meter(parts) as meter:
            send(run, bank, frame_numbers(plan, task.seconds), task.options["rate_hz"])
            sealed = run.finish(OVER if run.sent < plan.frames else "")
        stored = sealed.ledger["frames_stored"]
        if stored != run.sent:
            raise OctostreamError(f"{run.sent - stored} of {run.sent} frames were lost", "see the service's log")
    return Measurement(
        frames=run.sent,
        seconds=meter.seconds,
        cpu_s=meter.cpu_s,
        peak_bytes=meter.peak_bytes - bank.nbytes,
        raw_bytes=sealed.summary["raw_bytes"],
        stored_bytes=sealed.summary["stored_bytes"],
        latency_ms=sealed.summary["latency_ms"],
    )


def send(run: Recording, bank: NDArray[np.uint16], numbers: Iterator[int], rate_hz: float | None) -> None:
    """Send frames of the bank, each when it is due."""
    pacer = Pacer(rate_hz)
    for number in numbers:
        pacer.wait(number)
        run.send(bank[number % len(bank)])
        run.late(pacer.late)
