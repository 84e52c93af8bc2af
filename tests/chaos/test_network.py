"""The network fails between a living agent and the real service: the run goes on when it is back, and ends exact."""

import os
import random
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import zarr
from octostream.acquire import agent as agent_module
from octostream.acquire.pacing import Pacer
from octostream.acquire.recording import open_run
from octostream.api.cli import app
from octostream.sinks.verify import verify
from octostream.stream.errors import OctostreamError
from octostream.stream.link import HEARTBEAT_MS, HEARTBEAT_TIMEOUT_MS, Dealer
from octostream.stream.model import Plan
from typer.testing import CliRunner

from ..system.conftest import Service, until
from .conftest import long_form
from .namespaces import Cable, NamespaceError
from .proxy import Proxy

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

LONG = long_form()
#: Small frames at 50 Hz; large ones, so that a connection is always in the middle of one. A plan says twice the rate:
#: a block and all buffers last twice as long, for a busy machine stands still longer than a microscope's may.
SMALL, LARGE = (96, 128), (512, 512)
RATE_HZ = {SMALL: 50.0, LARGE: 20.0}
PLANNED = 2
#: Frames that are not durable may take so much of the agent's memory: two blocks and a little.
MEMORY_BYTES = {SMALL: 8 * 2**20, LARGE: 64 * 2**20}
#: Everything else that an agent may need meanwhile: buffers for reading back, sockets, threads, garbage.
SPARE_BYTES = 160 * 2**20
#: Frames flow again within two heartbeats; a block must then be sent and written, on a machine that others use.
AGAIN_S = 2 * HEARTBEAT_MS / 1000
#: What is dead without a word is found out by silence: a heartbeat is sent, and its answer does not come.
SILENCE_S = (HEARTBEAT_MS + HEARTBEAT_TIMEOUT_MS) / 1000
MARGIN_S = 8.0


def plan(seconds, size=SMALL):
    rate = RATE_HZ[size]
    return Plan((int(seconds * rate / 10), 1, 10, *size), rate_hz=PLANNED * rate)


NOISE = {size: np.random.default_rng(5).integers(100, 4000, size, np.uint16) for size in (SMALL, LARGE)}


def picture(number, size):
    """Give a frame that no other resembles, in no time."""
    return np.roll(NOISE[size], number * 37) + np.uint16(number % 251)


class Camera(threading.Thread):
    """Sends the frames of a run at its rate, waits for the seal, and notes what it saw of the network's faults."""

    def __init__(self, run):
        super().__init__(name="camera", daemon=True)
        self.recording, self.failure, self.late = run, None, 0
        self.seconds = 0.0
        self.memory = psutil.Process().memory_info().rss
        self.grown = 0
        self.start()

    def run(self):
        try:
            self._record()
        except (OctostreamError, AssertionError) as error:
            self.failure = error

    def _record(self):
        run, size = self.recording, self.recording.plan.frame_shape
        pacer, began = Pacer(RATE_HZ[size]), time.monotonic()
        for number in range(run.plan.frames):
            pacer.wait(number)
            run.send(picture(number, size))
            if number % 50 == 0:
                self.grown = max(self.grown, psutil.Process().memory_info().rss - self.memory)
        self.seconds, self.late = time.monotonic() - began, pacer.late
        run.finish()

    @property
    def committed(self):
        """Blocks that the agent knows to be durable."""
        return len(self.recording._agent._protocol.committed)

    def passed(self, blocks):
        def enough():
            assert self.failure is None, self.failure
            return self.committed >= blocks

        until(enough, 60)

    def again(self, what, silence_s=0.0):
        """Wait for the next block that becomes durable; gives how long that took, and holds it to the promise."""
        before, began = self.committed, time.monotonic()
        self.passed(before + 1)
        took = time.monotonic() - began
        print(f"network | {what} | first new block after {took:.1f} s")
        assert took < silence_s + AGAIN_S + MARGIN_S, what
        return took

    def end(self, what, seconds=120):
        self.join(seconds)
        assert not self.is_alive(), (
            f"the run did not end ({self.committed} of {len(self.recording.plan.blocks)} blocks)"
        )
        assert self.failure is None, self.failure
        planned = self.recording.plan.frames / RATE_HZ[self.recording.plan.frame_shape]
        grown = self.grown / 2**20
        print(f"network | {what} | {self.seconds:.1f} s for {planned:.0f}, late {self.late}, +{grown:.0f} MiB")
        assert self.grown < MEMORY_BYTES[self.recording.plan.frame_shape] + SPARE_BYTES
        if self.recording.overrun == "spool":
            assert self.seconds < 1.2 * planned + 3, "the camera was slowed"


@pytest.fixture(scope="module")
def tier(tmp_path_factory):
    service = Service(tmp_path_factory.mktemp("network"), "--workers", "2")
    yield service
    service.end()


@pytest.fixture(scope="module")
def calm(tier):
    """Level 0 of undisturbed runs, as long as the longest."""
    made = {}

    def level0(size, frames):
        if size not in made or len(made[size]) * 10 < frames:
            whole = plan(frames / RATE_HZ[size], size)
            with open_run(tier.ingest, whole, overrun="block") as run:
                for number in range(whole.frames):
                    run.send(picture(number, size))
            made[size] = zarr.open_group(run.store, mode="r")["0"][...]
        return made[size][: frames // 10]

    return level0


@pytest.fixture
def proxy(monkeypatch):
    """A proxy that the agents of this test reach head and workers through."""
    made = Proxy()

    def through(ctx, endpoint, *arguments, **options):
        return Dealer(ctx, made.front(endpoint), *arguments, **options)

    monkeypatch.setattr(agent_module, "Dealer", through)
    yield made
    made.close()


@pytest.fixture
def record(tmp_path):
    """Start cameras; whatever happens, none goes on after the test."""
    cameras = []

    def start(to, what, overrun="spool", **options):
        memory = MEMORY_BYTES[what.frame_shape]
        run = open_run(
            to, what, keep_raw=True, overrun=overrun, spool=tmp_path / "spool", memory_bytes=memory, **options
        )
        cameras.append(Camera(run))
        return cameras[-1]

    yield start
    for camera in cameras:
        camera.recording.give_up()
        camera.join(30)


def exact(camera, calm):
    """See that a run is complete, and that every frame is stored bit for bit."""
    run = camera.recording
    assert run.sealed.status == "complete", run.sealed.ledger
    assert camera.committed == len(run.plan.blocks)
    report = verify(Path(run.store))
    assert report.ok, report.problems
    group, (height, width) = zarr.open_group(run.store, mode="r"), run.plan.frame_shape
    raw = group["raw/0"][...].reshape(-1, height, width)
    assert len(raw) == run.plan.frames
    for number, frame in enumerate(raw):
        np.testing.assert_array_equal(frame, picture(number, (height, width)), err_msg=str(number))
    np.testing.assert_array_equal(group["0"][...], calm((height, width), run.plan.frames))


# --- one connection after the other: a proxy ---------------------------------------------------------------------


@pytest.mark.parametrize("overrun", ["spool", "block"] if LONG else ["block"])
def test_connections_are_reset(tier, proxy, record, calm, overrun):
    camera = record(tier.ingest, plan(8), overrun)
    for _ in range(2):
        camera.passed(camera.committed + 1)
        proxy.reset()
        camera.again(f"reset, {overrun}")
    camera.end(f"reset, {overrun}")
    exact(camera, calm)


def test_connections_end_in_the_middle_of_a_frame(tier, proxy, record, calm):
    camera = record(tier.ingest, plan(7, LARGE))
    for part in (0.5, 0.99):
        camera.passed(camera.committed + 1)
        cuts = proxy.cuts
        proxy.cut_after(int(part * camera.recording.plan.frame_bytes))
        until(lambda cuts=cuts: proxy.cuts > cuts, 20)
        camera.again(f"cut after {part} of a frame")
    camera.end("cut in the middle of a frame")
    exact(camera, calm)


WAYS = {"both ways": {}, "answers only": {"up": False}, "frames only": {"down": False}}


@pytest.mark.parametrize("way", WAYS if LONG else ["both ways"])
def test_half_open(tier, proxy, record, calm, way):
    """Nobody is told that the connection is dead; it is found out by silence."""
    camera = record(tier.ingest, plan(10))
    camera.passed(1)
    proxy.swallow(**WAYS[way])
    proxy.mend()  # for new connections
    camera.again(f"half-open, {way}", SILENCE_S)
    camera.end(f"half-open, {way}")
    exact(camera, calm)


@pytest.mark.skipif(not LONG, reason="the long form")
@pytest.mark.parametrize("seconds", [1, 5, 12])
def test_nobody_answers_for_a_while(tier, proxy, record, calm, seconds):
    """A middlebox is restarted: what is open is dead, what is new is refused."""
    camera = record(tier.ingest, plan(seconds + 6))
    camera.passed(1)
    proxy.refuse()
    proxy.swallow()
    threading.Event().wait(seconds)
    proxy.mend()
    camera.again(f"refused for {seconds} s", SILENCE_S)
    camera.end(f"refused for {seconds} s")
    exact(camera, calm)


@pytest.mark.parametrize("share", [0.1, 0.5] if LONG else [0.5])
def test_bandwidth_below_the_rate(tier, proxy, record, calm, share):
    """The rate is kept, the rest waits in the spool, and the lease of nobody ends for it."""
    what = plan(8 if share > 0.2 else 12)
    camera = record(tier.ingest, what)
    camera.passed(1)
    proxy.bytes_per_s = share * what.frame_bytes * RATE_HZ[SMALL]
    sent, began = proxy.carried, time.monotonic()
    camera.join(4 if not LONG else 60)
    assert proxy.carried - sent < 1.2 * proxy.bytes_per_s * (time.monotonic() - began) + 2**20
    if share > 0.2 and not LONG:
        proxy.bytes_per_s = None
    camera.end(f"bandwidth {share:.0%} of the rate", 240)
    assert proxy.carried < 1.5 * what.frames * what.frame_bytes, "frames were sent again and again"
    exact(camera, calm)


@pytest.mark.skipif(not LONG, reason="the long form")
@pytest.mark.parametrize("delay_s", [0.05, 0.5])
def test_long_way(tier, proxy, record, calm, delay_s):
    proxy.delay_s = delay_s
    camera = record(tier.ingest, plan(8))
    camera.end(f"delay {delay_s} s")
    exact(camera, calm)


# --- everything at once: a cable ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cable():
    try:
        made = Cable()
    except NamespaceError as error:
        if os.environ.get("CI") == "true":
            raise  # under CI nothing is left out
        pytest.skip(f"namespaces are not permitted here ({error})")
    with made:
        yield made


#: The tier's patience in these tests, so that a link that is down for three seconds outlasts it.
PATIENCE_S = 2


@pytest.fixture(scope="module")
def far_tier(cable, tmp_path_factory):
    """A tier at the other end of the cable, and the key file that its instrument needs."""
    data, keys = tmp_path_factory.mktemp("far"), tmp_path_factory.mktemp("keys")
    for arguments in (("new", "scope", "--dir", keys), ("allow", keys / "scope.key", "--any-investigation")):
        ran = CliRunner().invoke(app, ["keys", *map(str, arguments), "--data", str(data)])
        assert ran.exit_code == 0, ran.output
    with cable.at(cable.tier):
        env = {"OCTOSTREAM_AGENT_TIMEOUT_S": str(PATIENCE_S)}
        service = Service(data, "--workers", "2", env=env, ingest=f"tcp://{cable.tier}:0")
    yield service, keys / "scope.key"
    service.end()


def sealed_once(service):
    return sum("taken up again" in line for line in service.err)


@pytest.mark.parametrize(
    ("seconds", "overrun"),
    [(s, o) for s in (1, 3, 10, 30, 60) for o in ("spool", "block")] if LONG else [(4, "spool")],
)
def test_link_down(far_tier, cable, record, calm, seconds, overrun):
    service, key = far_tier
    taken_up = sealed_once(service)
    with cable.at(cable.instrument):
        camera = record(service.ingest, plan(seconds + 5), overrun, key=key)
    camera.passed(1)
    cable.pull()
    try:
        threading.Event().wait(seconds)  # the fault itself, not a wait for something
    finally:
        cable.plug()
    what = f"link down {seconds} s, {overrun}"
    camera.again(what)
    camera.end(what)
    if seconds > 2 * PATIENCE_S:
        assert sealed_once(service) > taken_up, "the run was to be sealed meanwhile"
    exact(camera, calm)


@pytest.mark.skipif(not LONG, reason="the long form")
def test_link_flaps(far_tier, cable, record, calm, seed):
    service, key = far_tier
    rng = random.Random(seed)
    with cable.at(cable.instrument):
        camera = record(service.ingest, plan(30), key=key)
    camera.passed(1)
    end = time.monotonic() + 25
    try:
        while time.monotonic() < end:
            cable.pull()
            threading.Event().wait(rng.choice((0.05, 0.3, 1.0, 2.5)))
            cable.plug()
            threading.Event().wait(rng.choice((0.05, 0.3, 1.0, 2.5)))
    finally:
        cable.plug()
    camera.again(f"link flapped, seed {seed}")
    camera.end(f"link flapped, seed {seed}")
    exact(camera, calm)
