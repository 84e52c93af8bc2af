"""Peers with a valid connection that send well-formed messages which make no sense: in any order, from any address.

No protocol may raise, take long, or hold more than it holds for an honest peer; and the honest peers' runs go on.
"""

import os
import random
import time
from dataclasses import replace

import pytest
from octostream.stream import agent_protocol as ap
from octostream.stream import head_protocol as hp
from octostream.stream import messages as m
from octostream.stream import worker_events as wp
from octostream.stream.budget import Need
from octostream.stream.ledger import Ledger
from octostream.stream.model import Frame, Loss, Plan, Run
from octostream.stream.ranges import Ranges
from octostream.stream.worker_protocol import WorkerProtocol

from .hostile_messages import Maker

LONG = os.environ.get("OCTOSTREAM_CHAOS") == "long"
SEEDS = 5000 if LONG else 150
MESSAGES = 150
PLAN = Plan((2, 3, 4, 3, 3))
PIXELS = bytes(PLAN.frame_bytes)
#: Processor time for one message, seconds; a message is small here, and the machine may be busy.
SECONDS = 0.5

seeds = pytest.mark.parametrize("first", range(0, SEEDS, SEEDS // 10))


def quickly(handle, *arguments):
    began = time.process_time()
    actions = handle(*arguments)
    assert time.process_time() - began < SECONDS, arguments
    assert len(actions) <= 2 * PLAN.frames + 20, arguments
    return actions


def maker(seed):
    rng = random.Random(seed)
    numbers = (*range(1, 5), PLAN.frames - 1, PLAN.frames, len(PLAN.blocks) - 1, len(PLAN.blocks), 2**64 - 1)
    return rng, Maker(rng, texts=("r", "s", "token", "guess", "w0", "w1"), wholes=numbers)


# --- the worker ---


class HonestSender:
    """Sends the frames of run ``s`` one by one, within its credit, between the messages of the hostile one."""

    def __init__(self, protocol):
        self.protocol, self.next, self.reduced, self.written = protocol, 0, set(), set()
        self.take(protocol.handle(wp.FromAgent(b"honest", m.Join("s", 1, "secret"))))

    def take(self, actions):
        for action in actions:
            match action:
                case wp.Reduce("s", _, frame):
                    self.reduced.add(frame.number)
                case wp.Write("s", block):
                    self.written.add(block)
                    self.take(self.protocol.handle(wp.Written("s", block)))

    def send(self):
        data = m.FrameData("s", 1, self.next, 0, 7, PIXELS)
        self.next += 1
        self.take(self.protocol.handle(wp.FromAgent(b"honest", data)))


def worker_with_two_runs():
    protocol = WorkerProtocol(window_bytes=2**20, memory_bytes=2**30)
    for run, token in (("r", "token"), ("s", "secret")):
        protocol.handle(wp.ServeRun(run, token, PLAN, 2, Ranges(), Need()))
    return protocol


@seeds
def test_worker(first):
    for seed in range(first, first + SEEDS // 10):
        rng, make = maker(seed)
        protocol = worker_with_two_runs()
        honest = HonestSender(protocol)
        for _ in range(MESSAGES):
            address = rng.choice((b"hostile", b"hostile", b"stranger"))
            message = make.message(rng.choice((None, m.FrameData, m.FrameData, m.Flush, m.Ping, m.Join)))
            if isinstance(message, m.FrameData) and rng.random() < 0.8:
                message = replace(message, payload=PIXELS)
            actions = quickly(protocol.handle, wp.FromAgent(address, message, rng.random() < 0.9))
            for action in actions:
                if isinstance(action, wp.Write) and rng.random() < 0.5:
                    quickly(protocol.handle, wp.Written(action.run, action.block))
            honest.take(actions)
            assert all(len(r.parked) * r.cost <= protocol.window(r) for r in protocol.runs)
            assert protocol.budget.used <= protocol.budget.total
            if honest.next < PLAN.frames and rng.random() < 0.3:
                honest.send()
        while honest.next < PLAN.frames:
            honest.send()
        assert honest.written == set(range(len(PLAN.blocks))), f"seed {seed}"
        assert honest.reduced == set(range(PLAN.frames)), f"seed {seed}"


def test_worker_parks_no_more_than_it_granted():
    """An agent that ignores its credit is told so; what it sends too much of is not kept."""
    plan = Plan((50, 1, 2, 1000, 1000), rate_hz=2.0)
    protocol = WorkerProtocol(window_bytes=8 * 2**20, memory_bytes=2**30)
    protocol.handle(wp.ServeRun("r", "token", plan, 1, Ranges(), Need()))
    granted = next(
        a.message.granted
        for a in protocol.handle(wp.FromAgent(b"a", m.Join("r", 1, "token")))
        if isinstance(a, wp.ToAgent) and isinstance(a.message, m.Credit)
    )
    window = granted // (plan.frame_bytes + ap.FRAME_OVERHEAD)
    payload = bytes(plan.frame_bytes)
    told = []
    for number in range(plan.frames):
        told += protocol.handle(wp.FromAgent(b"a", m.FrameData("r", 1, number, 0, 0, payload)))
    assert sum(len(r.parked) for r in protocol.runs) <= window
    refused = [a.message for a in told if isinstance(a, wp.ToAgent) and isinstance(a.message, m.Refuse)]
    assert any("credit" in r.what for r in refused)


def test_worker_is_not_held_up_by_endless_ranges():
    protocol = worker_with_two_runs()
    protocol.handle(wp.FromAgent(b"a", m.Join("r", 1, "token")))
    everything = Ranges(((0, 2**64 - 1),))
    for block in range(len(PLAN.blocks)):
        quickly(protocol.handle, wp.FromAgent(b"a", m.Flush("r", 1, block, everything)))
    for number in range(PLAN.frames):
        protocol.handle(wp.FromAgent(b"a", m.FrameData("r", 1, number, 0, 0, PIXELS)))
    actions = quickly(protocol.handle, wp.FromAgent(b"a", m.Ping("r", 1, everything)))
    assert wp.ToAgent(b"a", m.Pong("r")) in actions


# --- the head ---


@seeds
def test_head(first):
    for seed in range(first, first + SEEDS // 10):
        rng, make = maker(seed)
        protocol = hp.HeadProtocol("page")
        plan = PLAN
        protocol.handle(hp.FromWorker(b"w", m.Register("w0", "slot", "tcp://127.0.0.1:1", "cpu")), 0.0)
        run = Run("s", "n", "i", plan, {}, "store", keep_raw=False, opened_ns=0)
        protocol.handle(hp.RunCreated(run, "secret", b"honest"), 0.0)
        protocol.handle(hp.FromWorker(b"w", m.Ready("s")), 0.0)
        opened = 0
        for step in range(MESSAGES):
            now = 0.01 * step
            message = make.message(rng.choice((None, m.Open, m.End, m.Lost, m.Ping)))
            for action in quickly(protocol.handle, hp.FromAgent(rng.choice((b"x", b"y")), message), now):
                match action:
                    case hp.Create(address, opening) if rng.random() < 0.5:
                        opened += 1
                        other = Run(f"r{opened}", "n", "i", plan, {}, "store", keep_raw=False, opened_ns=0)
                        quickly(protocol.handle, hp.RunCreated(other, opening.token, address), now)
                    case hp.Create(_, opening):
                        protocol.refused(opening.token)
                    case hp.Seal(sealed, losses):
                        assert sealed != "s"
                        ledger = Ledger(plan.frames).lose(losses)
                        quickly(protocol.handle, hp.RunSealed(sealed, ledger, {}), now)
            assert len(protocol.runs) <= opened + 1
        live = protocol.runs["s"]
        assert (live.address, live.ended, live.ledger.losses) == (b"honest", None, ())
        for block in plan.blocks:
            done = m.BlockDone("s", block.number, Ranges.of(block.frames), 0, 0, ((), 0.0), ((), 0.0))
            protocol.handle(hp.FromWorker(b"w", done), 2.0)
        actions = protocol.handle(hp.FromAgent(b"honest", m.End("s", ())), 2.0)
        assert actions == [hp.Seal("s", ())], f"seed {seed}"


@seeds
def test_head_and_mad_workers(first):
    """The tier's sockets are private; still no message from there may take the head down."""
    for seed in range(first, first + SEEDS // 10):
        rng, make = maker(seed)
        protocol = hp.HeadProtocol("page")
        run = Run("r", "n", "i", PLAN, {}, "store", keep_raw=False, opened_ns=0)
        protocol.handle(hp.RunCreated(run, "token", b"agent"), 0.0)
        for step in range(MESSAGES):
            message = make.message(rng.choice((None, m.Register, m.BlockDone, m.Ready, m.Refuse, m.Stats)))
            quickly(protocol.handle, hp.FromWorker(rng.choice((b"w", b"v")), message), 0.01 * step)
            live = protocol.runs.get("r")
            if live is not None:
                # No set is made of these: they could have 2^64 members.
                assert not (live.ledger.stored - Ranges(((0, PLAN.frames - 1),))).spans, f"seed {seed}"
                assert not (live.committed - Ranges(((0, len(PLAN.blocks) - 1),))).spans, f"seed {seed}"


def test_head_takes_many_losses_at_once():
    """A megabyte of losses, each of one frame, in no order."""
    plan = Plan((10**6, 1, 1, 8, 8))
    protocol = hp.HeadProtocol("page")
    run = Run("r", "n", "i", plan, {}, "store", keep_raw=False, opened_ns=0)
    protocol.handle(hp.RunCreated(run, "token", b"agent"), 0.0)
    numbers = [2 * k for k in range(30_000)]
    random.Random(1).shuffle(numbers)
    losses = tuple(Loss(n, n, "source", "x" * 60_000 if n == 0 else "") for n in numbers)
    began = time.process_time()
    protocol.handle(hp.FromAgent(b"agent", m.Lost("r", losses)), 0.0)
    assert time.process_time() - began < 10
    ledger = protocol.runs["r"].ledger
    assert set(ledger.lost) == set(numbers)
    assert max(len(loss.why) for loss in ledger.losses) < 1000


# --- the agent ---


@seeds
def test_agent(first):
    for seed in range(first, first + SEEDS // 10):
        rng, make = maker(seed)
        protocol = ap.AgentProtocol(m.Open("token", "n", "i", PLAN, {}, keep_raw=False), 0.0)
        welcome = m.Welcome(
            "r", "n", "s", (m.Peer("w0", "tcp://127.0.0.1:1"), m.Peer("w1", "tcp://127.0.0.1:2")), Ranges()
        )
        protocol.handle(ap.FromHead(welcome), 0.0)
        captured = 0
        for step in range(MESSAGES):
            now = 0.01 * step
            if captured < PLAN.frames and rng.random() < 0.3:
                quickly(protocol.handle, ap.Captured(Frame(captured, 0, 0)), now)
                captured += 1
            message = make.message(rng.choice((None, m.Credit, m.Committed, m.Corrupt, m.Workers, m.Welcome)))
            if isinstance(message, m.Refuse | m.Sealed) or (isinstance(message, m.Welcome) and message.run != "r"):
                continue  # these end a run, as they should
            event = rng.choice((ap.FromHead(message), ap.FromWorker(rng.choice(("w0", "w1", "w9")), message)))
            quickly(protocol.handle, event, now)
            quickly(protocol.handle, ap.Tick(), now)
            assert protocol.held <= captured
