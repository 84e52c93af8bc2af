"""The doorkeeper of a protected socket: answers ZeroMQ's authentication requests, watches the allow-list, counts.

CURVE by itself proves that a peer has *some* key. Which keys are let in is asked of a handler in the same context, and
where there is none, everybody is let in. So: the handler is there before the socket is bound, it is closed only after
the protected socket, its thread is asked after with every message, and a throw-away key is tried on the bound address
before anything is served.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

import zmq

from . import zap
from .clock import monotonic_s
from .curve import Handshake, Handshakes, new_pair, protect_client, protect_server
from .errors import OctostreamError
from .key_files import ALLOWED, KeyFileError, read_allowed, read_server
from .keys import InstrumentKey, Permit

log = logging.getLogger(__name__)

#: The allow-list is looked at so often, and at every request.
LOOK_S = 0.5
#: A throw-away key must be refused within so long.
PROOF_S = 2.0
#: Refused peers are named in the log at most so often: a flood of them must not fill a disk.
NAME_S = 10.0


class Doorkeeper:
    """Keeps the door of one socket.

    Parameters
    ----------
    ctx : zmq.Context
        Of this process; it can have one doorkeeper.
    folder : Path
        With the tier's pair and the allow-list.

    Raises
    ------
    KeyFileError
        A file of the folder is missing, unsafe or damaged.
    """

    def __init__(self, ctx: zmq.Context[zmq.Socket[bytes]], folder: Path) -> None:
        self.refused = 0
        self._context = ctx
        self._folder = folder
        self._pair = read_server(folder)
        self._mark: tuple[int, ...] = ()
        self._mark = self._mark_of_list()
        self._allowed = read_allowed(folder)
        self._looked = monotonic_s()
        self._named = -NAME_S
        self._stranger = ""
        self._handshakes: Handshakes | None = None
        self._over = threading.Event()
        self._requests = ctx.socket(zmq.REP)
        self._requests.setsockopt(zmq.LINGER, 0)
        try:
            self._requests.bind(zap.ENDPOINT)
        except zmq.ZMQError:
            self._requests.close()
            raise
        self._thread = threading.Thread(target=self._serve, name="doorkeeper", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether requests are answered."""
        return self._thread.is_alive()

    def permit(self, key: str) -> Permit | None:
        """Give what a key may do at present; None for one that is unknown or revoked."""
        return self._allowed.of(key)

    def protect(self, socket: zmq.Socket[bytes]) -> None:
        """Protect a socket that is not bound yet, and begin to answer."""
        protect_server(socket, self._pair)
        self._handshakes = Handshakes(socket)
        self._thread.start()

    def prove(self, endpoint: str) -> None:
        """Try a key that nobody knows on the bound address.

        Raises
        ------
        OctostreamError
            It was not refused.
        """
        pair = new_pair()
        self._stranger = pair.public
        ended = knock(self._context, endpoint, InstrumentKey("", pair, self._pair.public), PROOF_S)
        if ended is not Handshake.REFUSED:
            how = "was let in" if ended is Handshake.DONE else f"got no answer within {PROOF_S:g} s"
            raise OctostreamError(f"an unknown key {how} at {endpoint}", "nothing is served like this; see the log")

    def close(self) -> None:
        """Stop; only after the protected socket is closed."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._handshakes is not None:
            self._handshakes.close()
        self._requests.close(0)

    # --- the thread ---

    def _serve(self) -> None:
        assert self._handshakes is not None
        poller = zmq.Poller()
        poller.register(self._requests, zmq.POLLIN)
        poller.register(self._handshakes.socket, zmq.POLLIN)
        while not self._over.is_set():
            asked = dict(poller.poll(100))
            if self._requests in asked:
                self._look()
                self._answer()
            elif monotonic_s() - self._looked >= LOOK_S:
                self._look()
            self.refused += sum(ended in (Handshake.UNLIKE, Handshake.CUT) for ended in self._handshakes.take())

    def _answer(self) -> None:
        answer = zap.answer(self._requests.recv_multipart(), self._allowed)
        self._requests.send_multipart(answer.parts)
        if answer.let_in or answer.key == self._stranger:
            return
        self.refused += 1
        now = monotonic_s()
        if now - self._named >= NAME_S:
            self._named = now
            log.warning("a connection was refused: peer %s, key %s", answer.peer, answer.key or "none")

    def _look(self) -> None:
        """Read the allow-list again if it changed; one that cannot be read changes nothing, and is told once."""
        self._looked = monotonic_s()
        mark = self._mark_of_list()
        if mark == self._mark:
            return
        self._mark = mark
        try:
            self._allowed = read_allowed(self._folder)
        except KeyFileError as error:
            log.error("the allow-list stays as it was: %s", error)
            return
        log.info("the allow-list was read again: %d instruments", len(self._allowed.permits))

    def _mark_of_list(self) -> tuple[int, ...]:
        try:
            found = os.stat(self._folder / ALLOWED)
        except FileNotFoundError:
            return ()
        except OSError:  # a disk that does not answer at present changes nothing
            return self._mark
        return found.st_mtime_ns, found.st_ino, found.st_size, found.st_mode, found.st_uid


def knock(ctx: zmq.Context[zmq.Socket[bytes]], endpoint: str, key: InstrumentKey, seconds: float) -> Handshake | None:
    """Try a key at a bound address.

    Returns
    -------
    Handshake or None
        How the handshake ended; None if it did not in time.
    """
    socket = ctx.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    protect_client(socket, key)
    handshakes = Handshakes(socket)
    try:
        socket.connect(endpoint.replace("//0.0.0.0:", "//127.0.0.1:"))
        deadline = monotonic_s() + seconds
        while monotonic_s() < deadline:
            handshakes.socket.poll(50)
            for ended in handshakes.take():
                if ended is not Handshake.CUT:  # cut: the other side is busy, and ZeroMQ knocks again by itself
                    return ended
        return None
    finally:
        socket.close(0)
        handshakes.close()
