"""A feed, runs and stores without a head: a blob that moves, real sockets on the loopback interface."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from octostream.api.app import create_app, server_config
from octostream.api.catalogue_watch import CatalogueWatch, Looking
from octostream.api.feed import LatestFeed
from octostream.sinks.catalogue.intent import Intent, Kind
from octostream.sinks.catalogue.outbox import Entry, Outbox, Registered
from octostream.sinks.registry import Registry
from octostream.stream.ledger import Ledger
from octostream.stream.model import Loss
from octostream.stream.ranges import Ranges
from octostream.stream.report import PreviewFrame, RunReport, ServiceReport, StageReport, WorkerReport
from octostream.tests.sinks.catalogue.facts import facts_of
from starlette.types import ASGIApp, Receive, Scope, Send

from .browsing import browser, head, page  # noqa: F401 - fixtures

STAGE_NAMES = ("acquire", "send", "receive", "reduce", "write", "publish")


def blob(number: int, height: int = 96, width: int = 128) -> np.ndarray:
    """Bright blob that circles over a dark, noisy ground, uint16 (y, x)."""
    y, x = np.mgrid[:height, :width]
    angle = number / 9
    cy, cx = height * (0.5 + 0.28 * np.sin(angle)), width * (0.5 + 0.28 * np.cos(angle))
    light = 900 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * (height / 11) ** 2))
    return (light + np.random.default_rng(number).poisson(12, (height, width)) + 100).astype(np.uint16)


def preview(run: str, number: int, height: int = 96, width: int = 128) -> PreviewFrame:
    pixels = blob(number, height, width).astype("<u2").tobytes()
    return PreviewFrame(run, number, time.time_ns() - 80_000_000, height, width, 8, pixels)


def run_report(data: Path, run_id: str = "r-0001", **changes: object) -> RunReport:
    run = RunReport(
        id=run_id,
        name=f"embryo-{run_id}",
        investigation="local",
        store=str(data.resolve() / "local" / f"embryo-{run_id}.ome.zarr"),
        source="lattice_lightsheet_raw.tif, tiled to 2048x2048",
        recipe="lightsheet",
        status="recording",
        shape=(24, 1, 88, 2048, 2048),
        expected=2112,
        received=1100,
        stored=1056,
        rate_hz=100.0,
        target_hz=100.0,
        raw_bytes=8_858_370_048,
        stored_bytes=1_620_000_000,
        reduced_ms={"p50": 14.2, "p99": 31.0},
        durable_ms={"p50": 612.0, "p99": 1130.0},
        last_frame_ns=time.time_ns(),
        opened_ns=time.time_ns() - 11_000_000_000,
    )
    return replace(run, **changes)


def service_report(*runs: RunReport, **changes: object) -> ServiceReport:
    times = ((0.4, 1.1), (2.1, 6.0), (1.3, 3.8), (7.9, 13.0), (410.0, 690.0), (3.0, 8.0))
    stages = [
        StageReport(name, 100.0, 3 * i, 64, p50, p99, 0, 1100, 9_000_000, ((0.01, 900),), 8.5, 1100, i / 5)
        for i, (name, (p50, p99)) in enumerate(zip(STAGE_NAMES, times, strict=True))
    ]
    report = ServiceReport(
        time_ns=time.time_ns(),
        verdict="RECORDING" if runs else "IDLE",
        reason="embryo-r-0001, nothing lost" if runs else "ready for a run",
        runs=runs,
        stages=tuple(stages),
        workers=(
            WorkerReport("w1", True, "cpu", 400_000_000, "", 1_500_000_000),
            WorkerReport("w2", True, "cpu", 410_000_000, "", 1_500_000_000),
        ),
        disk_free_bytes=412_000_000_000,
        disk_total_bytes=960_000_000_000,
        disk_reserve_bytes=5_000_000_000,
        write_bytes_per_s=150_000_000.0,
    )
    return replace(report, **changes)


@dataclass
class FakeRuns:
    """Registry over a list, newest first."""

    rows: list[RunReport] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)

    def list(self, limit: int, before: str | None) -> list[RunReport]:
        ids = [run.id for run in self.rows]
        start = ids.index(before) + 1 if before in ids else 0
        return self.rows[start : start + limit]

    def get(self, run_id: str) -> RunReport | None:
        return next((run for run in self.rows if run.id == run_id), None)

    def ledger(self, run_id: str) -> Ledger | None:
        if self.get(run_id) is None:
            return None
        losses = (Loss(8, 8, "agent", "spool full"),)
        return Ledger(10, Ranges(((0, 6),)), losses, projection_only=Ranges(((2, 3),)))

    def recipe(self, run_id: str) -> dict[str, object] | None:
        run = self.get(run_id)
        if run is None or run_id in self.gone:
            return None
        gain = {"map": "calibrate.gain", "file": "gain.npy", "xxh3": "0123456789abcdef"}
        calibrate = {"offset": 98, "gain": gain}
        return {
            "version": 2,
            "name": run.recipe,
            "calibrate": calibrate,
            "hot_pixels": {"pixels": [[3, 4], [5, 6]]},
            "projections": {"along": ["z", "y"]},
            "statistics": {},
        }

    def metadata(self, run_id: str) -> dict[str, object] | None:
        run = self.get(run_id)
        if run is None or run_id in self.gone:
            return None
        return (
            {"sample": "<b>fish</b>", "detection_na": 1.1, "views": 2, "live": True} if run.technique != "free" else {}
        )

    def projection(self, run_id: str, which: str, c: int) -> tuple[int, np.ndarray] | None:
        run = self.get(run_id)
        if run is None or not run.stored:
            return None
        height, width = {"xy": (80, 100), "xz": (44, 100), "yz": (44, 80)}[which]
        return 11, blob(11, height, width) + np.uint16(100 * c)


@dataclass
class Service:
    """A web process under test."""

    feed: LatestFeed
    runs: FakeRuns
    data: Path
    port: int
    http: httpx.Client
    switch: Switch
    catalogue: CatalogueWatch | None = None

    def use(self, catalogue: CatalogueWatch) -> None:
        """Have a catalogue from now on."""
        self.catalogue = catalogue
        self.switch.app = create_app(
            self.feed, self.runs, self.data, "0.1.0", ingest="tcp://127.0.0.1:5555", catalogue=catalogue
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"


def write_store(data: Path, name: str, status: str = "complete", chunk: bytes = bytes(range(256)) * 40) -> Path:
    """Write the files of a store that a viewer asks for."""
    store = data / "local" / f"{name}.ome.zarr"
    (store / "0" / "c" / "0" / "0").mkdir(parents=True)
    scale = [{"type": "scale", "scale": [1.0, 1.0, 0.3, 0.203, 0.203]}]
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"]
    ome = {
        "version": "0.5",
        "multiscales": [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}],
    }
    root = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome, "octostream": {"status": status}}}
    (store / "zarr.json").write_text(json.dumps(root))
    (store / "0" / "zarr.json").write_text("{}")
    (store / "0" / "c" / "0" / "0" / "0").write_bytes(chunk)
    return store


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    return root


class Switch:
    """One running server, and the application that it serves at present."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
def server() -> Iterator[tuple[Switch, int]]:
    """The real server on a free loopback port, in a thread."""
    switch = Switch()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        uvicorn_server = uvicorn.Server(server_config(switch, "127.0.0.1", 0))
        thread = threading.Thread(target=uvicorn_server.run, args=([listener],), daemon=True)
        thread.start()
        wait_for(lambda: uvicorn_server.started)
        yield switch, listener.getsockname()[1]
        uvicorn_server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=10) as client:
        yield client


@pytest.fixture
def service(server: tuple[Switch, int], client: httpx.Client, data: Path) -> Service:
    """A fresh application behind that server."""
    switch, port = server
    feed, runs = LatestFeed(), FakeRuns()
    switch.app = create_app(feed, runs, data, "0.1.0", ingest="tcp://127.0.0.1:5555")
    return Service(feed, runs, data, port, client, switch)


@dataclass
class CatalogueSide:
    """What the head and the deliverer write for the catalogue."""

    outbox: Outbox

    def told(self, run: RunReport, kind: Kind = "opened", ago_s: float = 0.0) -> None:
        """Write that the catalogue is to be told of a run."""
        facts = facts_of(run=run.id, name=run.name, investigation=run.investigation)
        self.outbox.write([Intent(kind, facts)], time.time_ns() - int(ago_s * 1e9))

    def delivered(self, lag_s: float | None = None, **datasets: int) -> None:
        """Have the next entry delivered; with a lag the run is complete."""
        entry = self.claimed()
        self.outbox.delivered(entry, Registered(datasets, lag_s is not None, time.time_ns(), lag_s))

    def parked(self, why: str, remedy: str) -> None:
        """Have the next entry parked."""
        self.outbox.park(self.claimed().seq, why, remedy)

    def failed(self, why: str, again_in_s: float) -> None:
        """Have the next entry fail."""
        self.outbox.again(self.claimed(), time.time_ns() + int(again_in_s * 1e9), why)

    def claimed(self) -> Entry:
        entry = self.outbox.claim(time.time_ns(), 10**10)
        assert entry is not None
        return entry


@pytest.fixture
def catalogue(service: Service) -> Iterator[CatalogueSide]:
    """A catalogue of the service, and who writes for it; the service looks at once at whatever changes."""
    file = service.data / ".octostream" / "runs.sqlite"
    file.parent.mkdir()
    Registry(file).close()
    watch = CatalogueWatch(file)
    looking = Looking(watch)
    service.use(watch)
    outbox = Outbox(file)
    yield CatalogueSide(outbox)
    outbox.close()
    looking.close()


def wait_for(true: Callable[[], object], seconds: float = 10.0) -> None:
    """Look until something is true, at most some seconds."""
    tick = threading.Event()
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited too long"
        tick.wait(0.005)


@pytest.fixture
def make() -> dict[str, Callable[..., object]]:
    """Makers of reports, previews and stores."""
    return {"run": run_report, "report": service_report, "preview": preview, "store": write_store, "wait": wait_for}
