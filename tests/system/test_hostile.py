"""Peers that send nonsense get told what is wrong with it, and nobody else notices."""

import threading
from dataclasses import replace

import msgpack
import numpy as np
import pytest
import zmq
from octostream.acquire.recording import open_run
from octostream.stream import messages as m
from octostream.stream.model import Plan
from octostream.stream.ranges import Ranges
from octostream.stream.wire import decode, encode

from .conftest import until

pytestmark = pytest.mark.system

PLAN = Plan((2, 1, 20, 64, 64))


@pytest.fixture
def peer():
    with zmq.Context() as context:
        sockets = []

        def connect(endpoint):
            socket = context.socket(zmq.DEALER)
            socket.linger = 0
            socket.connect(endpoint)
            sockets.append(socket)
            return socket

        yield connect
        for socket in sockets:
            socket.close()


def answer(socket):
    assert socket.poll(15_000), "no answer"
    return decode(socket.recv_multipart())


def nonsense():
    frame = encode(m.FrameData("r", 1, 2, 3, 4, b"abcd"))
    yield [b""]
    yield [b"\xc1\xff"]
    yield [b"a", b"b", b"c"]
    yield [msgpack.packb([1, 2])]
    yield [msgpack.packb({"v": 1, "type": "Bang"})]
    yield [msgpack.packb({"v": 9, "type": "Ping"})]
    yield [frame[0]]
    yield [frame[0], b"abc"]
    yield [encode(m.Pong())[0], b"what is this"]
    deep = []
    for _ in range(900):
        deep = [deep]
    yield [msgpack.packb({"v": 1, "type": deep})]
    yield [msgpack.packb({"v": deep, "type": "Ping"})]
    yield [msgpack.packb({"v": 1, "type": "Lost", "run": "r", "losses": deep})]


def test_nonsense_is_answered_by_name_and_recording_goes_on(shared_service, peer):
    frames = np.random.default_rng(2).integers(0, 4000, (PLAN.frames, 64, 64), dtype=np.uint16)
    with open_run(shared_service.ingest, PLAN) as run:
        endpoint = run._agent.welcome.workers[0].endpoint
        for number, frame in enumerate(frames):
            run.send(frame)
            if number == 10:
                for address in (shared_service.ingest, endpoint):
                    socket = peer(address)
                    for parts in nonsense():
                        socket.send_multipart(parts)
                        refusal = answer(socket)
                        assert isinstance(refusal, m.Refuse)
                        assert refusal.what
    assert run.sealed.status == "complete"


def test_stranger_cannot_touch_a_run(shared_service, peer):
    """Frames, flushes, losses and ends of somebody who did not join or open the run change nothing."""
    with open_run(shared_service.ingest, PLAN) as run:
        worker, head = peer(run._agent.welcome.workers[0].endpoint), peer(shared_service.ingest)
        pixels = np.full((64, 64), 9, np.uint16)
        run.send(pixels)
        for message in (
            m.FrameData(run.run, 1, 1, 0, 0, pixels.tobytes()),
            m.Flush(run.run, 1, 0, Ranges.of([0])),
            m.Ping(run.run, 1, Ranges.of([3])),
        ):
            worker.send_multipart(encode(message))
            assert "not joined" in answer(worker).what
        head.send_multipart(encode(m.End(run.run, ())))
        head.send_multipart(encode(m.Lost(run.run, ())))
        for _ in range(PLAN.frames - 1):
            run.send(pixels)
    assert run.sealed.status == "complete"


def test_knowing_a_run_is_not_enough_to_join_it(shared_service, peer):
    with open_run(shared_service.ingest, PLAN) as run:
        worker = peer(run._agent.welcome.workers[0].endpoint)
        worker.send_multipart(encode(m.Join(run.run, 1, "guessed")))
        assert "token" in answer(worker).what
        worker.send_multipart(encode(m.FrameData(run.run, 1, 0, 0, 0, bytes(PLAN.frame_bytes))))
        assert "not joined" in answer(worker).what
        for _ in range(PLAN.frames):
            run.send(np.full((64, 64), 300, np.uint16))
    assert run.sealed.status == "complete"


def test_agent_that_reports_nonsense_of_its_stages_harms_nobody(shared_service, monkeypatch):
    """A page is not worth a run: what cannot be added up is left out."""
    from octostream.acquire.agent import Agent

    bad = ({"name": "send", "rate_hz": "fast"}, {"name": "send", "buckets": [[1.0, 2]]}, {"name": ["x"]}, {"nam": 1})
    monkeypatch.setattr(
        Agent,
        "_with_stages",
        lambda self, message: replace(message, stages=bad) if type(message) is m.Ping else message,
    )
    head = shared_service.children("head")
    with open_run(shared_service.ingest, PLAN) as run:
        until(lambda: (shared_service.status() or {}).get("report", {}).get("runs"))
        for _ in range(PLAN.frames):
            run.send(np.full((64, 64), 300, np.uint16))
        threading.Event().wait(1.5)  # long enough for a ping
    assert run.sealed.status == "complete"
    assert shared_service.children("head") == head


def test_opening_what_cannot_be(shared_service, peer):
    head = peer(shared_service.ingest)
    good = m.Open("t", "", "local", PLAN, {}, keep_raw=False)
    header = msgpack.unpackb(encode(good)[0])
    for change, word in (
        ({"plan": {**header["plan"], "shape": [1, 1, 1, 10**9, 10**9]}}, "frame"),
        ({"plan": {**header["plan"], "shape": [10**15, 1, 1, 64, 64]}}, "frames"),
        ({"plan": {**header["plan"], "shape": [10**6, 1, 1, 2048, 2048]}}, "free"),
        ({"plan": {**header["plan"], "shape": [1, 1, 1, 0, 5]}}, "shape"),
        ({"plan": {**header["plan"], "rate_hz": -1}}, "rate"),
        ({"plan": {**header["plan"], "pixel": [1]}}, "plan"),
        ({"plan": {**header["plan"], "exposure_ms": float("nan")}}, "plan"),
        ({"plan": {**header["plan"], "metadata": {"sample": b"E7"}}}, "metadata"),
        ({"recipe": {"version": 99}}, "recipe"),
        ({"maps": [["calibrate.gain", "<f4", [0, 2**64 - 1]]]}, "calibrate.gain"),
        ({"maps": [["calibrate.gain", "<f4", [1] * 70]]}, "calibrate.gain"),
        ({"maps": [["calibrate.gain", "|O", [64, 64]]]}, "calibrate.gain"),
        ({"maps": [["calibrate.gain", "<f4", [64, 64]]]}, "calibrate.gain"),
        ({"name": "a/../b"}, "a/../b"),
    ):
        head.send_multipart([msgpack.packb({**header, "token": word + str(change), **change}), b""])
        refusal = answer(head)
        assert isinstance(refusal, m.Refuse), change
        assert word in refusal.what, refusal
    until(lambda: shared_service.get("/readyz").status_code == 200)
