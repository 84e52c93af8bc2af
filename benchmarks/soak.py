"""Whether anything grows while a service records for long: ``python -m octostream.benchmarks.soak RECORDING``.

Service and instrument run as separate processes, as at a microscope; the recorded stack fills the sensor. The
instrument records one run after the other, each of a minute; the store of a finished run is removed, so that a terabyte
can pass through a small disk. A viewer takes live images all the time. Once a second memory, file descriptors and
threads of every process are noted. Ends with a table of slopes; exit 1 where something grew or a frame was lost.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer

from .camera_rate import Viewer, service
from .slopes import Trend, Watch, trends
from .workload import parse_size

#: Products stay small: the disk is not what is soaked.
SMALL = ("bin.factor=4",)
#: Until then buffers fill for the first time: this long, or two runs, or a fifth of the time.
SETTLED_RUNS, SETTLED_SHARE = 2, 0.2
#: Of the last run and the end of the instrument's process.
SPARE_S = 180.0


def role_of(process: psutil.Process) -> str:
    """Give the role of a process of the service, by its command line."""
    words = process.cmdline()
    at = words.index("octostream.api.process") if "octostream.api.process" in words else -1
    return words[at + 1] if 0 <= at < len(words) - 1 else "supervisor"


def roles(supervisor: int) -> dict[str, int]:
    """Give the processes of a service by role; several workers are told apart by a number."""
    found: dict[str, int] = {}
    parent = psutil.Process(supervisor)
    for process in [parent, *parent.children(recursive=True)]:
        role = role_of(process)
        again = sum(name.partition(" ")[0] == role for name in found)
        found[f"{role} {again + 1}" if again else role] = process.pid
    return found


def soak(recording: Path, seconds: float, run_seconds: float, size: tuple[int, int], rate_hz: float) -> dict[str, Any]:
    """Record for so long.

    Parameters
    ----------
    recording : Path
        The recorded stack.
    seconds, run_seconds : float
        Of all runs together, and of one.
    size : tuple of int
        Sensor (y, x), pixels.
    rate_hz : float
        Frames a second.

    Returns
    -------
    dict
        ``runs``: how each ended; ``trends``: how each number of each process developed; ``code``: of the instrument.
    """
    with (
        tempfile.TemporaryDirectory(prefix="octostream-soak-") as folder,
        service(Path(folder) / "data") as (tier, page, to),
    ):
        task = {
            "sample": str(recording.resolve()),
            "size": size,
            "ingest": to,
            "spool": str(Path(folder) / "spool"),
            "rate_hz": rate_hz,
            "seconds": seconds,
            "run_seconds": run_seconds,
            "set": SMALL,
        }
        agent = subprocess.Popen(
            [sys.executable, "-m", "octostream.benchmarks.soak_agent", json.dumps(task)],
            stdout=subprocess.PIPE,
            text=True,
        )
        viewer, watch = Viewer(page), Watch({**roles(tier.pid), "agent": agent.pid})
        try:
            viewer.start()
            watch.start()
            ended = list(_runs(agent))
            code = agent.wait(SPARE_S)
        finally:
            watch.stop()
            viewer.stop()
            agent.kill()
            agent.wait()
    settled = max(SETTLED_SHARE * seconds, min(SETTLED_RUNS * run_seconds, 0.5 * seconds))
    return {"runs": ended, "trends": trends(watch.uses, settled), "code": code}


def _runs(agent: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """Give how each run ended, and remove its store."""
    assert agent.stdout is not None
    with agent.stdout:
        for line in agent.stdout:
            ended: dict[str, Any] = json.loads(line)
            shutil.rmtree(ended["store"])
            told = f"{ended['stored']} of {ended['frames']} frames, {ended['rate_hz']} Hz {ended['why']}"
            typer.echo(f"{ended['status']}: {told.rstrip()}", err=True)
            yield ended


def row(trend: Trend) -> str:
    """Write a trend as a row of a table."""
    verdict = "GREW" if trend.leaks else ""
    numbers = (trend.first, trend.last, trend.per_hour, trend.allowed)
    return f"| {trend.process} | {trend.what} | {' | '.join(f'{n:,.1f}' for n in numbers)} | {verdict} |"


def main(
    recording: Annotated[Path, typer.Argument(help="The lattice stack; `octostream sample lattice` says where it is.")],
    minutes: Annotated[float, typer.Option(help="How long, all runs together.")] = 20.0,
    run_seconds: Annotated[float, typer.Option(help="How long one run is.")] = 60.0,
    size: Annotated[str, typer.Option(help="Sensor, pixels.", metavar="HxW")] = "2048x2048",
    rate: Annotated[float, typer.Option(help="Frames a second.")] = 100.0,
) -> None:
    """Record for long, and judge what grew and what was lost."""
    found = soak(recording, 60 * minutes, run_seconds, parse_size(size), rate)
    runs: list[dict[str, Any]] = found["runs"]
    typer.echo("| process | | at first | at last | an hour | may grow | |\n|---|---|---|---|---|---|---|")
    for trend in found["trends"]:
        typer.echo(row(trend))
    lost = sum(ended["lost"] for ended in runs)
    frames, stored = sum(ended["frames"] for ended in runs), sum(ended["stored"] for ended in runs)
    raw = sum(ended["raw_bytes"] for ended in runs)
    late = sum(ended["late"] for ended in runs)
    typer.echo(f"{len(runs)} runs, {stored} of {frames} frames, {raw / 1e9:.1f} GB, {late} late, lost {lost}")
    complete = bool(runs) and all(ended["status"] == "complete" for ended in runs)
    grew = [trend for trend in found["trends"] if trend.leaks]
    raise typer.Exit(0 if complete and not lost and not grew and found["trends"] and not found["code"] else 1)


if __name__ == "__main__":
    typer.run(main)
