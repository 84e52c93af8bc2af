"""Peers without a key do what they can, all at once; a run beside them notices nothing, and memory comes back."""

import socket
import threading
from contextlib import ExitStack, contextmanager

import numpy as np
import psutil
import pytest
import zmq
from octostream.acquire.recording import open_run
from octostream.stream import key_files
from octostream.stream.curve import new_pair, protect_client
from octostream.stream.keys import InstrumentKey
from octostream.stream.model import Plan

from .conftest import counter, until

pytestmark = pytest.mark.system

PLAN = Plan((3, 1, 20, 64, 64))
#: Before a peer has proved its key ZeroMQ holds what it sends of one message; this much is sent here, bytes.
BOMB = 40 * 2**20
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\0" + b"CURVE".ljust(20, b"\0") + bytes(32)
CLAIM = b"\x06" + (200 * 2**20).to_bytes(8, "big") + b"\x05HELLO"
TOO_MUCH = b"\x06" + (2**62).to_bytes(8, "big") + b"\x05HELLO"


def tcp(endpoint):
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    made = socket.create_connection((host, int(port)))
    made.settimeout(30)
    return made


def ended(raw):
    """Wait until the other side has closed a connection."""
    with raw:
        try:
            while raw.recv(4096):
                pass
        except ConnectionError:
            return


def bomb(endpoint):
    """Send a good part of a message that claims to be large, before having shown any key."""
    raw = tcp(endpoint)
    try:
        raw.sendall(GREETING + CLAIM)
        for _ in range(BOMB // 2**20):
            raw.sendall(bytes(2**20))
    except ConnectionError:
        pass
    return raw


@contextmanager
def impostors(endpoint, known, tier):
    """ZeroMQ clients without key, with a password, with a wrong tier's key, with an unknown one; all send."""
    ways = {
        "nothing": lambda s: None,
        "password": lambda s: (setattr(s, "plain_username", b"a"), setattr(s, "plain_password", b"b")),
        "wrong tier": lambda s: protect_client(s, InstrumentKey("", known.pair, new_pair().public)),
        "unknown": lambda s: protect_client(s, InstrumentKey("", new_pair(), tier)),
    }
    with ExitStack() as stack:
        ctx = stack.enter_context(zmq.Context())
        for way in ways.values():
            for _ in range(5):
                made = stack.enter_context(ctx.socket(zmq.DEALER))
                made.linger = 0
                way(made)
                made.connect(endpoint)
                made.send_multipart([b"\x00" * 2**16])
        yield 5 * len(ways)


def memory(service):
    return {role: [psutil.Process(p).memory_info().rss for p in service.children(role)] for role in ("head", "worker")}


def files(service):
    return sum(psutil.Process(p).num_fds() for role in ("head", "worker") for p in service.children(role))


def test_strangers_are_counted_and_a_run_goes_on(serve, instruments):
    file = instruments.new("lattice", "*")
    known = key_files.read_instrument(file)
    service = serve(data=instruments.data)
    frames = np.random.default_rng(3).integers(0, 4000, (PLAN.frames, 64, 64), dtype=np.uint16)
    with open_run(service.ingest, PLAN, key=file) as run, ExitStack() as stack:
        for frame in frames[:20]:
            run.send(frame)
        before, open_before = memory(service), files(service)
        refused = 0
        for endpoint in (service.ingest, run._agent.welcome.workers[0].endpoint):
            silent = [tcp(endpoint) for _ in range(500)]
            halves = [tcp(endpoint) for _ in range(50)]
            for k, raw in enumerate(halves):
                raw.sendall(GREETING[: 1 + k])
            claims = [tcp(endpoint) for _ in range(10)]
            for raw in claims:
                raw.sendall(GREETING + TOO_MUCH)
            bombs = [bomb(endpoint) for _ in range(4)]
            refused += stack.enter_context(impostors(endpoint, known, known.tier))
            for frame in frames[run.sent : run.sent + 10]:
                run.send(frame)
            for raw in (*silent, *halves, *claims, *bombs):
                ended(raw)
            refused += 500 + 50 + 10 + 4
        for frame in frames[run.sent :]:
            run.send(frame)
        until(lambda: counter(service, "refused_connections") >= refused)
    assert run.sealed.status == "complete"
    assert counter(service, "malformed_messages") == 0
    until(lambda: files(service) <= open_before + 20)
    after = until(lambda: grown(before, memory(service)) < 64 * 2**20 and memory(service))
    assert {role: len(all_) for role, all_ in after.items()} == {"head": 1, "worker": 1}
    with open_run(service.ingest, PLAN, key=file) as run:
        for frame in frames:
            run.send(frame)
    assert run.sealed.status == "complete"


def grown(before, after):
    return max(now - was for role in before for was, now in zip(before[role], after[role], strict=True))


def test_a_service_with_few_files_takes_as_many_as_it_may(serve, instruments):
    """Soft limits are for people; a thousand connections must not keep a shard from being written."""
    import resource

    file = instruments.new("lattice", "*")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        service = serve(data=instruments.data)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with open_run(service.ingest, PLAN, key=file) as run:
        held = [tcp(run._agent.welcome.workers[0].endpoint) for _ in range(400)]
        for _ in range(PLAN.frames):
            run.send(np.full((64, 64), 300, np.uint16))
        for raw in held:
            ended(raw)
    assert run.sealed.status == "complete"


def test_a_flood_of_peers_that_come_and_go(serve, instruments):
    """Knocking without end costs the tier no memory and the run no frame."""
    file = instruments.new("lattice", "*")
    service = serve(data=instruments.data)
    over = threading.Event()

    def knock():
        while not over.is_set():
            with tcp(service.ingest) as raw:
                raw.sendall(GREETING)

    with open_run(service.ingest, PLAN, key=file) as run:
        run.send(np.full((64, 64), 300, np.uint16))
        flood = threading.Thread(target=knock)
        flood.start()
        try:
            until(lambda: counter(service, "refused_connections") >= 200)
            before = memory(service)
            for _ in range(PLAN.frames - 1):
                run.send(np.full((64, 64), 300, np.uint16))
            until(lambda: counter(service, "refused_connections") >= 1000, 60)
            assert grown(before, memory(service)) < 64 * 2**20
        finally:
            over.set()
            flood.join(30)
    assert run.sealed.status == "complete"
