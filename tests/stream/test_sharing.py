"""Many runs on one worker that cannot hold them all: nobody starves, nobody waits for somebody who waits, and what is
really held never exceeds the budget.
"""

import random
from collections import Counter, deque
from dataclasses import dataclass, field

import pytest
from octostream.stream import agent_protocol as ap
from octostream.stream import messages as m
from octostream.stream import worker_events as we
from octostream.stream.budget import Budget, Need
from octostream.stream.errors import MemoryRefusedError
from octostream.stream.model import Frame, Plan
from octostream.stream.ranges import Ranges
from octostream.stream.sharing import IDLE_S, PATIENCE_S
from octostream.stream.worker_protocol import WorkerProtocol

SHAPES = [(4, 1, 6, 16, 16), (8, 1, 3, 64, 64), (2, 1, 10, 32, 32), (3, 2, 4, 100, 100)]
MIB = 2**20


@dataclass
class Party:
    """An agent with its run, and what the worker has allocated for it."""

    name: str
    plan: Plan
    need: Need
    agent: ap.AgentProtocol
    address: bytes = b""
    connections: int = 0
    captured: int = 0
    asleep_until: float = 0.0
    inbox: deque = field(default_factory=deque)
    under_way: deque = field(default_factory=deque)
    free: int = 0
    slots: dict = field(default_factory=dict)
    parked: set = field(default_factory=set)
    committed: Ranges = field(default_factory=Ranges)
    writes: list = field(default_factory=list)

    @property
    def over(self):
        return self.captured == self.plan.frames and len(self.committed) == len(self.plan.blocks)

    @property
    def held(self):
        """Bytes that are really taken, frames on their way to a session that was ended among them."""
        frame = self.plan.frame_bytes
        slots = (self.free + len(self.slots)) * self.need.slot
        coming = sum(isinstance(message, m.FrameData) for message in self.under_way)
        return self.need.fixed + slots + (len(self.parked) + coming) * frame


def cost(plan):
    return plan.frame_bytes + ap.FRAME_OVERHEAD


class World:
    def __init__(self, rng, memory, window):
        self.rng = rng
        self.now = 0.0
        self.parties = {}
        self.worker = WorkerProtocol(window, memory)

    @classmethod
    def crowded(cls, seed, spare):
        """Some runs on a worker that has little more than it takes to keep all of them open."""
        rng = random.Random(seed)
        plans = [Plan(rng.choice(SHAPES), rate_hz=None) for _ in range(rng.randrange(2, 9))]
        runs = [(p, Need(1000, rng.randrange(1, 9) * MIB, rng.randrange(3) * MIB)) for p in plans]
        memory = max(Budget.least(need, cost(plan)) for plan, need in runs)
        memory += sum(2 * cost(plan) + need.fixed for plan, need in runs)
        world = cls(rng, memory + spare, rng.choice([1, 1000]) * 10_000)
        for k, (plan, need) in enumerate(runs):
            world.open(f"r{k}", plan, need)
        return world

    @classmethod
    def of_two(cls, *names):
        """Two runs of which only one can have a slot."""
        plan, need = Plan((4, 1, 8, 16, 16)), Need(0, 4 * MIB, MIB)
        world = cls(random.Random(1), Budget.least(need, cost(plan)) + 3 * cost(plan), 4 * cost(plan))
        for name in names:
            world.open(name, plan, need)
        return world

    def open(self, name, plan, need):
        agent = ap.AgentProtocol(m.Open(name, name, "i", plan, {}, keep_raw=False), 0.0, ap.Timing(connect_s=1e9))
        actions, why = self.worker.make_room(plan, need)
        self.act(actions)
        assert not why
        self.worker.handle(we.ServeRun(name, name, plan, 3, Ranges(), need))
        party = self.parties[name] = Party(name, plan, need, agent)
        agent.start()
        welcome = m.Welcome(name, name, "store", (m.Peer("w", "tcp://h:1"),), Ranges())
        self.agent_acts(party, agent.handle(ap.FromHead(welcome), self.now))

    def agent_acts(self, party, actions):
        for action in actions:
            match action:
                case ap.Connect():
                    party.connections += 1
                    party.address = f"{party.name}/{party.connections}".encode()
                    party.under_way.clear()
                case ap.ToWorker(_, message):
                    party.under_way.append(message)
                case ap.SendFrame(_, session, frame):
                    payload = bytes(party.plan.frame_bytes)
                    party.under_way.append(m.FrameData(party.name, session, frame.number, 0, 0, payload))
        self.check()

    def act(self, actions):
        for action in actions:
            name = getattr(action, "run", None) or action.address.decode().partition("/")[0]
            party = self.parties[name]
            match action:
                case we.ToAgent(address, message) if address == party.address:
                    party.inbox.append(message)
                case we.Warm():
                    party.free += 1
                case we.FreeSlot():
                    party.free -= 1
                case we.Begin(_, block):
                    party.free = max(0, party.free - 1)
                    party.slots[block] = set()
                case we.Reduce(_, block, frame):
                    party.slots[block].add(frame.number)
                    party.parked.discard(frame.number)
                case we.Park(_, number):
                    party.parked.add(number)
                case we.DropParked():
                    party.parked.clear()
                case we.Discard(_, block):
                    del party.slots[block]
                    party.free += 1
                case we.Write(_, block, frames):
                    assert {f.number for f in frames} == party.slots[block]
                    party.writes.append((self.now + self.rng.uniform(0, 0.5), block))
        for party in self.parties.values():
            assert party.free >= 0
        self.check()

    def check(self):
        budget = self.worker.budget
        held = sum(p.held for p in self.parties.values())
        assert held <= budget.used <= budget.total, (held, budget.used, budget.total)

    def step(self):
        self.now += 0.1
        self.act(self.worker.handle(we.Tick(self.now, not any(p.under_way for p in self.parties.values()))))
        parties = list(self.parties.values())
        self.rng.shuffle(parties)
        for party in parties:
            self.finish_writes(party)
            if party.asleep_until <= self.now:
                self.wake(party)
            self.deliver(party, self.rng.randrange(5))

    def deliver(self, party, most):
        for _ in range(min(most, len(party.under_way))):
            self.act(self.worker.handle(we.FromAgent(party.address, party.under_way.popleft())))

    def finish_writes(self, party):
        for due, block in [w for w in party.writes if w[0] <= self.now]:
            party.writes.remove((due, block))
            del party.slots[block]
            party.free += 1
            party.committed |= Ranges.of([block])
            self.act(self.worker.handle(we.Written(party.name, block)))

    def hear(self, party):
        while party.inbox:
            self.agent_acts(party, party.agent.handle(ap.FromWorker("w", party.inbox.popleft()), self.now))

    def wake(self, party):
        self.hear(party)
        for _ in range(self.rng.randrange(4)):
            if party.captured < party.plan.frames and party.agent.held < 40:
                frame = Frame(party.captured, 0, 0)
                party.captured += 1
                self.agent_acts(party, party.agent.handle(ap.Captured(frame), self.now))
        self.agent_acts(party, party.agent.handle(ap.Tick(), self.now))
        if self.rng.random() < 0.02:
            party.asleep_until = self.now + self.rng.choice([1.0, 3 * IDLE_S])

    def run(self, most_steps=6000):
        steps = 0
        while not all(p.over for p in self.parties.values()):
            self.step()
            steps += 1
            assert steps < most_steps, {n: (p.captured, len(p.committed)) for n, p in self.parties.items()}


@pytest.mark.parametrize("spare", [0, 6 * MIB, 100 * MIB])
def test_every_run_completes_within_the_budget(spare):
    for seed in range(25):
        World.crowded(seed, spare).run()


def test_an_idle_run_makes_room_for_an_active_one_and_comes_back():
    world = World.of_two("quiet", "busy")
    quiet, busy = world.parties.values()
    world.deliver(quiet, 1)
    world.hear(quiet)
    for number in range(3):
        quiet.captured += 1
        world.agent_acts(quiet, quiet.agent.handle(ap.Captured(Frame(number, 0, 0)), world.now))
    quiet.asleep_until = 1e9
    busy_frames = Counter()
    while not busy.over:
        world.step()
        busy_frames[bool(quiet.slots)] += 1
        assert world.now < 120
    assert busy_frames[True] > 0, "the quiet run had a slot"
    assert not quiet.slots, "it gave it up"
    quiet.asleep_until = 0.0
    world.run()


def test_waiting_is_told_after_a_while_and_not_before():
    world = World.of_two("first", "second")
    worker = world.worker

    def frame(name, number):
        party = world.parties[name]
        data = m.FrameData(name, 1, number, 0, 0, bytes(party.plan.frame_bytes))
        return worker.handle(we.FromAgent(party.address, data))

    for party in world.parties.values():
        world.deliver(party, 9)
    assert any(isinstance(a, we.Reduce) for a in frame("first", 0))
    assert frame("second", 0) == [we.Park("second", 0)]
    worker.handle(we.Tick(PATIENCE_S / 2))
    assert worker.waiting == {}
    worker.handle(we.Tick(PATIENCE_S))
    assert list(worker.waiting) == ["second"]
    assert "1 other run" in worker.waiting["second"]
    worker.handle(we.ForgetRun("first"))
    assert worker.waiting == {}


def test_a_run_that_can_never_fit_is_refused_with_need_and_given():
    worker = WorkerProtocol(64 * MIB, 100 * MIB)
    plan = Plan((1, 1, 4, 2048, 2048))
    with pytest.raises(MemoryRefusedError, match=r"needs 225 MiB .* has 100 MiB") as refused:
        worker.make_room(plan, Need(0, 150 * MIB, 50 * MIB))
    assert "by at least 125" in refused.value.remedy


def test_no_more_runs_than_can_get_on_one_at_a_time():
    worker = WorkerProtocol(64 * MIB, 150 * MIB)
    plan, need = Plan((9, 1, 4, 1024, 1024)), Need(4 * MIB, 50 * MIB, 50 * MIB)
    served = 0
    while True:
        _, why = worker.make_room(plan, need)
        if why:
            break
        worker.handle(we.ServeRun(f"r{served}", "t", plan, 3, Ranges(), need))
        served += 1
        assert served < 50
    assert 2 <= served <= 8
    assert "waits for memory" in why
    worker.handle(we.ForgetRun("r0"))
    assert worker.make_room(plan, need)[1] == ""


def test_frames_that_nobody_allowed_are_not_kept():
    plan, need = Plan((99, 1, 4, 64, 64)), Need(0, MIB, MIB)
    worker = WorkerProtocol(64 * 1024, 100 * MIB)
    worker.handle(we.ServeRun("r", "t", plan, 3, Ranges(), need))
    worker.handle(we.FromAgent(b"a", m.Join("r", 1, "t")))
    kept = 0
    for number in range(plan.frames):
        actions = worker.handle(we.FromAgent(b"a", m.FrameData("r", 1, number, 0, 0, bytes(plan.frame_bytes))))
        kept += any(isinstance(a, we.Park | we.Reduce) for a in actions)
        assert worker.budget.used <= worker.budget.total
    window = 64 * 1024 // cost(plan)
    assert kept <= 3 * plan.blocks[0].count + window
