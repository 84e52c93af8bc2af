"""What encryption costs, with keys and without in turn: ``python -m octostream.benchmarks.curve RECORDING``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ..stream.curve import new_pair
from ..stream.errors import OctostreamError
from ..stream.key_files import create_instrument, ensure_folder, ensure_server, write_allowed
from ..stream.keys import AllowList, InstrumentKey, Permit
from .contest import hold
from .contestant import Launcher
from .measurement import Measurement
from .ours import Octostream, StartService
from .workload import Workload, parse_size


def make_keys(folder: Path) -> Path:
    """Make a tier's folder of keys that lets one instrument in; gives the instrument's key file."""
    ensure_folder(folder)
    key = InstrumentKey("benchmark", new_pair(), ensure_server(folder).public)
    create_instrument(folder / "benchmark.key", key)
    write_allowed(folder, AllowList().allow(Permit(key.instrument, key.pair.public, None)))
    return folder / "benchmark.key"


def starter(keys: Path, workers: int) -> StartService:
    """Give what starts a service with this folder of keys, which need not exist."""
    environment = {**os.environ, "OCTOSTREAM_KEYS_DIR": str(keys)}

    @contextmanager
    def started(folder: Path) -> Iterator[str]:
        command = [sys.executable, "-m", "octostream", "serve", "--json", "--data", str(folder / "data")]
        where = ["--http", "127.0.0.1:0", "--ingest", "tcp://127.0.0.1:0", "--workers", str(workers)]
        with (folder / "service.log").open("wb") as log:
            process = subprocess.Popen(
                [*command, *where], stdout=subprocess.PIPE, stderr=log, text=True, env=environment
            )
        try:
            yield _ingest(process)
        finally:
            process.terminate()
            process.wait(60)
            if process.stdout:
                process.stdout.close()

    return started


def _ingest(process: subprocess.Popen[str]) -> str:
    for line in process.stdout or ():
        said: Mapping[str, str] = json.loads(line)
        if said["event"] == "ready":
            return said["ingest"]
    raise OctostreamError("the service did not start", "see its log")


def compare(workload: Workload, folder: Path, seconds: float, runs: int, workers: int) -> dict[str, object]:
    """Run both in turn.

    Returns
    -------
    dict
        Median rates with and without keys, frames a second, and with as a share of without.
    """
    with tempfile.TemporaryDirectory() as keys:
        launcher = Launcher(workload, {})
        key = make_keys(Path(keys, "used"))
        plain = Octostream(launcher, starter(Path(keys, "none"), workers))
        encrypted = Octostream(launcher, starter(Path(keys, "used"), workers), key=key)
        results = hold([plain, encrypted], folder, seconds, runs, workload.need_bytes(seconds), _hear)
    without, with_ = (result.rate_hz for result in results)
    spread = {result.name: list(result.spread_hz) for result in results}
    return {"without_hz": without, "with_hz": with_, "ratio": with_ / without, "spread_hz": spread}


def _hear(run: int, name: str, measured: Measurement) -> None:
    cpu = sum(measured.cpu_ms.values())
    typer.echo(f"run {run + 1}  {name}: {measured.rate_hz:.1f} frames/s, {cpu:.1f} ms of CPU a frame", err=True)


def main(
    recording: Annotated[Path, typer.Argument(help="The lattice stack; `octostream sample lattice` says where it is.")],
    seconds: Annotated[float, typer.Option(help="How long each is fed, in each run.")] = 10.0,
    runs: Annotated[int, typer.Option(help="How often each runs.")] = 3,
    size: Annotated[str, typer.Option(metavar="HxW", help="Frame size.")] = "2048x2048",
    workers: Annotated[int, typer.Option(help="Worker processes.")] = 1,
    data: Annotated[Path, typer.Option(help="Existing folder on the disk to measure.")] = Path(),
) -> None:
    """Print the rates with and without keys and their ratio, as one JSON object."""
    typer.echo(json.dumps(compare(Workload(recording, parse_size(size)), data, seconds, runs, workers)))


if __name__ == "__main__":
    typer.run(main)
