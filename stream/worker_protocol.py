"""The worker's side of the protocol, without sockets, clocks or threads: events in, actions out.

Credit grows when a frame has been placed, and a frame is placed only when its block has a slot (a set of product
buffers). While every slot waits for the disk, or memory for a slot is missing, frames are parked, credit stops and the
agent holds back: nothing in here grows without bound.
"""

from __future__ import annotations

from dataclasses import replace

from . import messages as m
from .budget import Budget, Need
from .keys import Permit
from .model import Frame, Plan
from .ranges import Ranges
from .sharing import Sharing
from .worker_events import (
    Action,
    Address,
    Begin,
    Discard,
    Drain,
    DropParked,
    Event,
    Forget,
    ForgetRun,
    FromAgent,
    Park,
    Reduce,
    ServeRun,
    Tick,
    ToAgent,
    Write,
    Written,
)
from .worker_run import BlockHere, RunHere


class WorkerProtocol:
    """Decides what a worker does.

    Parameters
    ----------
    window_bytes : int
        Bytes that an agent may have under way to this worker.
    memory_bytes : int
        Bytes that all runs together may hold here.
    """

    def __init__(self, window_bytes: int, memory_bytes: int) -> None:
        self.draining = False
        self._runs: dict[str, RunHere] = {}
        self.budget = Budget(memory_bytes)
        self._sharing = Sharing(self.budget, self._runs, window_bytes)

    @property
    def runs(self) -> tuple[RunHere, ...]:
        """The runs that are served, to look at."""
        return tuple(self._runs.values())

    @property
    def writing(self) -> int:
        """Blocks that wait for the disk."""
        return sum(r.writing for r in self._runs.values())

    @property
    def waiting(self) -> dict[str, str]:
        """Runs that wait for memory, and why."""
        return self._sharing.waiting()

    def window(self, run: RunHere) -> int:
        """Give the bytes that a run may have on their way when there is memory for them."""
        return self._sharing.window(run)

    def handle(self, event: Event) -> list[Action]:
        """Take an event, change the state, say what to do."""
        match event:
            case ServeRun(run, token, plan, slots, committed, need, instrument):
                return self._serve(run, RunHere(run, token, plan, slots, committed, instrument), need)
            case ForgetRun(run):
                return self._forget(run)
            case FromAgent(address, message, intact, permit):
                return self._from_agent(address, message, intact, permit)
            case Written(run, block):
                return self._written(run, block)
            case Tick(now, drained):
                return self._tick(now, drained)
            case Drain():
                self.draining = True
                return []

    # --- runs ---

    def make_room(self, plan: Plan, need: Need) -> tuple[list[Action], str]:
        """Make room for one more run, which is to be served then.

        Returns
        -------
        list of Action, str
            What to do first, and why there is no room now; empty where there is.

        Raises
        ------
        MemoryRefusedError
            There never will be.
        """
        return self._sharing.make_room(need, RunHere("", "", plan, 0, Ranges()).cost)

    def _serve(self, name: str, run: RunHere, need: Need) -> list[Action]:
        if name not in self._runs:
            self._runs[name] = run
            self.budget.open(name, need, run.cost)
        return []

    def _forget(self, name: str) -> list[Action]:
        if name not in self._runs:
            return []
        self._sharing.leave_queue(name)
        del self._runs[name]
        self.budget.close(name)
        return [Forget(name), *self._serve_queue()]

    def _tick(self, now: float, drained: bool) -> list[Action]:
        actions = [self._grant(run) for run in self._sharing.settle(now, drained)]
        actions += self._sharing.tick()
        if self.draining:
            return actions
        actions += self._serve_queue()
        for run in tuple(self._runs.values()):
            if run.parked and self.budget.slots(run.name):
                actions += self._unpark(run)
            actions += self._end_stall(run)
        return actions

    def _end_stall(self, run: RunHere) -> list[Action]:
        """Begin anew where nothing can move: frames wait for a slot, and what holds the slots waits for frames.

        That happens when blocks come back from a worker that died; the agent then sends the lowest block first.
        """
        held = self.budget.slots(run.name)
        stalled = run.parked and held and len(run.unfinished) == held and run.coming < run.cost
        return self._sharing.restart(run) if stalled else []

    def _serve_queue(self) -> list[Action]:
        actions: list[Action] = []
        while (run := self._sharing.next_served(actions)) is not None:
            actions += self._unpark(run)
        return actions

    # --- agents ---

    def _from_agent(self, address: Address, message: m.Message, intact: bool, permit: Permit) -> list[Action]:
        self._sharing.read += 1
        name = getattr(message, "run", None)
        run = self._runs.get(name) if isinstance(name, str) else None
        if run is None or name is None:
            return [ToAgent(address, m.Refuse("this worker does not serve the run", "join again", str(name)))]
        if not permit.owns(run.instrument):  # an address is chosen by the peer, a key is proved
            return [ToAgent(address, replace(m.NOT_YOURS, run=name))]
        if isinstance(message, m.Join):
            if message.token != run.token:
                return [ToAgent(address, m.Refuse("the token is not that of the run", "open a run of your own", name))]
            return self._join(run, address, message.session)
        if run.address != address:
            return [ToAgent(address, m.Refuse("this connection has not joined the run", "join again", name))]
        match message:
            case m.FrameData(_, session) if session == run.session:
                return self._frame(run, message, intact)
            case m.Flush(_, session, block, frames) if session == run.session:
                return self._flush(run, block, frames)
            case m.Ping():
                return self._ping(run, address, message)
            case _:
                return []

    def _join(self, run: RunHere, address: Address, session: int) -> list[Action]:
        committed = ToAgent(address, m.Committed(run.name, run.committed))
        if run.address == address and run.session == session:  # asked twice: the answer may have been lost
            return [self._credit(run), committed]
        unfinished = self._sharing.end_session(run)
        run.address, run.session = address, session
        self._sharing.hear(run)
        self._sharing.leave_queue(run.name)
        warmed = [] if self.draining else self._sharing.warm(run)
        return [
            *(Discard(run.name, block) for block in unfinished),
            DropParked(run.name),
            *warmed,
            self._grant(run),
            committed,
            *self._serve_queue(),
        ]

    def _ping(self, run: RunHere, address: Address, ping: m.Ping) -> list[Action]:
        """Answer with all that may have been lost on the way; where frames were, have the agent join again."""
        if ping.session == run.session and not self._has_all(run, ping.sent.within(0, run.plan.frames - 1)):
            return [ToAgent(address, m.Refuse("frames were lost on the way", "join again", run.name))]
        state = (self._credit(run), ToAgent(address, m.Committed(run.name, run.committed)))
        return [ToAgent(address, m.Pong(run.name)), *state]

    def _has_all(self, run: RunHere, sent: Ranges) -> bool:
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

    def _credit(self, run: RunHere) -> Action:
        return ToAgent(run.address or b"", m.Credit(run.name, run.session, run.granted))

    def _grant(self, run: RunHere) -> Action:
        self._sharing.grant(run, closed=self.draining)
        return self._credit(run)

    # --- frames ---

    def _frame(self, run: RunHere, data: m.FrameData, intact: bool) -> list[Action]:
        if (
            data.timestamp_ns >= 2**63
            or data.number >= run.plan.frames
            or memoryview(data.payload).nbytes != run.plan.frame_bytes
        ):
            what = f"frame {data.number} of {memoryview(data.payload).nbytes} bytes does not fit the run"
            return [ToAgent(run.address or b"", m.Refuse(what, "send what was opened", run.name))]
        if run.received + run.cost > run.granted:
            if self._has_all(run, Ranges(((data.number, data.number),))):
                return []
            what = "more frames were sent than credit allows"
            return [ToAgent(run.address or b"", m.Refuse(what, "wait for credit", run.name))]
        run.received += run.cost
        self._sharing.hear(run)
        run.modest = False
        if not intact:
            return [self._grant(run), ToAgent(run.address or b"", m.Corrupt(run.name, data.number))]
        actions = self._place(run, Frame(data.number, data.timestamp_ns, data.checksum))
        return [*actions, *self._serve_queue()]

    def _place(self, run: RunHere, frame: Frame) -> list[Action]:
        name, number = run.name, run.plan.blocks.block_of(frame.number).number
        parked = run.parked.pop(frame.number, None)
        if number in run.committed:
            return [self._grant(run), ToAgent(run.address or b"", m.Committed(name, run.committed))]
        block = run.blocks.get(number)
        if block is not None and (block.writing or frame.number in block.frames):
            return [self._grant(run)]
        actions: list[Action] = []
        if block is None:
            if not self._sharing.slot_for(run):
                run.parked[frame.number] = frame
                return [] if parked else [Park(name, frame.number)]
            block = BlockHere(run.plan.blocks[number].count, flush=run.flushes.pop(number, None))
            run.blocks[number] = block
            actions.append(Begin(name, number))
        block.frames[frame.number] = frame
        actions += [Reduce(name, number, frame), self._grant(run)]
        return [*actions, *self._maybe_write(run, number, block)]

    def _maybe_write(self, run: RunHere, number: int, block: BlockHere) -> list[Action]:
        if block.writing or not block.whole or not block.frames:
            return []
        block.writing = True
        return [Write(run.name, number, tuple(block.frames[n] for n in sorted(block.frames)))]

    def _flush(self, run: RunHere, number: int, frames: Ranges) -> list[Action]:
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
        return self._maybe_write(run, number, block)

    def _written(self, name: str, number: int) -> list[Action]:
        run = self._runs.get(name)
        if run is None:
            return []
        run.committed |= Ranges(((number, number),))
        run.blocks.pop(number, None)
        told: list[Action] = [ToAgent(run.address, m.Committed(name, run.committed))] if run.address else []
        return [*told, *self._serve_queue(), *self._unpark(run), *self._serve_queue()]

    def _unpark(self, run: RunHere) -> list[Action]:
        """Give parked frames their turn, in the order in which they came, as far as slots reach."""
        actions: list[Action] = []
        for frame in tuple(run.parked.values()):
            actions += self._place(run, frame)
        return actions
