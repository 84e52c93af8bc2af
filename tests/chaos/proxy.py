"""A TCP proxy that does to a connection what networks do, on request and at a known moment.

It runs in a thread of its own. The tests put it in front of the head and of every worker: an agent's connections all go
through one proxy, as they would through one cable.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

#: Bytes that are forwarded at once, and chunks that may wait for their time in one direction of one connection.
CHUNK_BYTES, CHUNKS = 2**16, 256


class _Pair:
    """One connection through the proxy: the agent's side and the tier's."""

    def __init__(self, agent: asyncio.StreamWriter, tier: asyncio.StreamWriter) -> None:
        self.agent, self.tier = agent, tier
        self.swallowed: set[bool] = set()
        self.left: int | None = None

    def reset(self) -> None:
        """End both sides the rude way: RST, and what was on its way is gone."""
        for writer in (self.agent, self.tier):
            with contextlib.suppress(OSError):
                end = writer.get_extra_info("socket")
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.end()

    def end(self) -> None:
        """End both sides; what the kernel has taken still arrives."""
        for writer in (self.agent, self.tier):
            writer.transport.abort()


class Proxy:
    """Forwards connections, until told otherwise.

    Attributes
    ----------
    delay_s : float
        Every byte arrives so much later, in both directions.
    bytes_per_s : float or None
        What all connections together may carry, in each direction.
    carried : int
        Bytes that went from agents to the tier.
    cuts : int
        Connections that ended in the middle of what they carried.
    """

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.bytes_per_s: float | None = None
        self.carried = 0
        self.cuts = 0
        self._swallowing: set[bool] = set()
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._fronts: dict[str, int] = {}
        self._servers: dict[str, asyncio.Server] = {}
        self._free_at = {True: 0.0, False: 0.0}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()

    def front(self, endpoint: str) -> str:
        """Give the address that leads to ``tcp://HOST:PORT`` through this proxy."""
        return self._do(self._front(endpoint))

    # --- the faults ---

    def reset(self) -> None:
        """RST: every connection ends at once; new ones are welcome."""
        self._do(self._each(_Pair.reset))

    def swallow(self, up: bool = True, down: bool = True) -> None:
        """Half-open: take everything from the agent (``up``) or the tier (``down``), forward nothing, close nothing."""
        self._do(self._swallow({way for way, on in ((True, up), (False, down)) if on}))

    def cut_after(self, count: int) -> None:
        """Close the connection that is the first to carry so many more bytes to the tier, there and then."""

        def allow(pair: _Pair) -> None:
            pair.left = count

        self._do(self._each(allow))

    def refuse(self) -> None:
        """Refuse new connections."""
        self._do(self._refuse())

    def mend(self) -> None:
        """Carry new connections as before. Those that were swallowed stay as they are: nobody told their ends."""
        self._do(self._mend())

    def close(self) -> None:
        """End everything."""
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    # --- in the thread ---

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _each(self, act: Callable[[_Pair], None]) -> None:
        for pair in list(self._pairs):
            act(pair)

    async def _swallow(self, ways: set[bool]) -> None:
        self._swallowing = ways
        for pair in self._pairs:
            pair.swallowed |= ways

    async def _front(self, endpoint: str) -> str:
        if endpoint not in self._fronts:
            await self._listen(endpoint)
        return f"tcp://127.0.0.1:{self._fronts[endpoint]}"

    async def _listen(self, endpoint: str) -> None:
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._carry(reader, writer, host, int(port))

        server = await asyncio.start_server(accept, "127.0.0.1", self._fronts.get(endpoint, 0))
        self._servers[endpoint] = server
        self._fronts[endpoint] = server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        for server in self._servers.values():
            server.close()
        self._servers.clear()

    async def _mend(self) -> None:
        self._swallowing = set()
        for endpoint in self._fronts.keys() - self._servers.keys():
            await self._listen(endpoint)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
        here = asyncio.current_task()
        assert here is not None
        self._tasks.add(here)
        pair = None
        try:
            back, tier = await asyncio.open_connection(host, port)
            pair = _Pair(writer, tier)
            pair.swallowed |= self._swallowing
            self._pairs.add(pair)
            async with asyncio.TaskGroup() as ways:
                for up, source, sink in ((True, reader, tier), (False, back, writer)):
                    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS)
                    ways.create_task(self._take(pair, up, source, under_way))
                    ways.create_task(self._send(pair, up, under_way, sink))
        except* (OSError, EOFError, asyncio.CancelledError):
            pass  # an end went away: so does the other
        finally:
            self._tasks.discard(here)
            if pair is None:
                writer.transport.abort()
            else:
                self._pairs.discard(pair)
                pair.end()

    async def _take(
        self, pair: _Pair, up: bool, reader: asyncio.StreamReader, under_way: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        while data := await reader.read(CHUNK_BYTES):
            if up not in pair.swallowed:
                await under_way.put((self._loop.time() + self.delay_s, data))
        raise EOFError

    async def _send(
        self, pair: _Pair, up: bool, under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        while True:
            due, data = await under_way.get()
            await self._wait_until(max(due, self._through(up, len(data))))
            if up in pair.swallowed:
                continue
            cut = up and pair.left is not None and pair.left <= len(data)
            writer.write(data[: pair.left] if cut else data)
            await writer.drain()
            if up:
                self.carried += len(data)
                pair.left = None if pair.left is None else pair.left - len(data)
            if cut:
                self.cuts += 1
                for other in self._pairs:
                    other.left = None
                raise EOFError

    async def _wait_until(self, due: float) -> None:
        if (left := due - self._loop.time()) > 0:
            await asyncio.sleep(left)

    def _through(self, up: bool, count: int) -> float:
        """Give the time at which so many bytes are through the bottleneck that all connections share."""
        if self.bytes_per_s is None:
            return 0.0
        self._free_at[up] = max(self._loop.time(), self._free_at[up]) + count / self.bytes_per_s
        return self._free_at[up]

    async def _close(self) -> None:
        await self._refuse()
        while self._tasks:  # what was accepted just now may only be starting
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
