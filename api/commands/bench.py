"""``octostream bench``: our speed beside others', in one run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..child import MALLOC
from ..demonstration import SENSOR, RunningService
from ..output import say_json
from ..sample import fetch_sample
from ..sample_progress import sample_progress
from ..service import prepare_data

NAME = "bench"


def command(
    seconds: Annotated[float, typer.Option(min=0.01, help="How long each contestant is fed, in each run.")] = 10.0,
    runs: Annotated[int, typer.Option(min=1, max=100, help="How often each contestant runs.")] = 3,
    size: Annotated[str, typer.Option(metavar="HxW", help="Frame size.")] = SENSOR,
    data: Annotated[Path, typer.Option(help="Folder on the disk to measure.")] = Path("octostream-data"),
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Measure octostream, a bare pipe, NumPy with zarr-python, and acquire-zarr on the same frames; give the ratios."""
    # Imported late: the other commands need none of it.
    from ...benchmarks.contest import hold
    from ...benchmarks.lineup import lineup
    from ...benchmarks.machine import this_machine
    from ...benchmarks.measurement import Measurement, Result, ratios
    from ...benchmarks.table import HEAD, aligned, machine_lines, notes, rows
    from ...benchmarks.workload import Workload, parse_size

    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    shape = parse_size(size)
    folder = prepare_data(data)
    with sample_progress(Console(stderr=True), "lattice") as show:
        workload = Workload(fetch_sample("lattice", progress=show), shape)
    machine = this_machine(folder)
    for line in machine_lines(machine):
        console.print(line, markup=False)

    def hear(run: int, name: str, measured: Measurement) -> None:
        console.print(f"run {run + 1} of {runs}  {name}: {measured.rate_hz:.1f} frames/s", markup=False)

    contestants = lineup(workload, _started, MALLOC)
    results: list[Result] = hold(contestants, folder, seconds, runs, workload.need_bytes(seconds), hear)
    compared = len(results) - 1  # the last one is paced
    console.print(f"\n{shape[0]}x{shape[1]} uint16, {seconds:g} s each, median of {runs}", markup=False)
    for line in [*aligned([HEAD, *rows(results, compared)]), ""]:
        console.print(line, markup=False)
    for note in notes(results):
        console.print(note, markup=False)
    if as_json:
        facts = {"size": list(shape), "seconds": seconds, "runs": runs, "machine": machine.to_json()}
        say_json(
            {**facts, "results": [r.to_json() for r in results], "ratios": ratios(results[0], results[1:compared])}
        )


@contextmanager
def _started(folder: Path) -> Iterator[str]:
    """Start a service of its own for one measurement."""
    with RunningService(folder / "data", folder / "service.log", "127.0.0.1:0") as service:
        yield service.wait("ready").ingest
