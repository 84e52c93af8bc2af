"""The agent's side of a run, without sockets, clocks or threads: events in, actions out.

A frame is held from capture until the block that it belongs to is acknowledged. Blocks go whole to one worker; a
worker that disappears hands its unacknowledged blocks back, and all their frames are sent again.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace

from . import messages as m
from .agent_events import (
    Action,
    Buffers,
    Captured,
    Connect,
    Damaged,
    Disconnect,
    Event,
    Failed,
    Finish,
    Finished,
    FromHead,
    FromWorker,
    Missed,
    Opened,
    Release,
    SendFrame,
    Spooled,
    Tick,
    ToHead,
    ToWorker,
)
from .errors import RefusedError, UnreachableError
from .holding import HeldBlock, Holding
from .model import Loss, Plan
from .ranges import Ranges

#: Bytes that one frame costs beyond its payload, so that tiny frames cannot flood a queue counted in bytes.
FRAME_OVERHEAD = 4096
#: Losses that one message names at most: a header is at most 1 MiB.
LOSSES_A_MESSAGE = 500


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


@dataclass
class _Worker:
    endpoint: str
    heard: float
    session: int = 0
    joined: bool = False
    granted: int = 0
    sent: int = 0
    asked: float = 0.0


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
        self._holding = Holding(self.plan)
        self._workers: dict[str, _Worker] = {}
        self._spooled: set[int] = set()
        self._buffers = 0
        self._session = 0
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
        return self._holding.held

    @property
    def unsent(self) -> int:
        """Frames held that wait for credit."""
        return self._holding.unsent

    @property
    def committed(self) -> Ranges:
        """Blocks known to be durable."""
        return self._holding.committed

    @property
    def losses(self) -> tuple[Loss, ...]:
        """Frames that will never come, as far as is known here."""
        return self._holding.losses()

    def is_under_way(self, number: int, now: float) -> bool:
        """Tell whether a held frame is with a worker that answers: then it is durable soon, as a rule."""
        if not self._holding.is_sent(number):
            return False
        worker = self._holding.blocks[self.plan.blocks.block_of(number).number].worker
        return worker is not None and self._answers(worker, now)

    def is_away(self, now: float) -> bool:
        """Tell whether no worker answers."""
        return not any(self._answers(worker, now) for worker in self._workers)

    def _answers(self, worker: str, now: float) -> bool:
        state = self._workers.get(worker)
        return state is not None and state.joined and now - state.heard <= 2 * self.timing.retry_s

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take an event, change the state, say what to do."""
        if self._over:
            return []
        match event:
            case FromHead(message):
                self._head_heard = now
                return self._from_head(message, now)
            case FromWorker(worker, message):
                return self._from_worker(worker, message, now)
            case Finish(why, where):
                return self._finish(where, why, now)
            case Tick():
                return self._tick(now)
            case _:
                return self._from_source(event)

    # --- the source and the spool ---

    def _from_source(self, event: Captured | Spooled | Buffers | Missed | Damaged) -> list[Action]:
        match event:
            case Captured(frame):
                return self._pump() if self._holding.capture(frame) else [Release((frame.number,))]
            case Missed(number, where, why):
                block = self._holding.miss(number, where, why)
                return self._flush(block) if block is not None else []
            case Damaged(number, why):
                return self._damaged(number, why)
            case Spooled(number):
                self._spooled.add(number)
                return []
            case Buffers(free):
                self._buffers += free
                return self._pump()

    def _damaged(self, number: int, why: str) -> list[Action]:
        """Lose a frame, and take back the credit and the buffer that it was counted against but never used."""
        self._buffers += 1
        self._spooled.discard(number)
        if not self._holding.holds(number):  # told already
            return self._pump()
        if self._holding.is_sent(number):
            state = self._workers.get(self._holding.blocks[self.plan.blocks.block_of(number).number].worker or "")
            if state is not None:
                state.sent -= self._cost
        block = self._holding.miss(number, "spool", why)
        return [*(self._flush(block) if block is not None else []), *self._pump()]

    def _finish(self, where: str, why: str, now: float) -> list[Action]:
        self._holding.finish(where, why)
        flushes = [action for block in self._holding.blocks.values() for action in self._flush(block)]
        return [*flushes, *self._pump(), *self._maybe_end(now)]

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
                return self._sealed(message)
            case _:
                return []

    def _sealed(self, sealed: m.Sealed) -> list[Action]:
        if self._unfinished and sealed.status != "complete":  # silence ended the run: it is taken up again
            return [ToHead(self._coming_back())]
        self._over = True
        if sealed.status == "complete":
            return [*self._acknowledge(Ranges(((0, len(self.plan.blocks) - 1),))), Finished(sealed)]
        return [Finished(sealed)]

    def _welcome(self, welcome: m.Welcome, now: float) -> list[Action]:
        if self.run and welcome.run != self.run:
            self._over = True
            what = f"the service no longer knows run {self.run}"
            return [Failed(RefusedError(what, "see with `octostream verify` what its store holds"))]
        first = not self.run
        self.run = welcome.run
        # What is sent again to come back need not carry the calibration maps: they lie in the store by now.
        self.opening = replace(self.opening, resume=welcome.run, maps=(), payload=b"")
        actions: list[Action] = [Opened(welcome)] if first else []
        actions += self._acknowledge(welcome.committed)
        actions += self._set_workers(welcome.workers, now)
        return [*actions, *self._maybe_end(now)]

    def _set_workers(self, peers: tuple[m.Peer, ...], now: float) -> list[Action]:
        known = {p.worker: p.endpoint for p in peers}
        actions: list[Action] = []
        for worker in [w for w in self._workers if w not in known]:
            del self._workers[worker]
            self._holding.take_back(worker)
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
                self._holding.take_back(worker)
                return self._join(worker, now)
            case _:
                return []

    def _resend(self, worker: str, number: int) -> list[Action]:
        if number >= self.plan.frames:
            return []
        block = self._holding.block_of(number)
        if block is not None and block.worker == worker and number in block.held:
            self._holding.wait(block, block.held[number])
        return self._pump()

    def _acknowledge(self, blocks: Ranges) -> list[Action]:
        freed = self._holding.acknowledge(blocks)
        self._spooled.difference_update(freed)
        return [Release(freed)] if freed else []

    # --- sending ---

    def _pump(self) -> list[Action]:
        """Send what credit and buffers allow, oldest block first; blocks stay with the worker that has them."""
        if not any(self._has_credit(state) for state in self._workers.values()):
            return []
        actions: list[Action] = []
        with closing(self._holding.waiting()) as waiting:
            for block in waiting:
                block.worker = block.worker or self._choose()
                if block.worker is None:
                    break
                actions += self._send_block(block, self._workers[block.worker])
                if self._blocked(block):
                    break
        return actions

    def _has_credit(self, worker: _Worker) -> bool:
        return worker.joined and worker.granted - worker.sent >= self._cost

    def _choose(self) -> str | None:
        """Give the worker with the most unused credit, if any can take a frame now."""
        free = {w: s.granted - s.sent for w, s in self._workers.items() if self._has_credit(s)}
        return max(free, key=lambda w: (free[w], w), default=None)

    def _blocked(self, block: HeldBlock) -> bool:
        """Tell whether the rest must wait for a buffer: what lies in the spool is sent in order."""
        return self._buffers <= 0 and next(iter(block.unsent), -1) in self._spooled

    def _send_block(self, block: HeldBlock, worker: _Worker) -> list[Action]:
        actions: list[Action] = []
        for number in list(block.unsent):
            if not self._has_credit(worker) or (number in self._spooled and self._buffers <= 0):
                return actions
            worker.sent += self._cost
            self._buffers -= number in self._spooled
            actions.append(SendFrame(block.worker or "", worker.session, block.unsent[number]))
            self._holding.send(block, number)
        return [*actions, *self._flush(block)]

    def _flush(self, block: HeldBlock) -> list[Action]:
        """Tell the worker of a block that was sent as far as it goes which frames it has, where some are missing."""
        cut_short = block.cut_short(self._holding.finished)
        if block.worker is None or block.unsent or block.flushed or not cut_short or not block.held:
            return []
        block.flushed = True
        return [ToWorker(block.worker, self._flushing(block, self._workers[block.worker]))]

    def _flushing(self, block: HeldBlock, worker: _Worker) -> m.Flush:
        return m.Flush(self.run, worker.session, block.block.number, Ranges.of(block.held))

    # --- the end ---

    def _maybe_end(self, now: float) -> list[Action]:
        if not (self._holding.finished and self.run and not self._holding.held):
            return []
        *first, last = _batches(self._holding.losses())
        return [*(ToHead(m.Lost(self.run, batch)) for batch in first), ToHead(m.End(self.run, last))]

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
            actions.append(ToHead(self._coming_back() if silent else m.Ping(self.run)))
            losses = self._holding.untold()
            actions += [ToHead(m.Lost(self.run, batch)) for batch in _batches(losses) if batch]
            actions += self._maybe_end(now)
        return [*actions, *self._pump()]

    def _coming_back(self) -> m.Open:
        return replace(self.opening, unfinished=self._unfinished)

    @property
    def _unfinished(self) -> bool:
        return bool(self._holding.held) or not self._holding.finished

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
            self._holding.take_back(worker)
            return self._join(worker, now)
        if now - state.asked < self.timing.retry_s:
            return []
        state.asked = now
        if not state.joined:
            return [ToWorker(worker, m.Join(self.run, state.session, self.opening.token))]
        here = [b for b in self._holding.blocks.values() if b.worker == worker]
        sent = Ranges.of(n for b in here for n in b.sent)
        if state.sent and not sent.spans and state.granted - state.sent < self._cost:
            # Frames were lost on the way and their blocks made durable by another: nobody gives their credit back.
            return self._join(worker, now)
        again = [ToWorker(worker, self._flushing(b, state)) for b in here if b.flushed]
        return [*again, ToWorker(worker, m.Ping(self.run, state.session, sent))]


def _batches(losses: tuple[Loss, ...]) -> list[tuple[Loss, ...]]:
    """Cut losses so that each message stays small; at least one, which may be empty."""
    return [losses[k : k + LOSSES_A_MESSAGE] for k in range(0, max(1, len(losses)), LOSSES_A_MESSAGE)]
