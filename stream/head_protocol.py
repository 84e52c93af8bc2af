"""The head's side of the protocol, without sockets, clocks, threads or disks: events in, actions out.

The head keeps runs and introduces agents to workers. It never sees a frame. What is durable it knows from the workers
while a run goes on, and from the commit records in the store when it seals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import messages as m
from .holding import WHY_CHARACTERS
from .keys import OPEN_DOOR, Permit
from .ledger import Ledger
from .model import Loss, Run
from .ranges import Ranges

Address = bytes
#: Entries of the ledger's lists that SEALED carries at most; the store has them all.
SEALED_ENTRIES = 100
#: Characters of the place of one loss.
WHERE_CHARACTERS = 40
#: Runs whose end is told again to an agent that asks.
REMEMBERED_RUNS = 64
#: More runs are not open at the same time.
OPEN_RUNS = 256


@dataclass(frozen=True, slots=True)
class HeadTiming:
    """How patient a head is.

    Attributes
    ----------
    worker_s : float
        A worker that says nothing for so long is taken off the list.
    agent_s : float
        A run whose agent says nothing for so long is sealed with what is durable.
    seal_s : float
        After END the head waits at most so long for the workers' last word before it asks the disk.
    open_s : float
        A run is opened with at least one prepared worker within this time, or refused.
    """

    worker_s: float = 5.0
    agent_s: float = 60.0
    seal_s: float = 5.0
    open_s: float = 60.0


# --- events -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FromAgent:
    """A message from an agent, and what it may do by the key that it proved."""

    address: Address
    message: m.Message
    permit: Permit = OPEN_DOOR


@dataclass(frozen=True, slots=True)
class FromWorker:
    """A message from a worker."""

    address: Address
    message: m.Message


@dataclass(frozen=True, slots=True)
class RunCreated:
    """The store of a run exists: new, or ``found`` after a restart with these blocks and frames durable."""

    run: Run
    token: str
    address: Address | None
    committed: Ranges = field(default_factory=Ranges)
    stored: Ranges = field(default_factory=Ranges)
    found: bool = False


@dataclass(frozen=True, slots=True)
class RunSealed:
    """The store of a run is finished."""

    run: str
    ledger: Ledger
    summary: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


@dataclass(frozen=True, slots=True)
class Drain:
    """The service is going down: no new runs."""


Event = FromAgent | FromWorker | RunCreated | RunSealed | Tick | Drain


# --- actions ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToAgent:
    """Send a message to an agent."""

    address: Address
    message: m.Message


@dataclass(frozen=True, slots=True)
class ToWorker:
    """Send a message to a worker."""

    address: Address
    message: m.Message


@dataclass(frozen=True, slots=True)
class Create:
    """Check the request and create the run's store; answer with ``RunCreated`` or refuse the agent."""

    address: Address
    opening: m.Open
    instrument: str


@dataclass(frozen=True, slots=True)
class Reopen:
    """Take a sealed run up again, if it is the agent's; answer with ``RunCreated`` or refuse the agent."""

    address: Address
    opening: m.Open
    permit: Permit = OPEN_DOOR


@dataclass(frozen=True, slots=True)
class Publish:
    """Show what is durable."""

    run: str


@dataclass(frozen=True, slots=True)
class Seal:
    """Finish the store; answer with ``RunSealed``."""

    run: str
    losses: tuple[Loss, ...]


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove store and entry of a run that never began, so that its name is free again."""

    run: str


Action = ToAgent | ToWorker | Create | Reopen | Publish | Seal | Remove


# --- state ------------------------------------------------------------------------------------------------------


@dataclass
class Worker:
    """A worker as the head knows it."""

    name: str
    slot: str
    endpoint: str
    device: str
    heard: float
    ready: set[str] = field(default_factory=set)
    waiting: Mapping[str, str] = field(default_factory=dict)


@dataclass
class LiveRun:
    """A run that is not sealed yet."""

    run: Run
    token: str
    address: Address | None
    began: float
    heard: float
    ledger: Ledger
    committed: Ranges = field(default_factory=Ranges)
    found: bool = False
    welcomed: bool = False
    ended: float | None = None
    sealing: bool = False

    @property
    def begun(self) -> bool:
        """Whether an agent may have sent frames."""
        return self.welcomed or self.found or bool(self.committed.spans)


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a run ended, for whoever it belongs to."""

    token: str
    instrument: str
    sealed: m.Sealed


class HeadProtocol:
    """Decides what the head does.

    Parameters
    ----------
    dashboard : str
        Address of the page, told to agents.
    timing : HeadTiming
        How patient to be.
    """

    def __init__(self, dashboard: str, timing: HeadTiming | None = None) -> None:
        self.dashboard = dashboard
        self.timing = timing or HeadTiming()
        self.draining = False
        self.workers: dict[Address, Worker] = {}
        self.runs: dict[str, LiveRun] = {}
        self._creating: set[str] = set()
        self._sealed: dict[str, _Ended] = {}

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take an event, change the state, say what to do."""
        match event:
            case FromAgent(address, message, permit):
                return self._from_agent(address, message, permit, now)
            case FromWorker(address, message):
                return self._from_worker(address, message, now)
            case RunCreated():
                return self._created(event, now)
            case RunSealed(run, ledger, summary):
                return self._sealed_run(run, ledger, summary)
            case Tick():
                return self._tick(now)
            case Drain():
                self.draining = True
                return []

    # --- agents ---

    def _from_agent(self, address: Address, message: m.Message, permit: Permit, now: float) -> list[Action]:
        if isinstance(message, m.Open):
            return self._open(address, message, permit, now)
        name = getattr(message, "run", "")
        live = self.runs.get(name)
        if live is None:
            ended = self._sealed.get(name)
            asked = ended is not None and isinstance(message, m.End) and permit.owns(ended.instrument)
            return [ToAgent(address, ended.sealed)] if ended and asked else []
        if live.address != address or not permit.owns(live.run.instrument):
            return []  # not this run's agent; a real one that lost its connection comes back with OPEN and token
        live.heard = now
        match message:
            case m.Lost(_, losses):
                live.ledger = live.ledger.lose(_within(losses, live.ledger.expected))
                return []
            case m.End(_, losses):
                live.ledger = live.ledger.lose(_within(losses, live.ledger.expected))
                live.ended = live.ended if live.ended is not None else now
                return self._maybe_seal(live, now)
            case m.Ping():
                return [ToAgent(address, m.Pong(name, self.waits(name))), *self._tell_workers(live)]
            case _:
                return []

    def _open(self, address: Address, opening: m.Open, permit: Permit, now: float) -> list[Action]:
        if not permit.may_record_in(opening.investigation):
            return [ToAgent(address, _elsewhere(permit, opening.investigation))]
        for name, ended in self._sealed.items():
            if ended.token == opening.token:
                if not permit.owns(ended.instrument):
                    return [ToAgent(address, m.NOT_YOURS)]
                return self._open_sealed(address, opening, name, ended.sealed, permit)
        for live in self.runs.values():
            if live.token == opening.token:
                if not permit.owns(live.run.instrument):
                    return [ToAgent(address, m.NOT_YOURS)]
                if live.sealing and live.ended is None:  # sealed for its agent's silence: it can be taken up when it is
                    return [ToAgent(address, m.Pong(live.run.id))]
                live.address, live.heard = address, now
                return self._welcome(live) or [ToAgent(address, m.Pong(live.run.id, self.waits(live.run.id)))]
        if self.draining:
            return [ToAgent(address, m.Refuse("the service is shutting down", "try again when it is back"))]
        if opening.token in self._creating:
            return [ToAgent(address, m.Pong())]
        if len(self.runs) + len(self._creating) >= OPEN_RUNS:
            return [ToAgent(address, m.Refuse(f"{OPEN_RUNS} runs are open already", "finish one of them first"))]
        self._creating.add(opening.token)
        return [Reopen(address, opening, permit) if opening.resume else Create(address, opening, permit.instrument)]

    def _open_sealed(
        self, address: Address, opening: m.Open, name: str, sealed: m.Sealed, permit: Permit
    ) -> list[Action]:
        """Tell how a run ended; where its agent has more frames to send, take it up again."""
        if not (opening.resume and opening.unfinished) or sealed.status == "complete":
            return [ToAgent(address, self._welcome_sealed(name, sealed)), ToAgent(address, sealed)]
        if self.draining or opening.token in self._creating:
            return [ToAgent(address, m.Pong())]
        self._creating.add(opening.token)
        return [Reopen(address, opening, permit)]

    def _welcome_sealed(self, name: str, sealed: m.Sealed) -> m.Welcome:
        store = str(sealed.summary.get("store", ""))
        return m.Welcome(name, str(sealed.summary.get("name", "")), store, (), Ranges(), self.dashboard)

    def refused(self, token: str) -> None:
        """Forget a request whose store could not be made."""
        self._creating.discard(token)

    def _created(self, event: RunCreated, now: float) -> list[Action]:
        self._creating.discard(event.token)
        self._sealed.pop(event.run.id, None)
        ledger = Ledger(event.run.plan.frames).store(event.stored)
        live = LiveRun(event.run, event.token, event.address, now, now, ledger, event.committed, event.found)
        self.runs[event.run.id] = live
        return [ToWorker(address, m.Serve(event.run.id, event.run.store)) for address in self.workers]

    def _welcome(self, live: LiveRun) -> list[Action]:
        peers = self._peers(live.run.id)
        if live.address is None or not (peers or live.welcomed):
            return []
        live.welcomed = True
        run = live.run
        return [ToAgent(live.address, m.Welcome(run.id, run.name, run.store, peers, live.committed, self.dashboard))]

    def _peers(self, run: str) -> tuple[m.Peer, ...]:
        return tuple(m.Peer(w.name, w.endpoint) for w in self.workers.values() if run in w.ready)

    # --- workers ---

    def _from_worker(self, address: Address, message: m.Message, now: float) -> list[Action]:
        if isinstance(message, m.Register):
            return self._register(address, message, now)
        worker = self.workers.get(address)
        if worker is None:
            return []
        worker.heard = now
        match message:
            case m.Ready(run):
                return self._ready(worker, run)
            case m.BlockDone(run, block, frames):
                return self._block_done(run, block, frames, now)
            case m.Refuse(what, remedy, run):
                return self._not_prepared(run, what, remedy)
            case m.Stats(received=received, waiting=waiting):
                worker.waiting = waiting
                # It may have missed the end of a run while it was away.
                return [ToWorker(address, m.Over(run)) for run in received if run not in self.runs]
            case _:
                return []

    def _register(self, address: Address, message: m.Register, now: float) -> list[Action]:
        actions: list[Action] = []
        if address in self.workers:
            known = self.workers[address]
            known.heard, known.device = now, message.device
        else:
            for old in [a for a, w in self.workers.items() if w.slot == message.slot]:
                actions += self._drop_worker(old)
            self.workers[address] = Worker(message.worker, message.slot, message.endpoint, message.device, now)
        ready = self.workers[address].ready
        asked = [ToWorker(address, m.Serve(r, live.run.store)) for r, live in self.runs.items() if r not in ready]
        return [*actions, *asked]

    def _drop_worker(self, address: Address) -> list[Action]:
        worker = self.workers.pop(address)
        return [a for run in worker.ready if run in self.runs for a in self._tell_workers(self.runs[run])]

    def _ready(self, worker: Worker, run: str) -> list[Action]:
        live = self.runs.get(run)
        if live is None:
            return []
        worker.ready.add(run)
        return self._tell_workers(live) if live.welcomed else self._welcome(live)

    def _tell_workers(self, live: LiveRun) -> list[Action]:
        if live.address is None or not live.welcomed:
            return []
        return [ToAgent(live.address, m.Workers(live.run.id, self._peers(live.run.id)))]

    def _block_done(self, run: str, block: int, frames: Ranges, now: float) -> list[Action]:
        live = self.runs.get(run)
        if live is None or block >= len(live.run.plan.blocks):
            return []
        live.committed |= Ranges(((block, block),))
        here = live.run.plan.blocks[block]
        live.ledger = live.ledger.store(frames.within(here.first, here.last))
        return [Publish(run), *self._maybe_seal(live, now)]

    def waits(self, run: str) -> str:
        """Tell what a run waits for at every worker that could serve it; empty where it need not wait."""
        why = [w.waiting.get(run, "") for w in self.workers.values() if run in w.ready or run in w.waiting]
        return why[0] if why and all(why) else ""

    def _not_prepared(self, run: str, what: str, remedy: str) -> list[Action]:
        """Give up a run that a worker cannot serve, unless its agent has begun to send: others may serve it."""
        live = self.runs.get(run)
        if live is None or live.welcomed or live.sealing:
            return []
        refusal = m.Refuse(what, remedy or "correct the request and open the run again")
        told: list[Action] = [ToAgent(live.address, refusal)] if live.address else []
        return [*told, *self._give_up(live, "worker", what)]

    def _give_up(self, live: LiveRun, where: str, why: str) -> list[Action]:
        """Seal a run with what is durable; one that never began leaves nothing behind."""
        run = live.run.id
        if live.begun:
            live.sealing = True
            return [Seal(run, _all_lost(live.ledger, where, why))]
        del self.runs[run]
        for worker in self.workers.values():
            worker.ready.discard(run)
        return [Remove(run), *(ToWorker(address, m.Over(run)) for address in self.workers)]

    # --- sealing ---

    def _maybe_seal(self, live: LiveRun, now: float) -> list[Action]:
        accounted = not live.ledger.unknown.spans
        waited = live.ended is not None and now - live.ended > self.timing.seal_s
        if live.sealing or live.ended is None or not (accounted or waited):
            return []
        live.sealing = True
        return [Seal(live.run.id, live.ledger.losses)]

    def _sealed_run(self, run: str, ledger: Ledger, summary: Mapping[str, Any]) -> list[Action]:
        live = self.runs.pop(run, None)
        if live is None:
            return []
        for worker in self.workers.values():
            worker.ready.discard(run)
        sealed = self.remember(run, live.token, ledger, summary, live.run.instrument)
        told: list[Action] = [ToAgent(live.address, sealed)] if live.address else []
        return [*told, *(ToWorker(address, m.Over(run)) for address in self.workers)]

    def remember(
        self, run: str, token: str, ledger: Ledger, summary: Mapping[str, Any], instrument: str = ""
    ) -> m.Sealed:
        """Keep the answer for an agent that asks again how its run ended; long-finished runs are in the registry."""
        sealed = m.Sealed(run, ledger.status, ledger.to_json(most=SEALED_ENTRIES), summary)
        self._sealed[run] = _Ended(token, instrument, sealed)
        while len(self._sealed) > REMEMBERED_RUNS:
            self._sealed.pop(next(iter(self._sealed)))
        return sealed

    # --- time ---

    def _tick(self, now: float) -> list[Action]:
        actions: list[Action] = []
        for address in [a for a, w in self.workers.items() if now - w.heard > self.timing.worker_s]:
            actions += self._drop_worker(address)
        for live in list(self.runs.values()):
            actions += self._tick_run(live, now)
        return actions

    def _tick_run(self, live: LiveRun, now: float) -> list[Action]:
        if live.sealing or self.draining:
            return []
        if live.ended is not None:
            return self._maybe_seal(live, now)
        if not live.welcomed and live.address and now - live.began > self.timing.open_s:
            waits = self.waits(live.run.id)
            what = "no worker became ready for the run" + (f": it {waits}" if waits else "")
            return self._not_prepared(live.run.id, what, "try again later" if waits else "see the service's log")
        if now - live.heard > self.timing.agent_s:
            return self._give_up(live, "agent", f"the agent was silent for {self.timing.agent_s:.0f} s")
        return []


def _elsewhere(permit: Permit, investigation: str) -> m.Refuse:
    what = f"instrument {permit.instrument!r} may not record in investigation {investigation[:100]!r}"
    where = ", ".join(map(repr, permit.investigations or ())) or "none yet"
    return m.Refuse(what, f"it may in {where[:1000]}; more can be allowed with `octostream keys allow`")


def _within(losses: tuple[Loss, ...], expected: int) -> list[Loss]:
    """Keep only what the plan knows, in few words: an agent cannot lose frames that nobody expects."""
    return [
        Loss(k.first, min(k.last, expected - 1), k.where[:WHERE_CHARACTERS], k.why[:WHY_CHARACTERS])
        for k in losses
        if k.first < expected
    ]


def _all_lost(ledger: Ledger, where: str, why: str) -> tuple[Loss, ...]:
    return ledger.lose(Loss(a, b, where, why) for a, b in ledger.unknown.spans).losses
