"""What must hold at camera rate, measured by hand: ``python -m octostream.benchmarks.camera_rate RECORDING``.

Service and agent run as separate processes; a viewer takes live images as the page does; memory of all processes is
sampled once a second. ``--page`` opens the page in Chromium besides.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any

import numpy as np
import psutil
import typer
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

#: Offsets in a preview message: frame number at 8, wall clock of the agent at 16.
_NUMBER, _STAMP = slice(8, 16), slice(16, 24)
OCTOSTREAM = [sys.executable, "-m", "octostream"]
WAIT_S = 120.0
#: Memory counts from here on: before, buffers fill for the first time.
SETTLED_S = 5.0


class Viewer(threading.Thread):
    """Takes live images, one at a time, and notes how old each is when it is here.

    Parameters
    ----------
    dashboard : str
        Address of the page.
    """

    def __init__(self, dashboard: str) -> None:
        super().__init__(daemon=True)
        self.ages_ms: list[float] = []
        self._address = dashboard.replace("http://", "ws://") + "api/v1/runs/live/preview"
        self._over = threading.Event()

    def run(self) -> None:
        """Look until stopped."""
        with connect(self._address, max_size=2**24) as socket:
            while not self._over.is_set():
                try:
                    message = socket.recv(timeout=0.5)
                except TimeoutError:
                    continue
                except WebSocketException:
                    return
                assert isinstance(message, bytes)
                self.ages_ms.append((time.time_ns() - int.from_bytes(message[_STAMP], "little")) / 1e6)
                socket.send(f"drawn {int.from_bytes(message[_NUMBER], 'little')}")

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self.join(5)


class Memory(threading.Thread):
    """Samples the resident memory of some processes and all their children, once a second, bytes.

    Parameters
    ----------
    roots : list of int
        Process ids.
    """

    def __init__(self, roots: list[int]) -> None:
        super().__init__(daemon=True)
        self.samples: list[tuple[float, int]] = []
        self._roots = roots
        self._over = threading.Event()

    def run(self) -> None:
        """Sample until stopped."""
        began = time.monotonic()
        while not self._over.wait(1.0):
            self.samples.append((time.monotonic() - began, sum(map(_tree_bytes, self._roots))))

    def stop(self) -> None:
        """Sample no more."""
        self._over.set()
        self.join(5)


def _tree_bytes(root: int) -> int:
    try:
        process = psutil.Process(root)
        return sum(p.memory_info().rss for p in [process, *process.children(recursive=True)])
    except psutil.NoSuchProcess:
        return 0


@contextmanager
def service(data: Path) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """Run a service; gives its process, page and address for agents, when it is ready."""
    command = [*OCTOSTREAM, "serve", "--json", "--data", str(data), "--http", "127.0.0.1:0"]
    process = subprocess.Popen([*command, "--ingest", "tcp://127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    try:
        said = _until_ready(process.stdout)
        yield process, said["dashboard"], said["ingest"]
    finally:
        process.terminate()
        process.wait(60)
        if process.stdout:
            process.stdout.close()


def _until_ready(lines: IO[str] | None) -> dict[str, Any]:
    for line in lines or ():
        said: dict[str, Any] = json.loads(line)
        if said["event"] == "ready":
            return said
    raise RuntimeError("the service did not start; it said why above")


@contextmanager
def page(dashboard: str) -> Iterator[None]:
    """Keep the page open in Chromium."""
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        try:
            browser.new_page(viewport={"width": 1280, "height": 900}).goto(dashboard)
            yield
        finally:
            browser.close()


def measure(
    recording: Path, seconds: float, rate_hz: float | None, with_page: bool, recipe: str, movie: bool
) -> dict[str, Any]:
    """Record once.

    Parameters
    ----------
    recording : Path
        A stack; it is tiled to 2048x2048.
    seconds : float
        About how long, at 100 Hz.
    rate_hz : float or None
        Frames a second; None for as many as are taken.
    with_page : bool
        Open the page in Chromium, too.
    recipe : str
        What is done to the frames.
    movie : bool
        Every frame is a time point, not a plane of a stack.

    Returns
    -------
    dict
        The agent's result, the viewer's ages and the memory.
    """
    loop = math.ceil(seconds * 100 / 88)
    options = ["--tile", "2048x2048", "--loop", str(loop), "--set", "calibrate.offset=98", "--json"]
    options += ["--recipe", recipe, *(["--axes", "t=88"] if movie else [])]
    rate = ["--rate", str(rate_hz)] if rate_hz else []
    with tempfile.TemporaryDirectory() as folder, service(Path(folder)) as (tier, dashboard, ingest):
        viewer = Viewer(dashboard)
        viewer.start()
        acquire = [*OCTOSTREAM, "acquire", str(recording), "--to", ingest, *options, *rate]
        agent = subprocess.Popen(acquire, stdout=subprocess.PIPE, text=True)
        memory = Memory([tier.pid, agent.pid])
        memory.start()
        if with_page:
            with page(dashboard):
                said, _ = agent.communicate(timeout=3 * seconds + WAIT_S)
        else:
            said, _ = agent.communicate(timeout=3 * seconds + WAIT_S)
        memory.stop()
        viewer.stop()
    return {**json.loads(said.splitlines()[-1]), "preview_ms": _quantiles(viewer.ages_ms), **_memory(memory.samples)}


def _quantiles(values: list[float]) -> dict[str, float]:
    return {"p50": round(float(np.quantile(values, 0.5)), 1), "p99": round(float(np.quantile(values, 0.99)), 1)}


def _memory(samples: list[tuple[float, int]]) -> dict[str, float]:
    """Give peak and slope of the memory once it has settled; the last samples are of processes that end."""
    settled = [(at, count / 1e6) for at, count in samples if at > SETTLED_S][:-2]
    if len(settled) < 3:
        return {"peak_mb": max((round(count / 1e6) for _, count in samples), default=0)}
    seconds, megabytes = np.array(settled).T
    slope = np.polyfit(seconds, megabytes, 1)[0]
    return {"peak_mb": round(max(count for _, count in settled)), "slope_mb_per_s": round(float(slope), 3)}


def main(
    recording: Annotated[Path, typer.Argument(help="The lattice stack; `octostream sample lattice` says where it is.")],
    seconds: Annotated[float, typer.Option(help="About how long, at 100 Hz.")] = 60.0,
    unpaced: Annotated[bool, typer.Option("--unpaced", help="As many frames as are taken.")] = False,
    with_page: Annotated[bool, typer.Option("--page", help="Open the page in Chromium, too.")] = False,
    recipe: Annotated[str, typer.Option(help="What is done to the frames.")] = "lightsheet",
    movie: Annotated[
        bool, typer.Option("--movie", help="Every frame is a time point, not a plane of a stack.")
    ] = False,
) -> None:
    """Record at camera rate and print what was measured, as one JSON object."""
    found = measure(recording, seconds, None if unpaced else 100.0, with_page, recipe, movie)
    wanted = ("status", "frames_expected", "frames_stored", "frames_lost", "frames_late", "rate_hz", "latency_ms")
    typer.echo(json.dumps({k: found[k] for k in (*wanted, "preview_ms", "peak_mb", "slope_mb_per_s") if k in found}))


if __name__ == "__main__":
    typer.run(main)
