"""The stand-in over HTTP: a thread a connection, on loopback, on a port of its own.

It is a stand-in to develop, test and demonstrate against: it answers unmodified python-icat as an ICAT server 6.2
would, as far as registering and finding data goes. See ``__main__.py`` for what it leaves out.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from octostream.tests.icat_server import control, soap
from octostream.tests.icat_server.faults import INTERNAL, IcatFault
from octostream.tests.icat_server.misbehaviour import Misbehaviour, Order
from octostream.tests.icat_server.seed import PASSWORDS, seed
from octostream.tests.icat_server.service import Service
from octostream.tests.icat_server.wsdl import PATH, wsdl, xsd

HOST = "127.0.0.1"
LARGEST_CALL = 64 * 2**20
_XML, _HTML, _JSON = "text/xml; charset=utf-8", "text/html; charset=utf-8", "application/json"
_BAD_GATEWAY = b"<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"
_RESET = struct.pack("ii", 1, 0)
Answer = tuple[int, bytes, str]


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: _Listener
    protocol_version = "HTTP/1.1"
    timeout = 60
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is given
        """Say nothing: tests look at answers."""

    def _send(self, answer: Answer | None) -> None:
        if answer is None:
            self.close_connection = True
            return
        status, body, kind = answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _cut(self) -> None:
        """Reset the connection, as a host does that is gone."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close_connection = True

    def do_GET(self) -> None:
        """Give the description of the service, or how it fares."""
        path, query = urlsplit(self.path)[2:4]
        owner = self.server.owner
        if path == control.PATH:
            return self._send((200, json.dumps(owner.told()).encode(), _JSON))
        if path != PATH or query not in ("wsdl", "xsd=1"):
            return self._send((404, b"not here", _HTML))
        base = f"http://{self.headers.get('Host', self.server.address)}"
        text = wsdl(base) if query == "wsdl" else xsd()
        return self._do(query.partition("=")[0], lambda order: (200, text.encode(), _XML))

    def do_POST(self) -> None:
        """Do one call."""
        length = int(self.headers.get("Content-Length") or 0)
        path = urlsplit(self.path).path
        if path not in (PATH, control.PATH) or not 0 <= length <= LARGEST_CALL:
            self.close_connection = True
            return self._send((404, b"not here", _HTML))
        body = self.rfile.read(length)
        return self._send(self._obey(body)) if path == control.PATH else self._call(body)

    def _obey(self, body: bytes) -> Answer:
        try:
            control.obey(self.server.owner, json.loads(body))
        except (ValueError, TypeError, AttributeError) as error:
            return 400, json.dumps({"error": str(error)}).encode(), _JSON
        return 200, b"{}", _JSON

    def _call(self, body: bytes) -> None:
        try:
            operation, arguments = soap.read_call(body)
        except IcatFault as error:
            return self._send((500, soap.fault(error), _XML))
        service = self.server.owner.service
        return self._do(operation, lambda order: (*reply(service, operation, arguments, order), _XML))

    def _do(self, operation: str, work: Any) -> None:
        """Do something as well or as badly as was ordered."""
        owner = self.server.owner
        owner.calls[operation] += 1
        order = owner.misbehaviour.next(operation)
        kind = order.kind if order else ""
        if order and kind in ("hang", "slow"):
            owner.misbehaviour.wait(order.seconds)
        if kind == "expire":
            owner.expire_sessions()
        if kind == "cut":
            return self._cut()
        if kind == "hang":
            return self._send(None)
        if kind == "502":
            return self._send((502, _BAD_GATEWAY, _HTML))
        answer = work(order)
        return self._send(None if kind == "drop" else answer)


def reply(service: Service, operation: str, arguments: dict[str, Any], order: Order | None = None) -> tuple[int, bytes]:
    """Give the HTTP status and the envelope that answer one call."""
    try:
        rights = order is None or order.kind != "rights"
        return 200, soap.answer(operation, service.call(operation, arguments, rights))
    except IcatFault as error:
        return 500, soap.fault(error)
    except Exception as error:  # noqa: BLE001 - a server answers; the test that asked shows it
        return 500, soap.fault(IcatFault(INTERNAL, f"{type(error).__name__}: {error}"))


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, owner: IcatServer, port: int):
        self.owner = owner
        super().__init__((HOST, port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    @property
    def address(self) -> str:
        return f"{HOST}:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is none of our errors."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        if self._thread.ident is not None:
            self.shutdown()
            self._thread.join(10)
        self.server_close()


class IcatServer:
    """A running stand-in.

    Parameters
    ----------
    data
        The file that keeps everything, or nothing for memory.
    port
        0 for any free one.
    seeded
        Whether an empty catalogue gets the small facility of `seed`.
    options
        For `Service`: passwords, lifetime_minutes, max_entities, now.
    """

    def __init__(self, data: Path | None = None, port: int = 0, seeded: bool = False, **options: Any):
        self.service = Service(data, **{"passwords": PASSWORDS, **options})
        if seeded:
            seed(self.service)
        self._start = b"" if data else self.service.store.image()
        self.misbehaviour = Misbehaviour()
        #: How often each operation was called; "wsdl" and "xsd" are the two parts of the description.
        self.calls: Counter[str] = Counter()
        self._lock = threading.RLock()
        self._listener: _Listener | None = _Listener(self, port)
        self._port = self._listener.server_address[1]
        self._again: threading.Timer | None = None
        self._kept: socket.socket | None = None

    @property
    def url(self) -> str:
        """What ``icat.Client`` takes."""
        return f"http://{HOST}:{self._port}"

    def start(self) -> None:
        """Begin to answer."""
        assert self._listener is not None
        self._listener.start()

    def refuse(self, seconds: float | None = None) -> None:
        """Refuse connections, for so long or until `accept`; connections that are open are not touched."""
        with self._lock:
            if self._listener:
                self._listener.end()
                self._listener = None
                # Bound, and nobody listens: connections are refused, and nobody else can take the port.
                self._kept = socket.socket()
                self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self._kept.bind((HOST, self._port))
            if self._again:
                self._again.cancel()
                self._again = None
            if seconds is not None:
                self._again = threading.Timer(seconds, self.accept)
                self._again.daemon = True
                self._again.start()

    def accept(self) -> None:
        """Accept connections again, on the same port."""
        with self._lock:
            if self._again:
                self._again.cancel()
                self._again = None
            if self._kept:
                self._kept.close()
                self._kept = None
                self._listener = _Listener(self, self._port)
                self._listener.start()

    def expire_sessions(self) -> None:
        """End all sessions now."""
        self.service.sessions.expire_all()

    def told(self) -> dict[str, object]:
        """Say how the server fares."""
        return {**self.misbehaviour.told(), "calls": dict(self.calls)}

    def recover(self) -> None:
        """Be well again, whatever was ordered."""
        self.misbehaviour.behave()
        self.accept()

    def reset(self) -> None:
        """Begin again as at the start, and be well; for a server that keeps its data in memory."""
        self.recover()
        self.misbehaviour.done.clear()
        self.calls.clear()
        self.service.store.restore(self._start)

    def close(self) -> None:
        """End, and let go of port and file."""
        self.misbehaviour.behave()
        with self._lock:
            if self._again:
                self._again.cancel()
            if self._kept:
                self._kept.close()
                self._kept = None
            if self._listener:
                self._listener.end()
                self._listener = None
        self.service.store.close()
