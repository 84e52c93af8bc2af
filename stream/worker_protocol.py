"""The worker's side of the protocol, without sockets, clocks or threads: events in, actions out.

Credit grows when a frame has been reduced, and a frame is reduced only when its block has a slot (a set of product
buffers). While every slot waits for the disk, frames are parked, credit stops and the agent holds back: nothing in
here grows without bound.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from . import messages as m
from .agent_protocol import FRAME_OVERHEAD
from .keys import OPEN_DOOR, Permit
from .model import Frame, Plan
from .ranges import Ranges

Address = bytes
BlockKey = tuple[str, int]


# --- events -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServeRun:
    """The head asked for a run and it is prepared; these blocks are already durable."""

    run: str
    token: str
    plan: Plan
    slots: int
    committed: Ranges
    instrument: str = ""


@dataclass(frozen=True, slots=True)
class ForgetRun:
    """The run is over."""

    run: str


@dataclass(frozen=True, slots=True)
class FromAgent:
    """A message from an agent; ``intact`` is False where a frame's payload did not match its checksum.

    ``permit`` is what the agent may do, by the key that it proved.
    """

    address: Address
    message: m.Message
    intact: bool = True
    permit: Permit = OPEN_DOOR


@dataclass(frozen=True, slots=True)
class Written:
    """A block and its commit record are durable."""

    run: str
    block: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Stop taking frames; finish the blocks that are whole."""


Event = ServeRun | ForgetRun | FromAgent | Written | Drain


# --- actions ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToAgent:
    """Send a message to an agent."""

    address: Address
    message: m.Message


@dataclass(frozen=True, slots=True)
class Begin:
    """Give a free slot to a block."""

    run: str
    block: int


@dataclass(frozen=True, slots=True)
class Reduce:
    """Reduce a frame into its block's slot; its payload arrived with this event or was parked."""

    run: str
    block: int
    frame: Frame


@dataclass(frozen=True, slots=True)
class Park:
    """Keep the payload of a frame until a slot is free."""

    run: str
    number: int


@dataclass(frozen=True, slots=True)
class Write:
    """The block is whole: write its products, then its commit record."""

    run: str
    block: int
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Discard:
    """Give up an unfinished block's slot."""

    run: str
    block: int


@dataclass(frozen=True, slots=True)
class DropParked:
    """The parked frames of a run will be sent again: free them."""

    run: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Free everything of a run."""

    run: str


Action = ToAgent | Begin | Reduce | Park | Write | Discard | DropParked | Forget


# --- state ------------------------------------------------------------------------------------------------------


@dataclass
class _Block:
    count: int
    frames: dict[int, Frame] = field(default_factory=dict)
    flush: Ranges | None = None
    writing: bool = False

    @property
    def whole(self) -> bool:
        if self.flush is not None:
            return all(n in self.frames for n in self.flush)
        return len(self.frames) == self.count


@dataclass
class _Run:
    token: str
    plan: Plan
    slots: int
    committed: Ranges
    instrument: str = ""
    address: Address | None = None
    session: int = 0
    granted: int = 0
    blocks: dict[int, _Block] = field(default_factory=dict)
    parked: dict[int, Frame] = field(default_factory=dict)
    flushes: dict[int, Ranges] = field(default_factory=dict)

    @property
    def cost(self) -> int:
        return self.plan.frame_bytes + FRAME_OVERHEAD


class WorkerProtocol:
    """Decides what a worker does.

    Parameters
    ----------
    window_bytes : int
        Bytes that an agent may have under way to this worker.
    """

    #: However small the frames, no more than this many are under way.
    WINDOW_FRAMES = 256

    def __init__(self, window_bytes: int) -> None:
        self.window_bytes = window_bytes
        self.draining = False
        self._runs: dict[str, _Run] = {}

    @property
    def parked(self) -> int:
        """Frames that wait for a slot."""
        return sum(len(r.parked) for r in self._runs.values())

    @property
    def writing(self) -> int:
        """Blocks that wait for the disk."""
        return sum(b.writing for r in self._runs.values() for b in r.blocks.values())

    @property
    def slots(self) -> int:
        """Slots of all runs."""
        return sum(r.slots for r in self._runs.values())

    @property
    def window_frames(self) -> int:
        """Frames that may be under way, of all runs."""
        return sum(self._window(r) // r.cost for r in self._runs.values())

    def plan_of(self, run: str) -> Plan | None:
        """Give the plan of a run that is served here."""
        known = self._runs.get(run)
        return known.plan if known else None

    def handle(self, event: Event) -> list[Action]:
        """Take an event, change the state, say what to do."""
        match event:
            case ServeRun(run, token, plan, slots, committed, instrument):
                self._runs.setdefault(run, _Run(token, plan, slots, committed, instrument))
                return []
            case ForgetRun(run):
                return [Forget(run)] if self._runs.pop(run, None) else []
            case FromAgent(address, message, intact, permit):
                return self._from_agent(address, message, intact, permit)
            case Written(run, block):
                return self._written(run, block)
            case Drain():
                self.draining = True
                return []

    def _from_agent(self, address: Address, message: m.Message, intact: bool, permit: Permit) -> list[Action]:
        name = getattr(message, "run", None)
        run = self._runs.get(name) if isinstance(name, str) else None
        if run is None or name is None:
            return [ToAgent(address, m.Refuse("this worker does not serve the run", "join again", str(name)))]
        if not permit.owns(run.instrument):  # an address is chosen by the peer, a key is proved
            return [ToAgent(address, replace(m.NOT_YOURS, run=name))]
        if isinstance(message, m.Join):
            if message.token != run.token:
                return [ToAgent(address, m.Refuse("the token is not that of the run", "open a run of your own", name))]
            return self._join(name, run, address, message.session)
        if run.address != address:
            return [ToAgent(address, m.Refuse("this connection has not joined the run", "join again", name))]
        match message:
            case m.FrameData(_, session) if session == run.session:
                return self._frame(name, run, message, intact)
            case m.Flush(_, session, block, frames) if session == run.session:
                return self._flush(name, run, block, frames)
            case m.Ping():
                return self._ping(name, run, address, message)
            case _:
                return []

    def _join(self, name: str, run: _Run, address: Address, session: int) -> list[Action]:
        if run.address == address and run.session == session:  # asked twice: the answer may have been lost
            return [self._credit(name, run), ToAgent(address, m.Committed(name, run.committed))]
        run.address, run.session, run.granted = address, session, self._window(run)
        unfinished = [b for b, state in run.blocks.items() if not state.writing]
        for block in unfinished:
            del run.blocks[block]
        run.parked.clear()
        run.flushes.clear()
        return [
            *(Discard(name, block) for block in unfinished),
            DropParked(name),
            self._credit(name, run),
            ToAgent(address, m.Committed(name, run.committed)),
        ]

    def _ping(self, name: str, run: _Run, address: Address, ping: m.Ping) -> list[Action]:
        """Answer with all that may have been lost on the way; where frames were, have the agent join again."""
        if ping.session == run.session and not self._has_all(run, ping.sent.within(0, run.plan.frames - 1)):
            return [ToAgent(address, m.Refuse("frames were lost on the way", "join again", name))]
        state = (self._credit(name, run), ToAgent(address, m.Committed(name, run.committed)))
        return [ToAgent(address, m.Pong(name)), *state]

    def _has_all(self, run: _Run, sent: Ranges) -> bool:
        """Tell whether frames are here or durable; whole blocks at a time, for a peer may name any number of them."""
        for first, last in sent.spans:
            frame = first
            while frame <= last:
                at = run.plan.blocks.block_of(frame)
                block = run.blocks.get(at.number)
                if at.number in run.committed:
                    frame = at.last
                elif frame not in run.parked and (block is None or frame not in block.frames):
                    return False
                frame += 1
        return True

    def _window(self, run: _Run) -> int:
        return 0 if self.draining else self._most(run) * run.cost

    def _most(self, run: _Run) -> int:
        """Frames that an agent may have under way, and so the most that can be parked here."""
        return max(2, min(self.WINDOW_FRAMES, self.window_bytes // run.cost))

    def _credit(self, name: str, run: _Run) -> Action:
        return ToAgent(run.address or b"", m.Credit(name, run.session, run.granted))

    def _frame(self, name: str, run: _Run, data: m.FrameData, intact: bool) -> list[Action]:
        if (
            data.timestamp_ns >= 2**63
            or data.number >= run.plan.frames
            or memoryview(data.payload).nbytes != run.plan.frame_bytes
        ):
            what = f"frame {data.number} of {memoryview(data.payload).nbytes} bytes does not fit the run"
            return [ToAgent(run.address or b"", m.Refuse(what, "send what was opened", name))]
        if not intact:
            return [self._grant(name, run), ToAgent(run.address or b"", m.Corrupt(name, data.number))]
        frame = Frame(data.number, data.timestamp_ns, data.checksum)
        return self._place(name, run, frame)

    def _place(self, name: str, run: _Run, frame: Frame) -> list[Action]:
        number = run.plan.blocks.block_of(frame.number).number
        if number in run.committed:
            return [self._grant(name, run), ToAgent(run.address or b"", m.Committed(name, run.committed))]
        block = run.blocks.get(number)
        if block is not None and (block.writing or frame.number in block.frames):
            return [self._grant(name, run)]
        actions: list[Action] = []
        if block is None:
            if len(run.blocks) >= run.slots:
                if len(run.parked) >= self._most(run) and frame.number not in run.parked:
                    what = "more frames were sent than credit allows"
                    return [ToAgent(run.address or b"", m.Refuse(what, "wait for credit", name))]
                run.parked[frame.number] = frame
                return [Park(name, frame.number)]
            block = _Block(run.plan.blocks[number].count, flush=run.flushes.pop(number, None))
            run.blocks[number] = block
            actions.append(Begin(name, number))
        block.frames[frame.number] = frame
        actions += [Reduce(name, number, frame), self._grant(name, run)]
        return [*actions, *self._maybe_write(name, number, block)]

    def _grant(self, name: str, run: _Run) -> Action:
        if not self.draining:
            run.granted += run.cost
        return self._credit(name, run)

    def _maybe_write(self, name: str, number: int, block: _Block) -> list[Action]:
        if block.writing or not block.whole or not block.frames:
            return []
        block.writing = True
        return [Write(name, number, tuple(block.frames[n] for n in sorted(block.frames)))]

    def _flush(self, name: str, run: _Run, number: int, frames: Ranges) -> list[Action]:
        if number in run.committed or number >= len(run.plan.blocks):
            return []
        at = run.plan.blocks[number]
        frames = frames.within(at.first, at.last)
        block = run.blocks.get(number)
        if block is None:
            # Where its frames are parked the flush waits with them; else it comes again when they are here.
            if any(at.first <= n <= at.last for n in run.parked):
                run.flushes[number] = frames
            return []
        block.flush = frames
        return self._maybe_write(name, number, block)

    def _written(self, name: str, number: int) -> list[Action]:
        run = self._runs.get(name)
        if run is None:
            return []
        run.committed |= Ranges(((number, number),))
        run.blocks.pop(number, None)
        told: list[Action] = [ToAgent(run.address, m.Committed(name, run.committed))] if run.address else []
        return [*told, *self._unpark(name, run)]

    def _unpark(self, name: str, run: _Run) -> list[Action]:
        """Give parked frames their turn, in the order in which they came, as far as slots reach."""
        waiting, run.parked = run.parked, {}
        actions: list[Action] = []
        for frame in waiting.values():
            actions += self._place(name, run, frame)
        return [a for a in actions if not isinstance(a, Park)]
