"""Fifty viewers, half of whom never read: recording, latency and memory are as if nobody looked."""

import os
import threading
import time

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ..system.conftest import LATTICE, acquire, until
from .crowd import Crowd

pytestmark = pytest.mark.system

LONG = os.environ.get("OCTOSTREAM_CHAOS") == "long"
GOOD, DEAF, DEAF_TO_EVENTS = 25, 25, 10
#: A preview has at most 512x512 pixels of 16 bits; a connection holds one, or one that is replaced while it is sent.
FRAME_BYTES = 512 * 512 * 2
FRAMES_EACH = 2
#: The numbers of one reader that never reads, and what a connection costs besides, bytes.
CONNECTION_BYTES = 256 * 2**10
#: What two runs of the same thing differ by on a shared machine.
RATE_KEPT, LATENCY_KEPT, MEMORY_SLACK = 0.97, 1.3, 48 * 2**20
TRIES = 4
SIMULATED = ("simulated:size=512x512,z=25,t=16,cells=20", "--rate", "50")
RECORDED = ("--tile", "2048x2048", "--rate", "100", "--loop", "30", "--set", "calibrate.offset=98")


@pytest.fixture
def source():
    if not LONG:
        return SIMULATED
    if not LATTICE.exists():
        pytest.skip("the recorded stack is not here (shared/data)")
    return (LATTICE, *RECORDED)


class Peak:
    """Largest memory of each part of a service, looked at while something is done, bytes."""

    def __init__(self, service):
        self.parts = {
            role: [psutil.Process(pid) for pid in service.children(role)] for role in ("head", "web", "worker")
        }
        self.bytes = dict.fromkeys(self.parts, 0)

    def look(self):
        for role, processes in self.parts.items():
            self.bytes[role] = max(self.bytes[role], sum(p.memory_info().rss for p in processes))


def metric(service, name):
    families = text_string_to_metric_families(service.get("/metrics").text)
    return next(s.value for family in families for s in family.samples if s.name == f"octostream_{name}")


def record(service, command, source, name):
    """Record once; gives what the agent says and the peaks of memory."""
    peak, tick = Peak(service), threading.Event()
    agent = command("acquire", source[0], "--to", service.ingest, "--name", name, "--json", *source[1:])
    deadline = time.monotonic() + 120
    while agent.process.poll() is None and time.monotonic() < deadline:
        peak.look()
        tick.wait(0.2)
    assert agent.wait(30) == 0, agent.err
    return agent.json(), peak.bytes


def test_nobody_who_looks_disturbs_a_recording(serve, command, source):
    service = serve()
    (web,) = service.children("web")
    files = psutil.Process(web).num_fds()
    acquire(service, "simulated:size=512x512,z=25,t=2", "--rate", "50")  # the first run fills buffers for all others
    complaints = []
    for attempt in range(TRIES):
        alone = record(service, command, source, f"alone-{attempt}")
        sent = metric(service, "preview_frames_sent_total")
        with Crowd(service.dashboard, GOOD, DEAF, DEAF_TO_EVENTS) as crowd:
            until(lambda: metric(service, "preview_viewers") == GOOD + DEAF)
            watched = record(service, command, source, f"watched-{attempt}")
            # Whoever drew nothing was sent one frame, and whoever drew was sent the next.
            assert metric(service, "preview_frames_sent_total") - sent <= crowd.drawn + GOOD + DEAF
            assert crowd.drawn >= GOOD
        until(lambda: metric(service, "preview_viewers") == 0)
        complaints.append(compare(alone, watched))
        if not complaints[-1]:
            break
    assert not complaints[-1], complaints
    until(lambda: psutil.Process(web).num_fds() <= files + 2)


def compare(alone, watched):
    """Give what became worse, of one pair of runs."""
    (quiet, before), (crowded, after) = alone, watched
    assert (quiet["status"], crowded["status"]) == ("complete", "complete")
    memory = (
        MEMORY_SLACK + (GOOD + DEAF) * FRAMES_EACH * FRAME_BYTES + (GOOD + DEAF + DEAF_TO_EVENTS) * CONNECTION_BYTES
    )
    found = {
        "rate_hz": (quiet["rate_hz"], crowded["rate_hz"], crowded["rate_hz"] >= RATE_KEPT * quiet["rate_hz"]),
        "p99_ms": (
            p99 := quiet["latency_ms"]["durable"]["p99"],
            now := crowded["latency_ms"]["durable"]["p99"],
            now <= LATENCY_KEPT * p99,
        ),
        "web": (before["web"], after["web"], after["web"] <= before["web"] + memory),
        **{
            role: (before[role], after[role], after[role] <= before[role] + MEMORY_SLACK) for role in ("head", "worker")
        },
    }
    print({name: figures[:2] for name, figures in found.items()})
    return {name: figures for name, figures in found.items() if not figures[2]}


def test_viewers_that_never_read_do_not_hold_up_a_shutdown(serve, command):
    service = serve()
    agent = command("acquire", SIMULATED[0], "--to", service.ingest, "--json", *SIMULATED[1:])
    with Crowd(service.dashboard, 0, DEAF, DEAF_TO_EVENTS):
        until(lambda: metric(service, "preview_viewers") == DEAF)
        until(lambda: metric(service, "preview_frames_sent_total") >= DEAF)
        began = time.monotonic()
        service.end()
        assert time.monotonic() - began < 20
    agent.process.kill()
