"""CURVE on ZeroMQ sockets: new keys, protected sockets, and what became of their handshakes."""

from __future__ import annotations

from enum import Enum

import zmq
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

from .keys import InstrumentKey, KeyPair, Secret
from .zap import DOMAIN

#: A peer that has not proved its key after so long is cut off. What it sends before is not limited by us but by this.
HANDSHAKE_MS = 2000
#: User-Id is what our answer to ZeroMQ's authentication request said: the public key that was proved.
USER = "User-Id"


class Handshake(Enum):
    """How a handshake ended."""

    DONE = "done"
    REFUSED = "refused"
    UNLIKE = "unlike"
    CUT = "cut"


_EVENTS = {
    int(zmq.Event.HANDSHAKE_SUCCEEDED): Handshake.DONE,
    int(zmq.Event.HANDSHAKE_FAILED_AUTH): Handshake.REFUSED,
    int(zmq.Event.HANDSHAKE_FAILED_PROTOCOL): Handshake.UNLIKE,
    int(zmq.Event.HANDSHAKE_FAILED_NO_DETAIL): Handshake.CUT,
}


class Handshakes:
    """Tells how the handshakes of a socket end; made before it binds or connects, and read often.

    ZeroMQ's own thread waits for whoever does not read.

    Parameters
    ----------
    socket : zmq.Socket
        To be watched.
    """

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.socket: zmq.Socket[bytes] = socket.get_monitor_socket(sum(_EVENTS))

    def take(self) -> list[Handshake]:
        """Give what has ended since the last call."""
        ended: list[Handshake] = []
        while True:
            try:
                parts = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return ended
            ended.append(_EVENTS[int(parse_monitor_message(parts)["event"])])

    def close(self) -> None:
        """Close, after the socket that was watched."""
        self.socket.close(0)


def new_pair() -> KeyPair:
    """Make a key."""
    public, secret = zmq.curve_keypair()
    return KeyPair(z85.decode(public).hex(), Secret(z85.decode(secret)))


def protect_server(socket: zmq.Socket[bytes], pair: KeyPair) -> None:
    """Have a socket that will be bound speak CURVE only.

    Without an authentication handler in the same context this lets everybody in; `Doorkeeper` is one.
    """
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, pair.secret.reveal())
    socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
    socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)


def protect_client(socket: zmq.Socket[bytes], key: InstrumentKey) -> None:
    """Have a socket that will be connected speak CURVE with this key, to this tier only."""
    socket.setsockopt(zmq.CURVE_PUBLICKEY, bytes.fromhex(key.pair.public))
    socket.setsockopt(zmq.CURVE_SECRETKEY, key.pair.secret.reveal())
    socket.setsockopt(zmq.CURVE_SERVERKEY, bytes.fromhex(key.tier))


def user_of(frame: zmq.Frame) -> str:
    """Give the public key that the sender of a received frame has proved; empty where it proved none."""
    try:
        return str(frame.get(USER))
    except zmq.ZMQError:
        return ""
