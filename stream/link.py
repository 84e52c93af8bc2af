"""Sockets: the only file that knows ZeroMQ and its options, but for keys (``curve`` and ``doorkeeper``).

Every option that matters is set here explicitly, before bind or connect. Queues are short, because credit (not a
queue) is what holds a sender back; nothing lingers; both sides send heartbeats; a message above the limit closes the
connection before it is allocated.
"""

from __future__ import annotations

import ipaddress
import os
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import zmq

from .clock import monotonic_s
from .curve import Handshake, Handshakes, protect_client, user_of
from .doorkeeper import Doorkeeper
from .errors import OctostreamError, RefusedError, UnreachableError, UsageError
from .keys import OPEN_DOOR, InstrumentKey, Permit
from .model import MAX_FRAME_BYTES
from .wire import MAX_HEADER_BYTES, Buffer

#: Messages that may wait in one direction of one connection; credit keeps frames far below it.
QUEUE_MESSAGES = 1024
HEARTBEAT_MS = 2000
#: A connection on which nothing comes for two heartbeats after a question is made anew.
HEARTBEAT_TIMEOUT_MS = 2 * HEARTBEAT_MS
#: An attempt to connect is given up after so long and made anew: by itself the kernel would ask ever more rarely (after
#: 1, 2, 4, 8 … s) and wait on when the peer is long back.
CONNECT_TIMEOUT_MS = 1500
#: Kernel socket buffers: half a frame, so that the copy in and the copy out of the kernel overlap.
SOCKET_BUFFER_BYTES = 4 * 2**20
#: A peer that refused a connection is asked again after so long, seconds.
KNOCK_AGAIN_S = 1.0
#: A frame and its header; larger messages close the connection before they are allocated.
MAX_MESSAGE_BYTES = MAX_FRAME_BYTES + MAX_HEADER_BYTES


def context(io_threads: int = 1) -> zmq.Context[zmq.Socket[bytes]]:
    """Make a ZeroMQ context; the caller ends it with ``term``."""
    made: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads)
    made.set(zmq.MAX_SOCKETS, 1024)
    return made


def _options(socket: zmq.Socket[bytes], max_message_bytes: int) -> None:
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, QUEUE_MESSAGES)
    socket.setsockopt(zmq.RCVHWM, QUEUE_MESSAGES)
    socket.setsockopt(zmq.MAXMSGSIZE, max_message_bytes)
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TTL, HEARTBEAT_TIMEOUT_MS)
    socket.setsockopt(zmq.HANDSHAKE_IVL, 5000)
    socket.setsockopt(zmq.CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS)
    socket.setsockopt(zmq.RECONNECT_IVL, 100)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
    socket.setsockopt(zmq.SNDBUF, SOCKET_BUFFER_BYTES)
    socket.setsockopt(zmq.RCVBUF, SOCKET_BUFFER_BYTES)


class Pollable(Protocol):
    """Something that a ``Poll`` can wait for."""

    @property
    def socket(self) -> zmq.Socket[bytes]:
        """The ZeroMQ socket underneath."""
        ...


class Router:
    """The listening side: many peers, each with an address.

    Parameters
    ----------
    ctx : zmq.Context
        Of this process.
    endpoint : str
        ``tcp://HOST:PORT``; port 0 or ``*`` takes a free one.
    max_message_bytes : int
        Larger messages close the connection.
    doorkeeper : Doorkeeper, optional
        Lets only allowed keys in; closed with the socket. Without one everybody is let in.

    Raises
    ------
    UsageError
        The address cannot be bound.
    OctostreamError
        The doorkeeper does not keep strangers out.
    """

    def __init__(
        self,
        ctx: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        max_message_bytes: int = MAX_HEADER_BYTES,
        doorkeeper: Doorkeeper | None = None,
    ) -> None:
        self.doorkeeper = doorkeeper
        self.socket = ctx.socket(zmq.ROUTER)
        _options(self.socket, max_message_bytes)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        try:
            if doorkeeper is not None:
                doorkeeper.protect(self.socket)
            self._check_door()
            self._bind(endpoint)
            self.endpoint: str = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)
            if doorkeeper is not None:
                doorkeeper.prove(self.endpoint)
        except BaseException:
            self.close()
            raise

    def _bind(self, endpoint: str) -> None:
        try:
            self.socket.bind(wildcard(endpoint))
        except zmq.ZMQError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            raise UsageError(f"cannot listen at {endpoint} ({why})", "choose another address") from error

    @property
    def refused(self) -> int:
        """Connections that were refused so far."""
        return self.doorkeeper.refused if self.doorkeeper else 0

    def receive(self) -> tuple[bytes, list[memoryview], Permit | None] | None:
        """Take one message if there is one.

        Returns
        -------
        address : bytes
            Of the peer, chosen by the peer.
        parts : list of memoryview
            Payloads are not copied.
        permit : Permit or None
            What the peer may do, by the key that it proved; None: nothing (any more).

        Raises
        ------
        OctostreamError
            The doorkeeper is gone.
        """
        self._check_door()
        try:
            frames = self.socket.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None
        permit = self.doorkeeper.permit(user_of(frames[-1])) if self.doorkeeper else OPEN_DOOR
        return frames[0].bytes, [f.buffer for f in frames[1:]], permit

    def _check_door(self) -> None:
        if self.doorkeeper is not None and not self.doorkeeper.alive:
            raise OctostreamError("nobody checks keys any more", "this process ends and is started again")

    def send(self, address: bytes, parts: Sequence[Buffer]) -> bool:
        """Send to a peer; False where it is gone or takes nothing."""
        try:
            self.socket.send_multipart([address, *parts], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                return False
            raise
        return True

    def close(self, linger_ms: int = 0) -> None:
        """Close; what is on its way may still leave within ``linger_ms``."""
        self.socket.close(linger_ms)
        if self.doorkeeper is not None:
            self.doorkeeper.close()


class Dealer:
    """The connecting side: one peer.

    Parameters
    ----------
    ctx : zmq.Context
        Of this process.
    endpoint : str
        ``tcp://HOST:PORT``.
    queue : int
        Messages that may wait; few where an absent peer must not pile them up.
    key : InstrumentKey, optional
        Proved to the peer, which must be the tier that the key is for.
    """

    def __init__(
        self,
        ctx: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        queue: int = QUEUE_MESSAGES,
        key: InstrumentKey | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._key = key
        self._ended: Handshake | None = None
        self._knock_s = 0.0
        self.socket = ctx.socket(zmq.DEALER)
        _options(self.socket, MAX_HEADER_BYTES)
        self.socket.setsockopt(zmq.SNDHWM, queue)
        if key is not None:
            protect_client(self.socket, key)
        self._handshakes = Handshakes(self.socket)
        try:
            self.socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise UsageError(f"{endpoint!r} is no address ({error.strerror})", "write tcp://HOST:PORT") from error

    @property
    def turned_away(self) -> bool:
        """Whether the peer gave a definite no."""
        return self._ended in (Handshake.REFUSED, Handshake.UNLIKE)

    @property
    def refusal(self) -> RefusedError | None:
        """Why the peer takes no connection, as far as can be told; None where it does, or nobody is there."""
        if self._ended in (None, Handshake.DONE):
            return None
        if self._key is None:
            return RefusedError(
                f"what answers at {self._endpoint} asks for a key, or is no octostream service",
                "give the instrument's key file to --key",
            )
        name = self._key.instrument
        if self._ended is Handshake.REFUSED:
            what = f"{self._endpoint} does not allow the key of {name!r}"
            return RefusedError(what, "have it allowed there with `octostream keys allow`")
        what = f"{self._endpoint} is not the tier that the key of {name!r} is for, or uses no keys"
        return RefusedError(what, "give the key file that this tier made")

    def _look(self) -> None:
        """Note how handshakes ended; a definite no ends ZeroMQ's own attempts, but what is refused may be allowed."""
        for ended in self._handshakes.take():
            self._ended = ended
            self._knock_s = monotonic_s() + KNOCK_AGAIN_S
        if self.turned_away and monotonic_s() >= self._knock_s:
            self._knock_s = monotonic_s() + KNOCK_AGAIN_S
            self.socket.disconnect(self._endpoint)  # a second connection to the same address would be ignored
            self.socket.connect(self._endpoint)

    def receive(self) -> list[memoryview] | None:
        """Take one message if there is one."""
        try:
            return [f.buffer for f in self.socket.recv_multipart(zmq.NOBLOCK, copy=False)]
        except zmq.Again:
            self._look()
            return None

    def send(self, parts: Sequence[Buffer]) -> bool:
        """Send, copying; False where the queue is full."""
        try:
            self.socket.send_multipart(list(parts), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def send_tracked(self, header: Buffer, payload: Buffer) -> Callable[[], bool]:
        """Send a payload without copying it.

        Returns
        -------
        callable
            Tells whether ZeroMQ is done with the payload, so that its buffer may be used again.

        Raises
        ------
        UnreachableError
            The queue is full, which credit should have prevented.
        """
        try:
            self.socket.send(header, zmq.NOBLOCK | zmq.SNDMORE)
            tracker = self.socket.send(payload, zmq.NOBLOCK, copy=False, track=True)
        except zmq.Again as error:
            raise UnreachableError("the connection to a worker takes no more", "it is opened again") from error
        return lambda: tracker is None or tracker.done

    def close(self) -> None:
        """Close at once, dropping what was not sent."""
        self.socket.close(0)
        self._handshakes.close()


class Publisher:
    """Lossy copies to whoever listens: slow listeners miss some, the sender never waits."""

    def __init__(self, ctx: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> None:
        self.socket = ctx.socket(zmq.PUB)
        _options(self.socket, MAX_HEADER_BYTES)
        self.socket.setsockopt(zmq.SNDHWM, 4)
        self.socket.connect(endpoint)

    def publish(self, topic: bytes, parts: Sequence[Buffer]) -> None:
        """Send to all that keep up."""
        self.socket.send_multipart([topic, *parts], zmq.NOBLOCK)

    def close(self) -> None:
        """Close at once."""
        self.socket.close(0)


class Subscriber:
    """Listens to the publishers of a tier at one bound address."""

    def __init__(self, ctx: zmq.Context[zmq.Socket[bytes]], endpoint: str, max_message_bytes: int) -> None:
        self.socket = ctx.socket(zmq.SUB)
        _options(self.socket, max_message_bytes)
        self.socket.setsockopt(zmq.RCVHWM, 16)
        self.socket.setsockopt(zmq.SUBSCRIBE, b"")
        self.socket.bind(wildcard(endpoint))
        self.endpoint: str = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def receive(self) -> list[bytes] | None:
        """Take one message (topic first) if there is one."""
        try:
            return self.socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None

    def close(self) -> None:
        """Close at once."""
        self.socket.close(0)


class Waker:
    """Lets other threads wake the thread that waits in a ``Poll``."""

    def __init__(self, ctx: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.socket = ctx.socket(zmq.PULL)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(f"inproc://wake-{id(self)}")
        self._push = ctx.socket(zmq.PUSH)
        self._push.setsockopt(zmq.LINGER, 0)
        self._push.setsockopt(zmq.SNDHWM, 8)
        self._push.connect(f"inproc://wake-{id(self)}")
        self._lock = threading.Lock()  # ZeroMQ sockets are for one thread at a time

    def wake(self) -> None:
        """Wake the waiting thread; a wake-up that is already pending is enough."""
        with self._lock:
            if self._push.closed:
                return
            try:
                self._push.send(b"", zmq.NOBLOCK)
            except zmq.Again:
                return

    def clear(self) -> None:
        """Take the pending wake-ups."""
        while True:
            try:
                self.socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return

    def close(self) -> None:
        """Close both ends."""
        with self._lock:
            self._push.close(0)
        self.socket.close(0)


class Poll:
    """Waits for several sockets at once."""

    def __init__(self) -> None:
        self._poller = zmq.Poller()

    def add(self, link: Pollable) -> None:
        """Wait for this one too."""
        self._poller.register(link.socket, zmq.POLLIN)

    def remove(self, link: Pollable) -> None:
        """No longer wait for this one."""
        self._poller.unregister(link.socket)

    def wait(self, seconds: float) -> None:
        """Wait until a socket has something, at most so long."""
        self._poller.poll(max(0, int(seconds * 1000)))


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach what listens at a host; names and interfaces count as reachable."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def wildcard(endpoint: str) -> str:
    """Write port 0 the way ZeroMQ does."""
    return endpoint[:-2] + ":*" if endpoint.endswith(":0") else endpoint


def host_of(endpoint: str) -> str:
    """Give the host of ``tcp://HOST:PORT``.

    Raises
    ------
    UsageError
        It is not of that form.
    """
    scheme, _, rest = endpoint.partition("://")
    host, _, port = rest.rpartition(":")
    if scheme != "tcp" or not host or not (port.isdigit() or port == "*"):
        raise UsageError(f"{endpoint!r} is no address", "write tcp://HOST:PORT")
    return host
