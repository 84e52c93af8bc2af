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

app = typer.Typer(
    name=NAME, help="Our speed beside others', in one run: of the whole service, or of the kernels alone."
)


@app.callback(invoke_without_command=True)
def command(
    context: typer.Context,
    seconds: Annotated[float, typer.Option(min=0.01, help="How long each contestant is fed, in each run.")] = 10.0,
    runs: Annotated[int, typer.Option(min=1, max=100, help="How often each contestant runs.")] = 3,
    size: Annotated[str, typer.Option(metavar="HxW", help="Frame size.")] = SENSOR,
    data: Annotated[Path, typer.Option(help="Folder on the disk to measure.")] = Path("octostream-data"),
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Measure octostream, a bare pipe, NumPy with zarr-python, and acquire-zarr on the same frames; give the ratios."""
    if context.invoked_subcommand is not None:
        return
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


@app.command("kernels")
def kernels(
    size: Annotated[str, typer.Option(metavar="HxW", help="Frame size.")] = SENSOR,
    seconds: Annotated[float, typer.Option(min=0.01, help="How long each kernel and its rivals are measured.")] = 3.0,
    only: Annotated[str, typer.Option(metavar="NAME", help="Measure the kernels whose names begin so.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Measure every reduction on one thread beside NumPy, SciPy and others, and beside what memory alone would take."""
    from ...benchmarks.gpu_kernels import gpu_lines, measure_gpu
    from ...benchmarks.kernel_case import KERNEL_HEAD, KernelResult, copy_bandwidth, kernel_rows, measure
    from ...benchmarks.kernel_cases import FRAMES, kernel_cases
    from ...benchmarks.machine import this_machine
    from ...benchmarks.table import aligned, machine_lines
    from ...benchmarks.workload import Workload, parse_size
    from ...kernels.device_choice import choose_device

    device = choose_device("auto")
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    shape = parse_size(size)
    with sample_progress(Console(stderr=True), "lattice") as show:
        frames = Workload(fetch_sample("lattice", progress=show), shape).bank()[:FRAMES]
    machine = this_machine(Path())
    bandwidth = copy_bandwidth()
    for line in (*machine_lines(machine), f"one thread copies {bandwidth / 1e9:.1f} GB/s (read, read again, written)"):
        console.print(line, markup=False)
    results: list[KernelResult] = []
    for case in kernel_cases(frames, only):
        results.append(measure(case, seconds, bandwidth))
        console.print(f"measured {case.name}: {results[-1].ms:.2f} ms a frame", markup=False)
    for line in ["", *aligned([KERNEL_HEAD, *kernel_rows(results)]), ""]:
        console.print(line, markup=False)
    for result in results:
        if result.why:
            console.print(f"{result.name}: {result.why}", markup=False)
    on_gpu = {} if only or device is None else measure_gpu(device, frames)
    for line in gpu_lines(on_gpu):
        console.print(line, markup=False)
    if as_json:
        facts = {"size": list(shape), "seconds": seconds, "machine": machine.to_json(), "copy_gb_s": bandwidth / 1e9}
        say_json({**facts, "results": [r.to_json() for r in results], **on_gpu})


@contextmanager
def _started(folder: Path) -> Iterator[str]:
    """Start a service of its own for one measurement."""
    with RunningService(folder / "data", folder / "service.log", "127.0.0.1:0") as service:
        yield service.wait("ready").ingest
