"""People who watch a recording: half of them well, half of them never reading what they asked for."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

#: The kernel's buffers of a viewer that never reads: as small as it makes them.
SMALLEST = 2048
HANDSHAKE = (
    "GET /api/v1/runs/live/preview HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
EVENTS = "GET /api/v1/events HTTP/1.1\r\nHost: {host}\r\n\r\n"


class Crowd:
    """Connections to a page's server, from entering the block to leaving it.

    Parameters
    ----------
    dashboard : str
        Address of the page.
    good, deaf, deaf_to_events : int
        Viewers that draw every frame; viewers that never read; readers of numbers that never read.

    Attributes
    ----------
    drawn : int
        Frames that the good viewers drew.
    """

    def __init__(self, dashboard: str, good: int, deaf: int, deaf_to_events: int) -> None:
        self.drawn = 0
        self.good, self.deaf, self.deaf_to_events = good, deaf, deaf_to_events
        self._address = urlsplit(dashboard)
        self._leave = threading.Event()
        self._stack = ExitStack()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._watch()), name="crowd")

    def __enter__(self) -> Crowd:
        """Come."""
        for request, count in ((HANDSHAKE, self.deaf), (EVENTS, self.deaf_to_events)):
            for _ in range(count):
                self._stack.enter_context(self._ask(request))
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave without a word."""
        self._leave.set()
        self._thread.join(30)
        self._stack.close()
        assert not self._thread.is_alive()

    def _ask(self, request: str) -> socket.socket:
        asking = socket.socket()
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALLEST)  # before it connects: later is too late
        asking.settimeout(20)
        asking.connect((self._address.hostname, self._address.port))
        asking.sendall(request.format(host=self._address.netloc).encode())
        return asking

    async def _watch(self) -> None:
        watching = [asyncio.create_task(self._view()) for _ in range(self.good)]
        while not self._leave.is_set():
            await asyncio.sleep(0.05)
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)

    async def _view(self) -> None:
        address = f"ws://{self._address.netloc}/api/v1/runs/live/preview"
        with suppress(ConnectionClosed):
            async with connect(address, compression=None, max_size=2**24, close_timeout=0.1) as viewer:
                async for message in viewer:
                    assert isinstance(message, bytes)
                    await viewer.send(f"drawn {int.from_bytes(message[8:16], 'little')}")
                    self.drawn += 1
