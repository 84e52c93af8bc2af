"""The three protocols in one process, over a network that can do anything, with parties that die and stand still.

The world carries out what the protocols decide, keeps what a disk would keep, and complains as soon as the promise is
broken: a frame is given up only when it is durable, and what is durable is what was captured.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from octostream.stream import agent_protocol as ap
from octostream.stream import head_protocol as hp
from octostream.stream import messages as m
from octostream.stream import worker_events as wp
from octostream.stream.agent_protocol import FRAME_OVERHEAD
from octostream.stream.budget import Budget, Need
from octostream.stream.ledger import Ledger
from octostream.stream.model import Frame, Loss, Plan, Run
from octostream.stream.ranges import Ranges
from octostream.stream.worker_protocol import WorkerProtocol

from .network import Delivery, Network

#: Product buffers of a worker.
SLOTS = 3
#: Frames that an agent reads back from its spool at once.
BUFFERS = 3
#: What a run takes of a worker; some workers have memory for one slot only.
NEED = Need(fixed=1000, slot=10_000_000, write=2_000_000)
#: Frames that an agent holds at most.
RING_FRAMES = 120
STEP_S = 0.05
#: A worker says so often that it is there.
REPORT_S = 0.5

AGENT, HEAD = "agent", "head"


@dataclass
class Disk:
    """What survives: committed blocks with the checksum of each frame in them."""

    blocks: dict[int, dict[int, int]] = field(default_factory=dict)

    @property
    def frames(self) -> dict[int, int]:
        """Checksum by frame number."""
        return {number: checksum for frames in self.blocks.values() for number, checksum in frames.items()}

    @property
    def stored(self) -> Ranges:
        """Frame numbers."""
        return Ranges.of(number for frames in self.blocks.values() for number in frames)


@dataclass
class WorkerParty:
    """One life of a worker: its protocol, and what its process would have in memory."""

    name: str
    slot: str
    protocol: WorkerProtocol
    parked: set[int] = field(default_factory=set)
    blocks: dict[int, set[int]] = field(default_factory=dict)


class World:
    """One run, from OPEN to SEALED.

    Parameters
    ----------
    rng : random.Random
        Where chance comes from.
    plan : Plan
        What is acquired.
    workers : int
        Slots of the tier.
    patience_s : float
        After so much silence of its agent the head seals the run.

    Attributes
    ----------
    damage : float
        Share of the frames in the spool that cannot be read back.
    ring, spool : dict
        Frames that the agent holds, in memory and on its disk.
    gone : set of int
        Captured frames that died with an agent's memory, or in its spool.
    noted : dict
        Why frames never came, as the spool knows it.
    """

    def __init__(self, rng: random.Random, plan: Plan, workers: int, patience_s: float = 1e9) -> None:
        self.rng = rng
        self.plan = plan
        self.network = Network(rng)
        self.disk = Disk()
        self.now = 0.0
        self.run: Run | None = None
        self.sealed: m.Sealed | None = None
        self.captured: dict[int, int] = {}
        self.ring: dict[int, int] = {}
        self.spool: dict[int, int] = {}
        self.gone: set[int] = set()
        self.noted: dict[int, str] = {}
        self.next_frame = 0
        self.stop_at = plan.frames
        self.workers: dict[str, WorkerParty] = {}
        self._payload = bytes(plan.frame_bytes)
        self._connections: dict[str, int] = {}
        self._lives = 0
        self._next_report = 0.0
        self.damage = 0.0
        self.closed = False
        self._lent = 0
        self._finished = False
        self._patience_s = patience_s
        self.head = self._new_head()
        self.agent = self._new_agent()
        for slot in range(workers):
            self.start_worker(f"w{slot}")
        self._agent_acts(self.agent.start())

    # --- parties begin, die and stand still ---

    def _new_agent(self) -> ap.AgentProtocol:
        opening = m.Open("token", "n", "i", self.plan, {}, keep_raw=False)
        return self._living_agent(opening)

    def _living_agent(self, opening: m.Open) -> ap.AgentProtocol:
        agent = ap.AgentProtocol(opening, self.now, ap.Timing(connect_s=1e9))
        self._lent = 0
        agent.handle(ap.Buffers(BUFFERS), self.now)
        return agent

    def restart_agent(self) -> None:
        """Have the agent die: its memory is gone. Another one sends what the spool holds, and ends the run."""
        if self.run is None or not self.agent.run or self.sealed is not None:
            return
        self.gone |= self.ring.keys()
        self.ring.clear()
        self.stop_at = self.next_frame
        self._finished = True
        self._connections = {worker: number + 1 for worker, number in self._connections.items()}
        opening = m.Open("token", "n", "i", self.plan, {}, keep_raw=False, resume=self.run.id)
        self.agent = self._living_agent(opening)
        self._agent_acts(self.agent.start())
        for number, checksum in self.spool.items():
            self._agent_acts(self.agent.handle(ap.Captured(Frame(number, 0, checksum)), self.now))
            self._agent_acts(self.agent.handle(ap.Spooled(number), self.now))
        for number, why in self.noted.items():
            self._agent_acts(self.agent.handle(ap.Missed(number, "source", why), self.now))
        self._agent_acts(self.agent.handle(ap.Finish("died", "agent"), self.now))

    def _new_head(self) -> hp.HeadProtocol:
        return hp.HeadProtocol("", hp.HeadTiming(agent_s=self._patience_s, open_s=1e9))

    def start_worker(self, slot: str) -> None:
        """Begin a worker's life; if the slot had one, that is over, and what it had in memory is gone."""
        self._lives += 1
        name = f"{slot}-{self._lives}"
        window = self.rng.choice([1, 2, 8]) * 2**20
        least = Budget.least(NEED, self.plan.frame_bytes + FRAME_OVERHEAD)
        memory = self.rng.choice([least, least + NEED.slot, 100 * least])
        self.workers[slot] = WorkerParty(name, slot, WorkerProtocol(window, memory))

    def restart_head(self) -> None:
        """Have the head die and come back with what is on the disk."""
        if self.run is None or self.run.id not in self.head.runs:
            return
        self.head = self._new_head()
        event = hp.RunCreated(self.run, "token", None, Ranges.of(self.disk.blocks), self.disk.stored)
        self._head_acts(self.head.handle(event, self.now))

    def parties(self) -> list[str]:
        """Give the names of all that live."""
        return [AGENT, HEAD, *(w.name for w in self.workers.values())]

    # --- the source ---

    def capture(self) -> None:
        """Have the camera deliver a frame, if the agent lives, has room, and frames are left."""
        if self.next_frame >= self.stop_at or len(self.ring) >= RING_FRAMES or AGENT in self.network.held:
            return
        number, self.next_frame = self.next_frame, self.next_frame + 1
        self.captured[number] = self.ring[number] = self.rng.getrandbits(64)
        self._agent_acts(self.agent.handle(ap.Captured(Frame(number, 0, self.captured[number])), self.now))

    def miss(self) -> None:
        """Have the camera fail to deliver a frame."""
        if self.next_frame < self.stop_at and AGENT not in self.network.held:
            number, self.next_frame = self.next_frame, self.next_frame + 1
            self.noted[number] = "blink"
            self._agent_acts(self.agent.handle(ap.Missed(number, "source", "blink"), self.now))

    def spool_frame(self) -> None:
        """Have the agent put a frame of its memory into the spool, as it does when that runs full."""
        if self.ring and AGENT not in self.network.held:
            number = self.rng.choice(list(self.ring))
            self.spool[number] = self.ring.pop(number)
            self._agent_acts(self.agent.handle(ap.Spooled(number), self.now))

    def drop(self) -> None:
        """Have the camera deliver a frame that nothing can keep."""
        if self.next_frame < self.stop_at and AGENT not in self.network.held:
            number, self.next_frame = self.next_frame, self.next_frame + 1
            self.noted[number] = "full"
            self._agent_acts(self.agent.handle(ap.Missed(number, "agent", "full"), self.now))

    def stop(self) -> None:
        """Have the operator stop the acquisition."""
        self.stop_at = self.next_frame

    # --- time ---

    def step(self) -> None:
        """Let a twentieth of a second pass."""
        self.now += STEP_S
        for delivery in self.network.due(self.now):
            self._deliver(delivery)
        if self.now >= self._next_report:
            self._next_report = self.now + REPORT_S
            self._workers_report()
        if AGENT not in self.network.held:
            freed, self._lent = self._lent, 0
            self._agent_acts(self.agent.handle(ap.Buffers(freed), self.now))
            self._agent_acts(self.agent.handle(ap.Tick(), self.now))
            self._finish()
        if HEAD not in self.network.held:
            self._head_acts(self.head.handle(hp.Tick(), self.now))

    def _workers_report(self) -> None:
        for party in self.workers.values():
            if party.name not in self.network.held:
                self._worker_acts(party, party.protocol.handle(wp.Tick(self.now)))
            said = m.Register(party.name, party.slot, "tcp://x:1", "cpu")
            self._send(party.name, HEAD, ("from-tier", party.name, said))

    def _finish(self) -> None:
        if self.next_frame >= self.stop_at and not self._finished:
            self._finished = True
            self._agent_acts(self.agent.handle(ap.Finish("stopped"), self.now))

    def _send(self, source: str, target: str, content: tuple) -> None:
        self.network.send(self.now, Delivery(source, target, content))

    # --- what the protocols decide ---

    def _agent_acts(self, actions: list[ap.Action]) -> None:
        for action in actions:
            match action:
                case ap.ToHead(message):
                    self._send(AGENT, HEAD, ("head", message))
                case ap.Connect(worker) | ap.Disconnect(worker):
                    self._connections[worker] = self._connections.get(worker, 0) + 1
                case ap.ToWorker(worker, message):
                    self._send(AGENT, worker, ("worker", worker, self._connections[worker], message))
                case ap.SendFrame(worker, session, frame):
                    if not self._read(frame.number):
                        continue
                    data = m.FrameData(self.agent.run, session, frame.number, 0, frame.checksum, self._payload)
                    self._send(AGENT, worker, ("worker", worker, self._connections[worker], data))
                case ap.Release(frames):
                    stored = self.disk.frames
                    for number in frames:
                        assert number in stored, f"frame {number} was given up before it was durable"
                        if self.ring.pop(number, None) is None:
                            self.spool.pop(number, None)  # or it was found damaged meanwhile
                case ap.Finished(sealed):
                    self.sealed = sealed
                case ap.Failed(error):
                    raise error
                case _:
                    pass

    def _read(self, number: int) -> bool:
        """Read a frame that is to be sent; one in the spool takes a buffer, and now and then it is damaged."""
        if number in self.ring:
            return True
        found_damaged = self.noted.get(number) == "damaged"
        assert found_damaged or number in self.spool, "a frame is sent whose buffer was given back"
        if found_damaged or self.rng.random() < self.damage:
            self.spool.pop(number, None)
            self.gone.add(number)
            self.noted[number] = "damaged"
            self._send(AGENT, AGENT, ("damaged", self.agent, number))
            return False
        self._lent += 1
        assert self._lent <= BUFFERS, "more frames are read back than there are buffers"
        return True

    def _head_acts(self, actions: list[hp.Action]) -> None:
        for action in actions:
            match action:
                case hp.ToAgent(_, message):
                    self._send(HEAD, AGENT, ("agent-from-head", message))
                case hp.ToWorker(address, message):
                    self._send(HEAD, address.decode(), ("tier", address.decode(), message))
                case hp.Create(address, _):
                    self.run = Run("r", "n", "i", self.plan, {}, "store", keep_raw=False, opened_ns=0)
                    self._head_acts(self.head.handle(hp.RunCreated(self.run, "token", address), self.now))
                case hp.Reopen(address, opening):
                    assert self.run is not None
                    assert opening.resume == self.run.id
                    self.closed = False
                    known = Ranges.of(self.disk.blocks)
                    event = hp.RunCreated(self.run, "token", address, known, self.disk.stored)
                    self._head_acts(self.head.handle(event, self.now))
                case hp.Seal(run, losses):
                    self.closed = True
                    ledger = Ledger(self.plan.frames).store(self.disk.stored).lose(losses)
                    rest = (Loss(a, b, "store", "no commit record") for a, b in ledger.unknown.spans)
                    self._head_acts(self.head.handle(hp.RunSealed(run, ledger.lose(rest), {}), self.now))
                case _:
                    pass

    def _worker_acts(self, party: WorkerParty, actions: list[wp.Action]) -> None:
        budget = party.protocol.budget
        assert budget.used <= budget.total, "more memory than there is"
        for action in actions:
            match action:
                case wp.ToAgent(address, message):
                    self._send(party.name, AGENT, ("agent-from-worker", party.name, address, message))
                case wp.Begin(_, block):
                    assert block not in party.blocks
                    party.blocks[block] = set()
                    assert len(party.blocks) <= SLOTS, "more blocks than slots"
                case wp.Reduce(_, block, frame):
                    assert frame.checksum == self.captured[frame.number], "a frame is not what was captured"
                    party.blocks[block].add(frame.number)
                    party.parked.discard(frame.number)
                case wp.Park(_, number):
                    party.parked.add(number)
                case wp.Discard(_, block):
                    del party.blocks[block]
                case wp.DropParked():
                    party.parked.clear()
                case wp.Write(_, block, frames):
                    assert {f.number for f in frames} == party.blocks[block]
                    contents = {f.number: f.checksum for f in frames}
                    self._send(party.name, party.name, ("written", party.name, block, contents))
                case _:
                    pass

    # --- what arrives ---

    def _deliver(self, delivery: Delivery) -> None:
        match delivery.content:
            case ("head", message):
                self._head_acts(self.head.handle(hp.FromAgent(b"agent", message), self.now))
            case ("agent-from-head", message):
                self._agent_acts(self.agent.handle(ap.FromHead(message), self.now))
            case ("worker", name, connection, message):
                party = self._alive(name)
                if party and connection == self._connections.get(name):
                    self._to_worker(party, f"{name}/{connection}".encode(), message)
            case ("agent-from-worker", name, address, message):
                if address == f"{name}/{self._connections.get(name)}".encode():
                    self._agent_acts(self.agent.handle(ap.FromWorker(name, message), self.now))
            case ("tier", name, m.Serve(run)):
                party = self._alive(name)
                if party:
                    known = Ranges.of(self.disk.blocks)
                    party.protocol.handle(wp.ServeRun(run, "token", self.plan, SLOTS, known, NEED))
                    self._send(name, HEAD, ("from-tier", name, m.Ready(run)))
            case ("from-tier", name, message):
                self._head_acts(self.head.handle(hp.FromWorker(name.encode(), message), self.now))
            case ("damaged", agent, number):
                if agent is self.agent:
                    self._agent_acts(agent.handle(ap.Damaged(number, "damaged"), self.now))
            case ("written", name, block, frames):
                self._written(name, block, frames)

    def _to_worker(self, party: WorkerParty, address: bytes, message: m.Message) -> None:
        intact = True
        if isinstance(message, m.FrameData) and self.rng.random() < self.network.chances.corrupt:
            message, intact = replace(message, checksum=message.checksum ^ 1), False
        self._worker_acts(party, party.protocol.handle(wp.FromAgent(address, message, intact)))

    def _written(self, name: str, block: int, frames: dict[int, int]) -> None:
        party = self._alive(name)
        if party is None:
            return  # it died before the commit record was there
        if self.closed:  # a sealed store takes nothing; the worker tries again until the run is opened or forgotten
            self._send(name, name, ("written", name, block, frames))
            return
        before = self.disk.blocks.get(block, {})
        if frames.items() <= before.items():  # a writer never replaces a record by one with fewer frames
            frames = before
        assert before.keys() <= frames.keys(), "a block lost frames when it was written again"
        self.disk.blocks[block] = frames
        party.blocks.pop(block, None)
        self._worker_acts(party, party.protocol.handle(wp.Written("r", block)))
        done = m.BlockDone("r", block, Ranges.of(frames), 0, 0, ((), 0.0), ((), 0.0))
        self._send(name, HEAD, ("from-tier", name, done))

    def _alive(self, name: str) -> WorkerParty | None:
        return next((w for w in self.workers.values() if w.name == name), None)

    # --- the promise ---

    def check(self) -> None:
        """Complain unless all holds that must hold at every moment."""
        durable = self.disk.frames
        assert durable.items() <= self.captured.items(), "what is stored is not what was captured"
        held = self.ring.keys() | self.spool.keys()
        assert self.captured.keys() <= durable.keys() | held | self.gone, "a frame is neither durable nor held"
        told = set(self.agent.committed)
        assert told <= self.disk.blocks.keys(), (
            f"acknowledged, but not durable: blocks {told - self.disk.blocks.keys()}"
        )

    def check_end(self) -> None:
        """Complain unless the run ended as promised: every captured frame stored, every other one named."""
        assert self.sealed is not None
        self.check()
        ledger = self.sealed.ledger
        stored = {n for a, b in ledger["stored"] for n in range(a, b + 1)}
        lost = {n for loss in ledger["lost"] for n in range(loss["first"], loss["last"] + 1)}
        assert stored == self.disk.frames.keys()
        assert stored >= self.captured.keys() - self.gone
        assert lost == set(range(self.plan.frames)) - stored
        assert (len(stored), len(lost)) == (ledger["frames_stored"], ledger["frames_lost"])
        assert self.sealed.status == ("incomplete" if lost else "complete")
        assert not self.ring, "frames are held for ever"
        assert not self.spool, "frames lie in the spool for ever"
        for loss in ledger["lost"]:
            for number in range(loss["first"], loss["last"] + 1):
                # An agent may have told that it was stopped before it died, and the first account stands.
                whys = {self.noted[number]} if number in self.noted else {"stopped", "died"}
                assert loss["why"] in whys or (self._patience_s < 1e6 and "was silent for" in loss["why"])
