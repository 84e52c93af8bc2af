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
from ..stream.link import Dealer, Poll, Waker, context, host_of
from ..stream.model import Frame
from ..stream.telemetry import StageMeter
from ..stream.wire import decode, encode
from .ring import Ring

#: Messages that may wait for an absent head: what matters is sent again anyway.
HEAD_QUEUE = 16


@dataclass(frozen=True, slots=True)
class _Taken:
    """A frame on its way from the source's thread to the agent's."""

    frame: Frame
    slot: int
    taken_s: float


class Agent:
    """Sends the frames of one run and keeps each until it is durable.

    Parameters
    ----------
    to : str
        Address of the tier, ``tcp://HOST:PORT``.
    opening : Open
        The run to open.
    ring : Ring
        Where the frames lie.
    timing : Timing
        How patient to be.
    """

    def __init__(self, to: str, opening: m.Open, ring: Ring, timing: ap.Timing | None = None) -> None:
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
        self._events: deque[ap.Event | _Taken] = deque()
        self.sent = 0
        self._slots: dict[int, int] = {}
        self._captured_s: dict[int, float] = {}
        self._trackers: dict[int, Callable[[], bool]] = {}
        self._leaving: list[tuple[int, Callable[[], bool]]] = []
        self._stop = threading.Event()
        self._context = context()
        self._waker = Waker(self._context)
        self._thread = threading.Thread(target=self._run, name="agent", daemon=True)

    @property
    def held(self) -> int:
        """Frames that are not yet durable."""
        return len(self._slots)

    def start(self) -> None:
        """Open the run; ``opened`` or ``over`` is set when the answer is there."""
        self._thread.start()

    def captured(self, frame: Frame, slot: int) -> None:
        """Hand over a frame; its slot comes back to the ring when it is durable."""
        self._post(_Taken(frame, slot, monotonic_s()))

    def missed(self, number: int, where: str, why: str) -> None:
        """Account for a frame that the source could not deliver."""
        self._post(ap.Missed(number, where, why))

    def finish(self, why: str = "") -> None:
        """Capture nothing more; ``over`` is set when the run is sealed."""
        self._post(ap.Finish(why))

    def close(self) -> None:
        """Stop, sealed or not, and free the sockets."""
        self._stop.set()
        self._waker.wake()
        if self._thread.ident is not None:
            self._thread.join()
        self.ring.close()
        self._waker.close()
        self._context.term()

    def _post(self, event: ap.Event | _Taken) -> None:
        # One append hands everything over: wherever Ctrl-C interrupts the caller, a frame is sent whole or not at all.
        self._events.append(event)
        self._waker.wake()

    # --- the thread ---

    def _run(self) -> None:
        links: _Links | None = None
        try:
            links = _Links(self._context, self.to, self._waker)
            self._loop(links)
        except OctostreamError as error:
            self._fail(error)
        except BaseException as error:  # whoever waits for this thread must hear that it is gone, and why
            self._fail(OctostreamError(f"the agent failed ({error!r})", "please report this"))
            raise
        finally:
            if links is not None:
                links.close()
            self.ring.close()
            self.opened.set()
            self.over.set()

    def _loop(self, links: _Links) -> None:
        self._act(self._protocol.start(), links)
        next_tick = monotonic_s() + 0.2
        while not (self._stop.is_set() or self.over.is_set()):
            links.poll.wait(0.1)
            self._waker.clear()
            while self._events:
                self._take(self._events.popleft(), links)
            self._receive(links)
            self._give_back()
            if monotonic_s() >= next_tick:
                next_tick = monotonic_s() + 0.2
                self._handle(ap.Tick(), links)

    def _take(self, event: ap.Event | _Taken, links: _Links) -> None:
        if isinstance(event, _Taken):
            self._slots[event.frame.number] = event.slot
            self._captured_s[event.frame.number] = event.taken_s
            self.sent += 1
            event = ap.Captured(event.frame)
        self._handle(event, links)

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
                    self.opened.set()
                case ap.Finished(sealed):
                    self.sealed = sealed
                    self.over.set()
                case ap.Failed(error):
                    self._fail(error)

    def _fail(self, error: OctostreamError) -> None:
        if isinstance(error, UnreachableError):
            error = UnreachableError(f"no octostream service answers at {self.to}", error.remedy)
        self.error = error
        self.over.set()

    def _send_frame(self, links: _Links, worker: str, session: int, frame: Frame) -> None:
        data = self.ring[self._slots[frame.number]].data.cast("B")
        header, payload = encode(
            m.FrameData(self._protocol.run, session, frame.number, frame.timestamp_ns, frame.checksum, data)
        )
        self._trackers[frame.number] = links.workers[worker].send_tracked(header, payload)
        now = monotonic_s()
        self._send.observe(now, now - self._captured_s[frame.number], 1, data.nbytes)

    def _release(self, frames: tuple[int, ...]) -> None:
        for number in frames:
            slot = self._slots.pop(number, None)
            self._captured_s.pop(number, None)
            if slot is not None:
                self._leaving.append((slot, self._trackers.pop(number, _always)))

    def _give_back(self) -> None:
        """Give slots back once ZeroMQ no longer reads them: a frame may still be on its way to a second worker."""
        waiting = []
        for slot, done in self._leaving:
            if done():
                self.ring.give(slot)
            else:
                waiting.append((slot, done))
        self._leaving = waiting

    def _with_stages(self, message: m.Message) -> m.Message:
        if not isinstance(message, m.Ping):
            return message
        now = monotonic_s()
        self.acquire.queue, self.acquire.queue_capacity = self.ring.used, len(self.ring)
        self._send.queue, self._send.queue_capacity = self._protocol.unsent, len(self.ring)
        stages: tuple[dict[str, Any], ...] = (asdict(self.acquire.report(now)), asdict(self._send.report(now)))
        return replace(message, stages=stages, late=self.late)


def _always() -> bool:
    return True


class _Links:
    """The sockets of the thread."""

    def __init__(self, ctx: Any, to: str, waker: Waker) -> None:
        self._context = ctx
        self._host = host_of(to)
        self.head = Dealer(ctx, to, HEAD_QUEUE)
        self.workers: dict[str, Dealer] = {}
        self.poll = Poll()
        self.poll.add(self.head)
        self.poll.add(waker)

    def connect(self, worker: str, endpoint: str) -> None:
        self.disconnect(worker)
        # A worker that listens everywhere does not know by which name this host reaches it: the head's will do.
        self.workers[worker] = Dealer(self._context, endpoint.replace("//0.0.0.0:", f"//{self._host}:"))
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
