"""The worker: receive, reduce, write, commit, acknowledge.

One thread receives and reduces (each frame as it arrives); one thread a run writes. Decisions are the protocol's; this
file moves bytes.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
import xxhash

from . import messages as m
from . import worker_events as wp
from .clock import monotonic_s, wall_ns
from .doorkeeper import Doorkeeper
from .errors import MemoryRefusedError, OctostreamError, WireError
from .histogram import Histogram
from .keys import Permit
from .link import MAX_MESSAGE_BYTES, Dealer, Poll, Publisher, Router, Waker, context
from .model import Frame
from .preview import PREVIEW_HZ, publish_preview, shrink
from .resident import Resident
from .sharing import mib
from .telemetry import StageMeter
from .tools import Prepare, Prepared, Reducer
from .wire import Buffer, decode, encode
from .worker_protocol import WorkerProtocol
from .worker_run import RunHere
from .writing import Done, Job, WritingThread

log = logging.getLogger(__name__)

#: Messages taken from the data socket before the others get a look.
BURST = 8
#: What the process takes beside its runs' buffers, once it works: sockets, threads, arrays of tensorstore, previews.
SPARE_BYTES = 96 * 2**20
#: A worker that cannot hold so much of runs is of no use.
LEAST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker is told; plain values, so that it can be started anywhere.

    Attributes
    ----------
    worker : str
        Unique to this life of the process.
    slot : str
        Place in the tier, the same for every life.
    head : str
        Address of the head's tier socket.
    bind : str
        Where to listen for agents.
    copies : str
        Address to send previews to; empty: nobody looks.
    keys : str
        Folder of the tier's keys; empty: agents need none.
    window_bytes : int
        Bytes an agent may have under way.
    drain_s : float
        Time to finish whole blocks after being asked to stop.
    memory_bytes : int
        What the process may use.
    """

    worker: str
    slot: str
    head: str
    bind: str
    copies: str = ""
    keys: str = ""
    window_bytes: int = 64 * 2**20
    drain_s: float = 10.0
    memory_bytes: int = 1536 * 2**20


@dataclass
class _Slot:
    reducer: Reducer
    reduced: Histogram = field(default_factory=Histogram)


@dataclass
class _RunHere:
    prepared: Prepared
    writing: WritingThread
    slot_bytes: int
    free: list[Reducer] = field(default_factory=list)
    slots: dict[int, _Slot] = field(default_factory=dict)
    parked: dict[int, Buffer] = field(default_factory=dict)
    received: int = 0
    previewed: float = 0.0

    @property
    def reducers(self) -> list[Reducer]:
        return [*self.free, *(slot.reducer for slot in self.slots.values())]


class Worker:
    """A worker of the tier.

    Parameters
    ----------
    settings : WorkerSettings
        Addresses and limits.
    prepare : Prepare
        Makes a run ready: the only way in which kernels and sinks come in.
    device : str
        What the reductions run on, for the report and the commit records.

    Raises
    ------
    MemoryRefusedError
        It may not use even what it takes without a run.
    """

    def __init__(self, settings: WorkerSettings, prepare: Prepare, device: str = "cpu") -> None:
        self.settings = settings
        self._resident = Resident(settings.memory_bytes)
        own = self._resident.now() + SPARE_BYTES
        if own + LEAST_BYTES > settings.memory_bytes:
            what = f"a worker takes {mib(own)} MiB by itself and may use {mib(settings.memory_bytes)} MiB"
            raise MemoryRefusedError(what, f"raise memory_mib to {mib(own + LEAST_BYTES)} or more")
        self._prepare = prepare
        self._device = device
        self._context = context()
        doorkeeper = Doorkeeper(self._context, Path(settings.keys)) if settings.keys else None
        self._router = Router(self._context, settings.bind, MAX_MESSAGE_BYTES, doorkeeper)
        self._head = Dealer(self._context, settings.head)
        self._copies = Publisher(self._context, settings.copies) if settings.copies else None
        self._waker = Waker(self._context)
        self._poll = Poll()
        for link in (self._router, self._head, self._waker):
            self._poll.add(link)
        self._protocol = WorkerProtocol(settings.window_bytes, settings.memory_bytes - own)
        self._runs: dict[str, _RunHere] = {}
        self._done: queue.SimpleQueue[tuple[str, Done]] = queue.SimpleQueue()
        self._stopping = False  # a flag, no Event: its lock would deadlock when one signal interrupts another
        self._not_now: dict[str, str] = {}
        self._receive = StageMeter("receive")
        self._reduce = StageMeter("reduce")
        self._write = StageMeter("write")
        self._malformed = 0

    @property
    def endpoint(self) -> str:
        """Address at which agents reach this worker."""
        return self._router.endpoint

    def stop(self) -> None:
        """Ask the worker to drain and return from ``run``; safe from a signal handler, and more than once."""
        self._stopping = True

    def run(self) -> None:
        """Serve until stopped; then finish the blocks that are whole, within ``drain_s``."""
        try:
            next_report = 0.0
            while not self._stopping:
                next_report = self._turn(next_report)
            self._drain()
        finally:
            self._close()

    def _drain(self) -> None:
        self._protocol.handle(wp.Drain())
        deadline = monotonic_s() + self.settings.drain_s
        next_report = 0.0
        while self._protocol.writing and monotonic_s() < deadline:
            next_report = self._turn(next_report)
        if self._protocol.writing:
            log.warning("stopped with %d blocks unwritten; their agents still hold them", self._protocol.writing)

    def _close(self) -> None:
        for here in self._runs.values():
            here.writing.close()
        for link in (self._router, self._head, self._waker, *((self._copies,) if self._copies else ())):
            link.close()
        self._context.term()

    # --- one turn of the loop ---

    def _turn(self, next_report: float) -> float:
        self._poll.wait(0.1)
        self._waker.clear()
        self._take_done()
        self._take_from_head()
        drained = self._take_from_agents()
        now = monotonic_s()
        self._act(self._protocol.handle(wp.Tick(now, drained)), None)
        self._resident.growth_bytes = self._protocol.budget.fleeting
        if now < next_report:
            return next_report
        self._report(now)
        return now + 0.5

    def _take_from_agents(self) -> bool:
        """Take some messages; tells whether that was all there were."""
        for _ in range(BURST):
            if (received := self._router.receive()) is None:
                return True
            self._from_agent(*received)
        return False

    def _take_done(self) -> None:
        for here in self._runs.values():
            if here.writing.lost:
                raise here.writing.lost
        while not self._done.empty():
            run, done = self._done.get()
            here = self._runs.get(run)
            if here is None:
                continue
            here.slots.pop(done.job.block.number, None)
            here.free.append(done.job.reducer)
            self._write.observe(monotonic_s(), done.seconds, len(done.job.frames), done.message.stored_bytes)
            self._act(self._protocol.handle(wp.Written(run, done.job.block.number)), None)
            self._head.send(encode(done.message))

    def _take_from_head(self) -> None:
        while (parts := self._head.receive()) is not None:
            try:
                message = decode(parts)
            except WireError:
                self._malformed += 1
                continue
            if isinstance(message, m.Serve):
                self._serve(message)
            elif isinstance(message, m.Over):
                self._act(self._protocol.handle(wp.ForgetRun(message.run)), None)

    def _serve(self, serve: m.Serve) -> None:
        try:
            if serve.run in self._runs or self._take_up(serve):
                self._head.send(encode(m.Ready(serve.run)))
        except OctostreamError as error:
            self._head.send(encode(m.Refuse(error.what, error.remedy, serve.run)))

    def _take_up(self, serve: m.Serve) -> bool:
        """Make a run ready; False where there is no room for it now: the head will ask again."""
        plan, need = self._prepare.need(serve.store)
        actions, why = self._protocol.make_room(plan, need)
        self._act(actions, None)
        if why:
            self._not_now[serve.run] = why
            return False
        self._resident.make_room(need.fixed)
        prepared = self._prepare(serve.store)
        run, told = serve.run, (self.settings.worker, self._device)
        make_room = self._resident.make_room
        writing = WritingThread(run, *told, plan.frame_bytes, prepared.writer, self._block_done, make_room)
        self._runs[run] = _RunHere(prepared, writing, need.slot)
        instrument = prepared.run.instrument
        self._protocol.handle(
            wp.ServeRun(run, prepared.token, plan, prepared.slots, prepared.committed, need, instrument)
        )
        return True

    def _block_done(self, run: str, done: Done) -> None:
        self._done.put((run, done))
        self._waker.wake()

    # --- frames ---

    def _from_agent(self, address: bytes, parts: list[memoryview], permit: Permit | None) -> None:
        began = perf_counter()
        if permit is None:
            self._router.send(address, encode(m.NOT_ALLOWED))
            return
        try:
            message = decode(parts)
        except WireError as error:
            self._malformed += 1
            self._router.send(address, encode(m.Refuse(error.what[:200], error.remedy)))
            return
        intact = True
        if isinstance(message, m.FrameData):
            intact = xxhash.xxh3_64_intdigest(message.payload) == message.checksum
            nbytes = memoryview(message.payload).nbytes
            self._receive.observe(monotonic_s(), perf_counter() - began, 1, nbytes)
        payload = getattr(message, "payload", None)
        self._act(self._protocol.handle(wp.FromAgent(address, message, intact, permit)), payload)

    def _act(self, actions: list[wp.Action], payload: Buffer | None) -> None:
        for action in actions:
            match action:
                case wp.Reduce(run, block, frame):
                    self._reduce_frame(self._runs[run], block, frame, payload)
                case wp.ToAgent(address, message):
                    self._router.send(address, encode(message))
                case wp.Begin(run, block):
                    self._begin(self._runs[run], block)
                case wp.Warm(run):
                    self._runs[run].free.append(self._new_slot(self._runs[run]))
                case wp.FreeSlot(run):
                    self._runs[run].free.pop()
                case wp.Park(run, number):
                    assert payload is not None
                    self._runs[run].parked[number] = payload
                case wp.Write(run, block, frames):
                    self._hand_over(self._runs[run], block, frames)
                case wp.Discard(run, block):
                    here = self._runs[run]
                    here.free.append(here.slots.pop(block).reducer)
                case wp.DropParked(run):
                    self._runs[run].parked.clear()
                case wp.Forget(run):
                    self._runs.pop(run).writing.close()

    def _begin(self, here: _RunHere, block: int) -> None:
        reducer = here.free.pop() if here.free else self._new_slot(here)
        reducer.begin(here.prepared.run.plan.blocks[block])
        here.slots[block] = _Slot(reducer)

    def _new_slot(self, here: _RunHere) -> Reducer:
        self._resident.make_room(here.slot_bytes)
        return here.prepared.reducer()

    def _reduce_frame(self, here: _RunHere, block: int, frame: Frame, payload: Buffer | None) -> None:
        data = here.parked.pop(frame.number, payload)
        assert data is not None
        began = perf_counter()
        slot = here.slots[block]
        pixels = np.frombuffer(data, np.dtype("<u2")).reshape(here.prepared.run.plan.frame_shape)
        slot.reducer.take(frame.number, pixels)
        slot.reduced.observe((wall_ns() - frame.timestamp_ns) / 1e9)
        here.received += 1
        now = monotonic_s()
        self._reduce.observe(now, perf_counter() - began, 1, pixels.nbytes)
        if self._copies and now - here.previewed >= 1 / PREVIEW_HZ:
            here.previewed = now
            preview = shrink(here.prepared.run.id, frame, slot.reducer.level0(frame.number))
            publish_preview(self._copies, preview)

    def _hand_over(self, here: _RunHere, block: int, frames: tuple[Frame, ...]) -> None:
        slot, began = here.slots[block], perf_counter()
        stats = [slot.reducer.stats(f.number) for f in frames]
        # A GPU still reduces the last frames that it was given.
        self._reduce.waited(monotonic_s(), perf_counter() - began)
        plan = here.prepared.run.plan
        here.writing.put(Job(plan.blocks[block], frames, stats, slot.reducer, slot.reduced))

    # --- telling the head ---

    def _report(self, now: float) -> None:
        self._head.send(encode(m.Register(self.settings.worker, self.settings.slot, self.endpoint, self._works_on())))
        self._resident.make_room()
        self._measure_queues(self._protocol.runs)
        trouble = next((h.writing.trouble for h in self._runs.values() if h.writing.trouble), "")
        received: Mapping[str, int] = {run: here.received for run, here in self._runs.items()}
        waiting, self._not_now = {**self._not_now, **self._protocol.waiting}, {}
        stages = tuple(asdict(meter.report(now)) for meter in (self._receive, self._reduce, self._write))
        rss, counts = self._resident.now(), (self._malformed, self._router.refused)
        limit = self.settings.memory_bytes
        self._head.send(encode(m.Stats(self.settings.worker, stages, rss, trouble, received, *counts, limit, waiting)))

    def _works_on(self) -> str:
        reducers = (reducer for here in self._runs.values() for reducer in here.reducers)
        return next((reducer.instead for reducer in reducers if reducer.instead), self._device)

    def _measure_queues(self, runs: tuple[RunHere, ...]) -> None:
        """Count what waits: frames for a slot, frames in blocks that fill, frames in blocks that wait for the disk."""
        slots = [(r, self._protocol.budget.slots(r.name) * r.plan.blocks[0].count) for r in runs]
        self._receive.measure((len(r.parked), self._protocol.window(r) // r.cost, paced(r)) for r in runs)
        self._reduce.measure((sum(len(r.blocks[b].frames) for b in r.unfinished), room, False) for r, room in slots)
        self._write.measure((r.writing * r.plan.blocks[0].count, room, paced(r)) for r, room in slots)


def paced(run: RunHere) -> bool:
    """Tell whether a full queue of a run is bad: a source that goes as fast as it can fills every queue."""
    return run.plan.rate_hz is not None
