"""The three protocols in one process, over a network that loses, repeats, delays and reorders, with parties that die.

Whatever happens, every frame that was captured must end up committed exactly as captured, and the ledger must name
every other one. Run more seeds by hand: OCTOSTREAM_SEEDS=10000 pytest tests/stream/test_simulation.py
"""

import heapq
import os
import random
from dataclasses import dataclass, field

import pytest
from octostream.stream import agent_protocol as ap
from octostream.stream import head_protocol as hp
from octostream.stream import messages as m
from octostream.stream import worker_protocol as wp
from octostream.stream.ledger import Ledger
from octostream.stream.model import Frame, Loss, Plan, Run
from octostream.stream.ranges import Ranges

SEEDS = int(os.environ.get("OCTOSTREAM_SEEDS", "300"))
SHAPES = [(1, 1, 1, 1, 1), (6, 1, 5, 4, 4), (2, 3, 4, 3, 3), (1, 1, 40, 2048, 2048), (9, 2, 1, 600, 600)]


@dataclass
class Disk:
    """What survives: committed blocks with the frames in them."""

    blocks: dict[int, frozenset[int]] = field(default_factory=dict)

    def frames(self):
        return Ranges.of(n for frames in self.blocks.values() for n in frames)


@dataclass
class WorkerParty:
    name: str
    protocol: wp.WorkerProtocol
    address: bytes
    parked: set = field(default_factory=set)
    slots: dict = field(default_factory=dict)
    writes: list = field(default_factory=list)
    lives: bool = True


class World:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.now = 0.0
        self.trouble = self.rng.random() < 0.8
        shape = self.rng.choice(SHAPES)
        self.plan = Plan(shape, rate_hz=self.rng.choice([None, 20.0, 100.0]))
        self.payload = bytes(self.plan.frame_bytes)
        self.disk = Disk()
        self.queue = []
        self.order = 0
        self.lives = 0
        opening = m.Open("token", "n", "i", self.plan, {}, keep_raw=False)
        self.agent = ap.AgentProtocol(opening, 0.0, ap.Timing(connect_s=1e9))
        self.connections = {}
        self.head = self.new_head()
        self.run = None
        self.workers = {}
        self.captured = set()
        self.missed = set()
        self.next_frame = 0
        self.stop_at = self.rng.randrange(self.plan.frames + 1) if self.rng.random() < 0.3 else self.plan.frames
        self.finished = False
        self.sealed = None
        self.ring = {}
        for slot in range(self.rng.choice([1, 1, 2, 3])):
            self.start_worker(f"w{slot}")
        self.agent_acts(self.agent.start())

    # --- parties ---

    def new_head(self):
        return hp.HeadProtocol("", hp.HeadTiming(agent_s=1e9, open_s=1e9))

    def start_worker(self, slot):
        self.lives += 1
        name = f"{slot}-{self.lives}"
        self.workers[slot] = WorkerParty(name, wp.WorkerProtocol(self.rng.choice([1, 2, 8]) * 2**20), name.encode())

    def later(self, what, lossy=True):
        """Deliver once, late, twice or never."""
        times = 1
        delay = self.rng.uniform(0.0, 0.02)
        if self.trouble and lossy:
            times = self.rng.choices([0, 1, 2], [0.02, 0.96, 0.02])[0]
            delay = self.rng.choice([delay, delay, delay, self.rng.uniform(0, 1.0)])
        for _ in range(times):
            self.order += 1
            heapq.heappush(self.queue, (self.now + delay * self.rng.uniform(1, 1.1), self.order, what))

    # --- actions ---

    def agent_acts(self, actions):
        for action in actions:
            match action:
                case ap.ToHead(message):
                    self.later(("head", b"agent", message))
                case ap.Connect(worker, _):
                    self.connections[worker] = self.connections.get(worker, 0) + 1
                case ap.Disconnect(worker):
                    self.connections[worker] = self.connections.get(worker, 0) + 1
                case ap.ToWorker(worker, message):
                    self.later(("worker", worker, self.connections[worker], message))
                case ap.SendFrame(worker, session, frame):
                    assert frame.number in self.ring, "a frame is sent whose buffer was given back"
                    data = m.FrameData(self.agent.run, session, frame.number, 0, 0, self.payload)
                    self.later(("worker", worker, self.connections[worker], data))
                case ap.Release(frames):
                    for number in frames:
                        assert number in self.disk.frames(), f"frame {number} was given up before it was durable"
                        del self.ring[number]
                case ap.Finished(sealed):
                    self.sealed = sealed
                case ap.Failed(error):
                    raise error

    def head_acts(self, actions):
        for action in actions:
            match action:
                case hp.ToAgent(_, message):
                    self.later(("agent-from-head", message))
                case hp.ToWorker(address, message):
                    self.later(("tier", address.decode(), message))
                case hp.Create(address, _):
                    self.run = Run("r", "n", "i", self.plan, {}, "store", keep_raw=False, opened_ns=0)
                    self.head_acts(self.head.handle(hp.RunCreated(self.run, "token", address), self.now))
                case hp.Seal(run, losses):
                    stored = self.disk.frames()
                    ledger = Ledger(self.plan.frames).store(stored).lose(losses)
                    rest = (Loss(a, b, "store", "no commit record") for a, b in ledger.unknown.spans)
                    self.head_acts(self.head.handle(hp.RunSealed(run, ledger.lose(rest), {}), self.now))

    def worker_acts(self, party, actions):
        for action in actions:
            match action:
                case wp.ToAgent(address, message):
                    self.later(("agent-from-worker", party.name, address, message))
                case wp.Begin(_, block):
                    assert block not in party.slots
                    party.slots[block] = set()
                    assert len(party.slots) <= 3, "more blocks than slots"
                case wp.Reduce(_, block, frame):
                    party.slots[block].add(frame.number)
                    party.parked.discard(frame.number)
                case wp.Park(_, number):
                    party.parked.add(number)
                case wp.Discard(_, block):
                    del party.slots[block]
                case wp.DropParked():
                    party.parked.clear()
                case wp.Write(_, block, frames):
                    assert {f.number for f in frames} == party.slots[block]
                    self.later(("written", party.name, block, frozenset(party.slots[block])), lossy=False)

    # --- deliveries ---

    def deliver(self, what):
        match what:
            case ("head", address, message):
                self.head_acts(self.head.handle(hp.FromAgent(address, message), self.now))
            case ("agent-from-head", message):
                self.agent_acts(self.agent.handle(ap.FromHead(message), self.now))
            case ("worker", name, connection, message):
                party = self.alive(name)
                if party and connection == self.connections.get(name):
                    address = f"{name}/{connection}".encode()
                    self.worker_acts(party, party.protocol.handle(wp.FromAgent(address, message)))
            case ("agent-from-worker", name, address, message):
                if address == f"{name}/{self.connections.get(name)}".encode():
                    self.agent_acts(self.agent.handle(ap.FromWorker(name, message), self.now))
            case ("tier", name, message):
                party = self.alive(name)
                if party and isinstance(message, m.Serve):
                    committed = Ranges.of(self.disk.blocks)
                    party.protocol.handle(wp.ServeRun("r", "token", self.plan, 3, committed))
                    self.later(("from-tier", name, m.Ready("r")))
            case ("from-tier", name, message):
                self.head_acts(self.head.handle(hp.FromWorker(name.encode(), message), self.now))
            case ("written", name, block, frames):
                party = self.alive(name)
                if party is None:
                    return  # it died before the commit record was there
                before = self.disk.blocks.get(block)
                assert before is None or before <= frames, "a block lost frames when it was written again"
                self.disk.blocks[block] = frames
                party.slots.pop(block, None)
                self.worker_acts(party, party.protocol.handle(wp.Written("r", block)))
                done = m.BlockDone("r", block, Ranges.of(frames), 0, 0, ((), 0.0), ((), 0.0))
                self.later(("from-tier", name, done))

    def alive(self, name):
        return next((w for w in self.workers.values() if w.name == name), None)

    # --- time ---

    def step(self):
        self.now += 0.05
        while self.queue and self.queue[0][0] <= self.now:
            self.deliver(heapq.heappop(self.queue)[2])
        self.capture()
        for party in self.workers.values():
            self.later(("from-tier", party.name, m.Register(party.name, party.name[:2], "tcp://x:1", "cpu")))
        self.agent_acts(self.agent.handle(ap.Tick(), self.now))
        self.head_acts(self.head.handle(hp.Tick(), self.now))
        if self.trouble and self.now < 30:
            self.make_trouble()

    def capture(self):
        for _ in range(self.rng.randrange(6)):
            if self.next_frame >= self.stop_at or len(self.ring) >= 120:
                break
            number, self.next_frame = self.next_frame, self.next_frame + 1
            if self.trouble and self.rng.random() < 0.01:
                self.missed.add(number)
                self.agent_acts(self.agent.handle(ap.Missed(number, "source", "blink"), self.now))
            else:
                self.captured.add(number)
                self.ring[number] = True
                self.agent_acts(self.agent.handle(ap.Captured(Frame(number, 0, 0)), self.now))
        if self.next_frame >= self.stop_at and not self.finished:
            self.finished = True
            self.agent_acts(self.agent.handle(ap.Finish("stopped"), self.now))

    def make_trouble(self):
        if self.rng.random() < 0.01:
            self.start_worker(self.rng.choice(list(self.workers)))
        if self.rng.random() < 0.003:
            self.queue = [entry for entry in self.queue if entry[2][0] == "written"]  # the network goes away
            heapq.heapify(self.queue)
        if self.rng.random() < 0.005 and self.run is not None and "r" in self.head.runs:
            self.head = self.new_head()
            committed = Ranges.of(self.disk.blocks)
            event = hp.RunCreated(self.run, "token", None, committed, self.disk.frames())
            self.head_acts(self.head.handle(event, self.now))


@pytest.mark.parametrize("first", range(0, SEEDS, 50))
def test_nothing_is_lost_whatever_happens(first):
    for seed in range(first, min(first + 50, SEEDS)):
        world = World(seed)
        steps = 0
        while world.sealed is None:
            world.step()
            steps += 1
            assert steps < 6000, f"seed {seed}: the run does not end"
        ledger = world.sealed.ledger
        stored = {n for a, b in ledger["stored"] for n in range(a, b + 1)}
        lost = {n for loss in ledger["lost"] for n in range(loss["first"], loss["last"] + 1)}
        assert stored == world.captured == set(world.disk.frames()), f"seed {seed}"
        assert lost == set(range(world.plan.frames)) - world.captured, f"seed {seed}"
        assert world.sealed.status == ("incomplete" if lost else "complete"), f"seed {seed}"
        assert not world.ring, f"seed {seed}: frames are held for ever"
        assert {loss["why"] for loss in ledger["lost"]} <= {"blink", "stopped"}, f"seed {seed}"
