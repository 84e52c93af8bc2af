"""The agent's network thread: owns the sockets of one run, moves what the protocol decides."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..stream import agent_protocol as ap
from ..stream import messages as m
from ..stream.clock import monotonic_s
from ..stream.errors import OctostreamError, UnreachableError, WireError
from ..stream.keys import InstrumentKey
from ..stream.link import Dealer, Poll, Waker, context, host_of
from ..stream.model import Frame, Loss
from ..stream.telemetry import StageMeter
from ..stream.wire import decode, encode
from .payloads import Payloads
from .ring import Ring
from .spool import Spool
from .spool_errors import SpoolError
from .spooling import Spooling

#: Messages that may wait for an absent head: what matters is sent again anyway.
HEAD_QUEUE = 16
#: Encryption keeps a thread busy with half the camera's rate: connections to several workers are spread over these.
IO_THREADS_WITH_KEY = 4


@dataclass(frozen=True, slots=True)
class _Taken:
    """A frame on its way from the source's thread to the agent's."""

    frame: Frame
    slot: int
    taken_s: float


@dataclass(frozen=True, slots=True)
class _Told:
    """A frame is in the spool, or is not for this reason."""

    number: int
    why: str


class Agent:
    """Sends the frames of one run and keeps each until it is durable.

    Parameters
    ----------
    to : str
        Address of the tier, ``tcp://HOST:PORT``.
    opening : Open
        The run to open.
    ring : Ring
        Where the source puts frames.
    spool : Spool, optional
        Where they go when the ring is full.
    timing : Timing
        How patient to be.
    key : InstrumentKey, optional
        Proved to the tier; one that uses keys takes nobody without.
    """

    def __init__(
        self,
        to: str,
        opening: m.Open,
        ring: Ring,
        spool: Spool | None = None,
        timing: ap.Timing | None = None,
        key: InstrumentKey | None = None,
    ) -> None:
        host_of(to)
        self.to = to
        self.ring = ring
        self.acquire = StageMeter("acquire")
        self.late = 0
        self.welcome: m.Welcome | None = None
        self.sealed: m.Sealed | None = None
        self.error: OctostreamError | None = None
        self.opened = threading.Event()
        self.over = threading.Event()
        self._send = StageMeter("send")
        self._protocol = ap.AgentProtocol(opening, monotonic_s(), timing)
        self._frame_bytes = opening.plan.frame_bytes
        self._events: deque[ap.Event | _Taken | _Told] = deque()
        self.sent = 0
        self._captured_s: dict[int, float] = {}
        self._spooling = None if spool is None else Spooling(spool, lambda n, why: self._post(_Told(n, why)))
        self._payloads = Payloads(ring, self._spooling)
        self._stop = threading.Event()
        self._key = key
        self._context = context(IO_THREADS_WITH_KEY if key else 1)
        self._waker = Waker(self._context)
        self._thread = threading.Thread(target=self._run, name="agent", daemon=True)

    @property
    def held(self) -> int:
        """Frames that are not yet durable."""
        return self._payloads.held

    @property
    def overrun(self) -> str:
        """Why the spool takes no frames now; empty while it does."""
        return self._payloads.spool_full

    @property
    def trouble(self) -> str:
        """What went wrong last with the spool's files; empty where nothing did."""
        return self._spooling.trouble if self._spooling else ""

    def start(self) -> None:
        """Open the run; ``opened`` or ``over`` is set when the answer is there."""
        self._thread.start()

    def captured(self, frame: Frame, slot: int) -> None:
        """Hand over a frame; its slot comes back to the ring when it is durable, or in the spool."""
        self._post(_Taken(frame, slot, monotonic_s()))

    def missed(self, number: int, where: str, why: str) -> None:
        """Account for a frame that the source could not deliver, or that nothing could keep."""
        self._post(ap.Missed(number, where, why))

    def finish(self, why: str = "", where: str = "source") -> None:
        """Capture nothing more; ``over`` is set when the run is sealed."""
        self._post(ap.Finish(why, where))

    def close(self) -> None:
        """Stop, sealed or not, and free sockets and memory. Frames that are not durable are put into the spool."""
        self._stop.set()
        self._waker.wake()
        if self._thread.ident is not None:
            self._thread.join()
        self._payloads.let_go()
        self._waker.close()
        self._context.term()

    def _post(self, event: ap.Event | _Taken | _Told) -> None:
        # One append hands everything over: wherever Ctrl-C interrupts the caller, a frame is sent whole or not at all.
        self._events.append(event)
        self._waker.wake()

    # --- the thread ---

    def _run(self) -> None:
        links: _Links | None = None
        try:
            links = _Links(self._context, self.to, self._waker, self._key)
            self._loop(links)
        except OctostreamError as error:
            self._fail(error)
        except BaseException as error:  # whoever waits for this thread must hear that it is gone, and why
            self._fail(OctostreamError(f"the agent failed ({error!r})", "please report this"))
            raise
        finally:
            if links is not None:
                links.close()
            self._leave()
            self.ring.close()
            self.opened.set()
            self.over.set()

    def _loop(self, links: _Links) -> None:
        self._take_up()
        self._act(self._protocol.start(), links)
        next_tick = monotonic_s() + 0.2
        while not (self._stop.is_set() or self.over.is_set()):
            links.poll.wait(0.1)
            self._waker.clear()
            while self._events:
                self._take(self._events.popleft(), links)
            self._receive(links)
            if freed := self._payloads.collect():
                self._handle(ap.Buffers(freed), links)
            self._relieve(monotonic_s())
            if links.head.turned_away and not self._protocol.run and not self.over.is_set():
                self._fail(links.head.refusal or UnreachableError("no octostream service answers"))
            if monotonic_s() >= next_tick:
                next_tick = monotonic_s() + 0.2
                self._handle(ap.Tick(), links)

    def _relieve(self, now: float) -> None:
        self._payloads.relieve(lambda n: self._protocol.is_under_way(n, now), self._protocol.is_away(now), now)

    def _take_up(self) -> None:
        """Hold what an earlier life of the agent left in the spool."""
        if self._spooling is None:
            return
        now, spool = monotonic_s(), self._spooling.spool
        self._protocol.handle(ap.Buffers(self._payloads.read_back_buffers(self._frame_bytes)), now)
        for number in spool.frames:
            self._payloads.found(number)
            self._protocol.handle(ap.Captured(spool.frame(number)), now)
            self._protocol.handle(ap.Spooled(number), now)
        for loss in spool.losses:
            for number in range(loss.first, loss.last + 1):
                self._protocol.handle(ap.Missed(number, loss.where, loss.why), now)

    def _take(self, event: ap.Event | _Taken | _Told, links: _Links) -> None:
        match event:
            case _Taken(frame, slot, taken_s):
                self._payloads.captured(frame, slot)
                self._captured_s[frame.number] = taken_s
                self.sent += 1
                self._handle(ap.Captured(frame), links)
            case _Told(number, ""):
                if self._payloads.spooled(number):
                    self._handle(ap.Spooled(number), links)
            case _Told(number, why):
                self._payloads.not_spooled(number, why)
            case _:
                self._handle(event, links)
                self._write_down(event)

    def _write_down(self, event: ap.Event) -> None:
        """Let the spool know what a restarted agent could not find out."""
        if self._spooling is None:
            return
        match event:
            case ap.Missed(number, where, why):
                self._spooling.lost((Loss(number, number, where, why),))
            case ap.Damaged(number, why):
                self._spooling.lost((Loss(number, number, "spool", why),))
            case ap.Finish(why):
                self._spooling.lost(self._protocol.losses)
                self._spooling.ended(why)
            case _:
                return

    def _leave(self) -> None:
        """Leave the spool empty where the run is sealed, and else with everything that is not durable."""
        if self._spooling is None:
            return
        for event in self._events:
            if isinstance(event, _Taken):
                self._payloads.captured(event.frame, event.slot)
        if self.sealed is None:
            self._payloads.park()
        self._spooling.close()
        if self.sealed is None and self._spooling.spool.frames:
            self._spooling.spool.close()
        else:
            self._spooling.spool.discard()

    def _handle(self, event: ap.Event, links: _Links) -> None:
        self._act(self._protocol.handle(event, monotonic_s()), links)

    def _receive(self, links: _Links) -> None:
        while (parts := links.head.receive()) is not None:
            self._read(parts, lambda message: ap.FromHead(message), links)
        for worker in list(links.workers):
            while worker in links.workers and (parts := links.workers[worker].receive()) is not None:
                self._read(parts, lambda message, w=worker: ap.FromWorker(w, message), links)

    def _read(self, parts: list[memoryview], event: Callable[[m.Message], ap.Event], links: _Links) -> None:
        try:
            message = decode(parts)
        except WireError as error:
            if not self._protocol.run:  # before the run is open this is the answer to it: another release, or no tier
                self._fail(error)
            return
        self._handle(event(message), links)

    def _act(self, actions: list[ap.Action], links: _Links) -> None:
        for action in actions:
            match action:
                case ap.SendFrame(worker, session, frame):
                    self._send_frame(links, worker, session, frame)
                case ap.ToWorker(worker, message):
                    links.workers[worker].send(encode(message))
                case ap.ToHead(message):
                    links.head.send(encode(self._with_stages(message)))
                case ap.Release(frames):
                    self._release(frames)
                case ap.Connect(worker, endpoint):
                    links.connect(worker, endpoint)
                case ap.Disconnect(worker):
                    links.disconnect(worker)
                case ap.Opened(welcome):
                    self.welcome = welcome
                    if self._spooling is not None:
                        self._spooling.opened(welcome.run, welcome.name, welcome.store)
                    self.opened.set()
                case ap.Finished(sealed):
                    self.sealed = sealed
                    self.over.set()
                case ap.Failed(UnreachableError() as error):
                    self._fail(links.head.refusal or error)
                case ap.Failed(error):
                    self._fail(error)

    def _fail(self, error: OctostreamError) -> None:
        if isinstance(error, UnreachableError):
            error = UnreachableError(f"no octostream service answers at {self.to}", error.remedy)
        self.error = error
        self.over.set()

    def _send_frame(self, links: _Links, worker: str, session: int, frame: Frame) -> None:
        try:
            data = self._payloads.pixels(frame)
        except SpoolError as error:
            self._post(ap.Damaged(frame.number, str(error)))
            return
        header, payload = encode(
            m.FrameData(self._protocol.run, session, frame.number, frame.timestamp_ns, frame.checksum, data)
        )
        self._payloads.sent(frame, links.workers[worker].send_tracked(header, payload))
        now = monotonic_s()
        self._send.observe(now, now - self._captured_s.get(frame.number, now), 1, data.nbytes)

    def _release(self, frames: tuple[int, ...]) -> None:
        self._payloads.release(frames)
        for number in frames:
            self._captured_s.pop(number, None)

    def _with_stages(self, message: m.Message) -> m.Message:
        if not isinstance(message, m.Ping):
            return message
        now = monotonic_s()
        self.acquire.queue, self.acquire.queue_capacity = self.ring.used, len(self.ring)
        self._send.queue, self._send.queue_capacity = self._protocol.unsent, len(self.ring)
        meters = [self.acquire, self._send]
        if self._spooling is not None:
            spool, meter = self._spooling.spool, self._spooling.meter
            meter.queue, meter.queue_capacity = len(spool.frames), spool.limit_bytes // self._frame_bytes
            meters.append(meter)
        return replace(message, stages=tuple(asdict(meter.report(now)) for meter in meters), late=self.late)


class _Links:
    """The sockets of the thread."""

    def __init__(self, ctx: Any, to: str, waker: Waker, key: InstrumentKey | None) -> None:
        self._context = ctx
        self._key = key
        self._host = host_of(to)
        self.head = Dealer(ctx, to, HEAD_QUEUE, key)
        self.workers: dict[str, Dealer] = {}
        self.poll = Poll()
        self.poll.add(self.head)
        self.poll.add(waker)

    def connect(self, worker: str, endpoint: str) -> None:
        self.disconnect(worker)
        # A worker that listens everywhere does not know by which name this host reaches it: the head's will do.
        here = endpoint.replace("//0.0.0.0:", f"//{self._host}:")
        self.workers[worker] = Dealer(self._context, here, key=self._key)
        self.poll.add(self.workers[worker])

    def disconnect(self, worker: str) -> None:
        dealer = self.workers.pop(worker, None)
        if dealer is not None:
            self.poll.remove(dealer)
            dealer.close()

    def close(self) -> None:
        for worker in list(self.workers):
            self.disconnect(worker)
        self.head.close()
