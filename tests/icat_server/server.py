"""The stand-in over HTTP: a thread a connection, on loopback, on a port of its own."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from octostream.tests.icat_server import soap
from octostream.tests.icat_server.faults import INTERNAL, IcatFault
from octostream.tests.icat_server.seed import PASSWORDS, seed
from octostream.tests.icat_server.service import Service
from octostream.tests.icat_server.wsdl import PATH, wsdl, xsd

HOST = "127.0.0.1"
LARGEST_CALL = 64 * 2**20
_XML = "text/xml; charset=utf-8"


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: _Listener
    protocol_version = "HTTP/1.1"
    timeout = 60
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is given
        """Say nothing: tests look at answers."""

    def _answer(self, status: int, body: bytes, kind: str = _XML) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Give the description of the service."""
        path, query = urlsplit(self.path)[2:4]
        if path != PATH or query not in ("wsdl", "xsd=1"):
            return self._answer(404, b"not here", "text/plain")
        base = f"http://{self.headers.get('Host', self.server.address)}"
        return self._answer(200, (wsdl(base) if query == "wsdl" else xsd()).encode())

    def do_POST(self) -> None:
        """Do one call."""
        length = int(self.headers.get("Content-Length") or 0)
        if urlsplit(self.path).path != PATH or not 0 <= length <= LARGEST_CALL:
            self.close_connection = True
            return self._answer(404, b"not here", "text/plain")
        status, body = reply(self.server.owner.service, self.rfile.read(length))
        return self._answer(status, body)


def reply(service: Service, body: bytes) -> tuple[int, bytes]:
    """Give the HTTP status and the envelope that answer one call."""
    try:
        operation, arguments = soap.read_call(body)
        return 200, soap.answer(operation, service.call(operation, arguments))
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

    @property
    def address(self) -> str:
        return f"{HOST}:{self.server_address[1]}"


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
        self._data, self._seeded, self._options = data, seeded, options
        self.service = self._new_service()
        self._listener = _Listener(self, port)
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.02,), daemon=True)

    def _new_service(self) -> Service:
        service = Service(self._data, **{"passwords": PASSWORDS, **self._options})
        if self._seeded:
            seed(service)
        return service

    @property
    def url(self) -> str:
        """What ``icat.Client`` takes."""
        return f"http://{self._listener.address}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def reset(self) -> None:
        """Begin again: what was in memory is forgotten, what is in a file is read anew."""
        old, self.service = self.service, self._new_service()
        old.store.close()

    def close(self) -> None:
        """End, and let go of port and file."""
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join(10)
        self.service.store.close()
