"""The agent's side of a run, without sockets, clocks or threads: events in, actions out.

A frame is held from capture until the block that it belongs to is acknowledged. Blocks go whole to one worker; a
worker that disappears hands its unacknowledged blocks back, and all their frames are sent again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from . import messages as m
from .errors import OctostreamError, RefusedError, UnreachableError
from .ledger import joined
from .model import Block, Frame, Loss, Plan
from .ranges import Ranges

#: Bytes that one frame costs beyond its payload, so that tiny frames cannot flood a queue counted in bytes.
FRAME_OVERHEAD = 4096
#: Losses that one message names at most, and characters of the reason of one: a header is at most 1 MiB.
LOSSES_A_MESSAGE = 500
WHY_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Timing:
    """How patient an agent is.

    Attributes
    ----------
    connect_s : float
        Without an answer to the first OPEN for so long, the tier counts as unreachable.
    retry_s : float
        An unanswered OPEN, JOIN, END or PING is repeated after so long.
    lease_s : float
        A worker that says nothing for so long is given up and its blocks go elsewhere.
    """

    connect_s: float = 10.0
    retry_s: float = 1.0
    lease_s: float = 10.0


# --- events -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Captured:
    """The source delivered a frame; its payload is held by the caller until released."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class Missed:
    """The source could not deliver a frame."""

    number: int
    where: str
    why: str


@dataclass(frozen=True, slots=True)
class Finish:
    """No more frames will be captured; what the plan still expects is lost for this reason."""

    why: str


@dataclass(frozen=True, slots=True)
class FromHead:
    """A message from the head."""

    message: m.Message


@dataclass(frozen=True, slots=True)
class FromWorker:
    """A message from a worker."""

    worker: str
    message: m.Message


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


Event = Captured | Missed | Finish | FromHead | FromWorker | Tick


# --- actions ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToHead:
    """Send a message to the head."""

    message: m.Message


@dataclass(frozen=True, slots=True)
class ToWorker:
    """Send a message to a worker."""

    worker: str
    message: m.Message


@dataclass(frozen=True, slots=True)
class SendFrame:
    """Send a held frame to a worker; the caller attaches the payload."""

    worker: str
    session: int
    frame: Frame


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a fresh connection to a worker (closing an older one)."""

    worker: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close the connection to a worker, dropping what it has not sent."""

    worker: str


@dataclass(frozen=True, slots=True)
class Release:
    """These frames are durable: their buffers may be used again."""

    frames: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """The run is open."""

    welcome: m.Welcome


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is sealed."""

    sealed: m.Sealed


@dataclass(frozen=True, slots=True)
class Failed:
    """The run cannot go on."""

    error: OctostreamError


Action = ToHead | ToWorker | SendFrame | Connect | Disconnect | Release | Opened | Finished | Failed


# --- state ------------------------------------------------------------------------------------------------------


@dataclass
class _Worker:
    endpoint: str
    heard: float
    session: int = 0
    joined: bool = False
    granted: int = 0
    sent: int = 0
    asked: float = 0.0


@dataclass
class _Block:
    block: Block
    held: dict[int, Frame] = field(default_factory=dict)
    missed: set[int] = field(default_factory=set)
    sent: set[int] = field(default_factory=set)
    worker: str | None = None
    flushed: bool = False

    def closed(self, finished: bool) -> bool:
        return finished or len(self.held) + len(self.missed) == self.block.count


class AgentProtocol:
    """Decides what an agent does.

    Parameters
    ----------
    opening : Open
        What to ask of the head; sent again, token and all, whenever the connection must be made anew.
    now : float
        Monotonic seconds.
    timing : Timing
        How patient to be.
    """

    def __init__(self, opening: m.Open, now: float, timing: Timing | None = None) -> None:
        self.opening = opening
        self.plan: Plan = opening.plan
        self.timing = timing or Timing()
        self.run = ""
        self.finishing = ""
        self._finished_capture = False
        self._workers: dict[str, _Worker] = {}
        self._blocks: dict[int, _Block] = {}
        self._committed = Ranges()
        self._losses: list[Loss] = []
        self._captured_spans: list[tuple[int, int]] = []
        self._session = 0
        self._told = 0
        self._asked = now
        self._head_heard = now
        self._over = False
        self._cost = self.plan.frame_bytes + FRAME_OVERHEAD

    def start(self) -> list[Action]:
        """Give the first action: OPEN."""
        return [ToHead(self.opening)]

    @property
    def held(self) -> int:
        """Frames held, waiting to be durable."""
        return sum(len(b.held) for b in self._blocks.values())

    @property
    def unsent(self) -> int:
        """Frames held that wait for credit."""
        return sum(len(b.held) - len(b.sent) for b in self._blocks.values())

    @property
    def committed(self) -> Ranges:
        """Blocks known to be durable."""
        return self._committed

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take an event, change the state, say what to do."""
        if self._over:
            return []
        match event:
            case Captured(frame):
                return self._captured(frame)
            case Missed(number, where, why):
                return self._missed(number, where, why)
            case Finish(why):
                return self._finish(why, now)
            case FromHead(message):
                self._head_heard = now
                return self._from_head(message, now)
            case FromWorker(worker, message):
                return self._from_worker(worker, message, now)
            case Tick():
                return self._tick(now)

    # --- the source ---

    def _captured(self, frame: Frame) -> list[Action]:
        spans = self._captured_spans
        if spans and spans[-1][1] == frame.number - 1:
            spans[-1] = (spans[-1][0], frame.number)
        else:
            spans.append((frame.number, frame.number))
        block = self._block_of(frame.number)
        if block is None:
            return [Release((frame.number,))]
        block.held[frame.number] = frame
        return self._pump()

    def _missed(self, number: int, where: str, why: str) -> list[Action]:
        loss = Loss(number, number, where, why[:WHY_CHARACTERS])
        self._losses[-1:] = joined([*self._losses[-1:], loss])
        block = self._block_of(number)
        if block is not None:
            block.missed.add(number)
        return self._pump()

    def _block_of(self, number: int) -> _Block | None:
        block = self.plan.blocks.block_of(number)
        if block.number in self._committed:
            return None
        return self._blocks.setdefault(block.number, _Block(block))

    def _finish(self, why: str, now: float) -> list[Action]:
        self._finished_capture = True
        self.finishing = why
        return [*self._pump(), *self._maybe_end(now)]

    # --- the head ---

    def _from_head(self, message: m.Message, now: float) -> list[Action]:
        match message:
            case m.Welcome():
                return self._welcome(message, now)
            case m.Workers(run, workers) if run == self.run:
                return self._set_workers(workers, now)
            case m.Refuse(what, remedy):
                self._over = True
                return [Failed(RefusedError(what, remedy))]
            case m.Sealed(run) if run == self.run:
                self._over = True
                return [Finished(message)]
            case _:
                return []

    def _welcome(self, welcome: m.Welcome, now: float) -> list[Action]:
        if self.run and welcome.run != self.run:
            self._over = True
            what = f"the service no longer knows run {self.run}"
            return [Failed(RefusedError(what, "see with `octostream verify` what its store holds"))]
        first = not self.run
        self.run = welcome.run
        # What is sent again to come back need not carry the calibration maps: they lie in the store by now.
        self.opening = replace(self.opening, maps=(), payload=b"")
        actions: list[Action] = [Opened(welcome)] if first else []
        actions += self._acknowledge(welcome.committed)
        actions += self._set_workers(welcome.workers, now)
        return [*actions, *self._maybe_end(now)]

    def _set_workers(self, peers: tuple[m.Peer, ...], now: float) -> list[Action]:
        known = {p.worker: p.endpoint for p in peers}
        actions: list[Action] = []
        for worker in [w for w in self._workers if w not in known]:
            del self._workers[worker]
            self._take_back(worker)
            actions.append(Disconnect(worker))
        for worker, endpoint in known.items():
            if worker not in self._workers:
                self._workers[worker] = _Worker(endpoint, now)
                actions += self._join(worker, now)
        return [*actions, *self._pump()]

    # --- the workers ---

    def _join(self, worker: str, now: float) -> list[Action]:
        state = self._workers[worker]
        self._session += 1
        state.session, state.joined, state.granted, state.sent = self._session, False, 0, 0
        state.heard = state.asked = now
        return [Connect(worker, state.endpoint), ToWorker(worker, m.Join(self.run, self._session, self.opening.token))]

    def _take_back(self, worker: str) -> None:
        for block in self._blocks.values():
            if block.worker == worker:
                block.worker, block.flushed = None, False
                block.sent.clear()

    def _from_worker(self, worker: str, message: m.Message, now: float) -> list[Action]:
        state = self._workers.get(worker)
        if state is None:
            return []
        state.heard = now
        match message:
            case m.Credit(run, session, granted) if run == self.run and session == state.session:
                state.joined = True
                state.granted = max(state.granted, granted)
                return self._pump()
            case m.Committed(run, blocks) if run == self.run:
                return [*self._acknowledge(blocks), *self._pump(), *self._maybe_end(now)]
            case m.Corrupt(run, number) if run == self.run:
                return self._resend(worker, number)
            case m.Refuse() if state.joined:  # the connection was replaced under us: whatever was on it is gone
                self._take_back(worker)
                return self._join(worker, now)
            case _:
                return []

    def _resend(self, worker: str, number: int) -> list[Action]:
        block = self._block_of(number)
        if block is not None and block.worker == worker:
            block.sent.discard(number)
        return self._pump()

    def _acknowledge(self, blocks: Ranges) -> list[Action]:
        self._committed |= blocks
        freed: list[int] = []
        for number in [n for n in self._blocks if n in self._committed]:
            freed += self._blocks.pop(number).held
        return [Release(tuple(freed))] if freed else []

    # --- sending ---

    def _pump(self) -> list[Action]:
        """Send what credit allows, oldest block first; blocks stay with the worker that has them."""
        actions: list[Action] = []
        for number in sorted(self._blocks):
            block = self._blocks[number]
            if block.worker is None and block.held:
                block.worker = self._choose()
            if block.worker is None:
                continue
            actions += self._send_block(block, self._workers[block.worker])
        return actions

    def _choose(self) -> str | None:
        """Give the worker with the most unused credit, if any can take a frame now."""
        free = {w: s.granted - s.sent for w, s in self._workers.items() if s.joined}
        best = max(free, key=lambda w: (free[w], w), default=None)
        return best if best is not None and free[best] >= self._cost else None

    def _send_block(self, block: _Block, worker: _Worker) -> list[Action]:
        actions: list[Action] = []
        name = block.worker or ""
        for number in block.held if len(block.sent) < len(block.held) else ():
            if number in block.sent:
                continue
            if worker.granted - worker.sent < self._cost:
                return actions
            worker.sent += self._cost
            block.sent.add(number)
            actions.append(SendFrame(name, worker.session, block.held[number]))
        cut_short = block.closed(self._finished_capture) and len(block.held) < block.block.count
        if cut_short and not block.flushed:
            block.flushed = True
            actions.append(ToWorker(name, self._flush(block, worker)))
        return actions

    def _flush(self, block: _Block, worker: _Worker) -> m.Flush:
        return m.Flush(self.run, worker.session, block.block.number, Ranges.of(block.held))

    # --- the end ---

    def _maybe_end(self, now: float) -> list[Action]:
        done = self._finished_capture and self.run and not any(b.held for b in self._blocks.values())
        if not done:
            return []
        self._asked = now
        *first, last = self._batches(self._all_losses())
        return [*(ToHead(m.Lost(self.run, batch)) for batch in first), ToHead(m.End(self.run, last))]

    def _batches(self, losses: tuple[Loss, ...]) -> list[tuple[Loss, ...]]:
        """Cut losses so that each message stays small; at least one, which may be empty."""
        return [losses[k : k + LOSSES_A_MESSAGE] for k in range(0, max(1, len(losses)), LOSSES_A_MESSAGE)]

    def _all_losses(self) -> tuple[Loss, ...]:
        """Give every loss known here; frames never captured are lost for the reason of the finish."""
        known = Ranges.join([*self._captured_spans, *((k.first, k.last) for k in self._losses)])
        rest = Ranges(((0, self.plan.frames - 1),)) - known
        why = self.finishing or "not acquired"
        return (*self._losses, *(Loss(a, b, "source", why) for a, b in rest.spans))

    # --- time ---

    def _tick(self, now: float) -> list[Action]:
        if not self.run:
            return self._tick_opening(now)
        actions: list[Action] = []
        for worker, state in list(self._workers.items()):
            actions += self._tick_worker(worker, state, now)
        if now - self._asked >= self.timing.retry_s:
            self._asked = now
            silent = now - self._head_heard > 3 * self.timing.retry_s
            actions.append(ToHead(self.opening if silent else m.Ping(self.run)))
            actions += [ToHead(m.Lost(self.run, batch)) for batch in self._untold()]
            actions += self._maybe_end(now)
        return [*actions, *self._pump()]

    def _untold(self) -> list[tuple[Loss, ...]]:
        """Give the losses since the last call, for the page; END tells them all again, so none needs to arrive."""
        losses, self._told = tuple(self._losses[max(0, self._told - 1) :]), len(self._losses)
        return self._batches(losses) if losses else []

    def _tick_opening(self, now: float) -> list[Action]:
        if now - self._head_heard > self.timing.connect_s:
            self._over = True
            return [Failed(UnreachableError("no octostream service answers", "start one with `octostream serve`"))]
        if now - self._asked >= self.timing.retry_s:
            self._asked = now
            return [ToHead(self.opening)]
        return []

    def _tick_worker(self, worker: str, state: _Worker, now: float) -> list[Action]:
        if now - state.heard > self.timing.lease_s:
            self._take_back(worker)
            return self._join(worker, now)
        if now - state.asked < self.timing.retry_s:
            return []
        state.asked = now
        if not state.joined:
            return [ToWorker(worker, m.Join(self.run, state.session, self.opening.token))]
        here = [b for b in self._blocks.values() if b.worker == worker]
        sent = Ranges.of(n for b in here for n in b.sent)
        again = [ToWorker(worker, self._flush(b, state)) for b in here if b.flushed]
        return [*again, ToWorker(worker, m.Ping(self.run, state.session, sent))]
