"""Live pixels over a WebSocket, one frame in flight per viewer.

The server sends a binary message, then nothing until the viewer answers with the text ``drawn <number>``; the next
message is then the newest frame, whatever was skipped. A viewer that never reads costs one pending frame.

A message is a header, little-endian, and the pixels, uint16, little-endian, row by row:

====== ===== ======================================================
offset type  meaning
====== ===== ======================================================
0      4 s   ``OSPF``
4      u16   version of this layout, 1
6      u16   offset of the pixels, a multiple of 8
8      u64   frame number
16     u64   wall clock of the agent when the frame was complete, ns
24     u64   wall clock of this server when it sent the message, ns
32     u32   height, pixels
36     u32   width, pixels
40     u32   level-0 pixels per pixel of this image
44     u32   bytes of the run id
48     utf-8 run id, zero-padded to the offset of the pixels
====== ===== ======================================================
"""

from __future__ import annotations

import asyncio
import re
import struct
from contextlib import suppress
from urllib.parse import urlsplit

from fastapi import APIRouter, WebSocket
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocketDisconnect

from ...stream.report import PreviewFrame
from .context import LIVE, Context, unknown

HEADER = struct.Struct("<4sHHQQQIIII")
#: More viewers than this are asked to come back later.
MAX_VIEWERS = 64
#: Longest text that a viewer has to say.
MAX_TEXT = 64
#: Longest wait inside the feed, seconds.
WAIT_S = 10.0

#: WebSocket close codes: policy, try again later, and ours for an unknown run.
POLICY, LATER, UNKNOWN_RUN = 1008, 1013, 4404

_DRAWN = re.compile(r"drawn (\d{1,20})")
_DEFAULT_PORT = {"http": 80, "https": 443}


def preview_routes(context: Context) -> APIRouter:
    """Make ``/api/v1/runs/{id}/preview``."""
    router = APIRouter(prefix="/api/v1/runs")

    @router.websocket("/{run_id}/preview")
    async def preview(socket: WebSocket, run_id: str) -> None:
        if not same_origin(socket.headers.get("origin"), socket.headers.get("host", "")):
            await socket.close(POLICY, "this page may not read previews: open it from the same address")
            return
        await socket.accept()
        if run_id != LIVE and await run_in_threadpool(context.known, run_id) is None:
            await socket.close(UNKNOWN_RUN, unknown(run_id)[:120])
        elif context.viewers.open >= MAX_VIEWERS:
            await socket.close(LATER, f"{MAX_VIEWERS} viewers are connected already: try again later")
        else:
            context.viewers.open += 1
            try:
                await Viewer(socket, run_id, context).serve()
            finally:
                context.viewers.open -= 1

    return router


def same_origin(origin: str | None, host: str) -> bool:
    """Tell whether a browser's page comes from this server; programs send no origin and are let in."""
    if origin is None:
        return True
    try:
        page = urlsplit(origin)
        server = urlsplit(f"//{host}")
        default = _DEFAULT_PORT.get(page.scheme)
        return (
            default is not None
            and page.hostname is not None
            and page.hostname == server.hostname
            and (page.port or default) == (server.port or default)
        )
    except ValueError:
        return False


def message(frame: PreviewFrame, sent_ns: int) -> bytes:
    """Give the binary message of a preview."""
    run = frame.run.encode()
    offset = -(-(HEADER.size + len(run)) // 8) * 8
    head = HEADER.pack(
        b"OSPF", 1, offset, frame.number, frame.timestamp_ns, sent_ns, frame.height, frame.width, frame.step, len(run)
    )
    return (head + run).ljust(offset, b"\0") + frame.pixels


class Viewer:
    """One open connection: a reader of acknowledgements and a writer of frames.

    Parameters
    ----------
    socket : WebSocket
        Accepted connection.
    run_id : str
        Run, or ``live``: then the connection follows whatever records.
    context : Context
        Where frames come from.
    """

    def __init__(self, socket: WebSocket, run_id: str, context: Context) -> None:
        self._socket = socket
        self._run_id = run_id
        self._context = context
        self._credit = asyncio.Event()
        self._credit.set()
        self._sent: PreviewFrame | None = None

    async def serve(self) -> None:
        """Send frames until the viewer leaves or says something wrong."""
        async with asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(self._write())
            complaint = await self._read()
            writer.cancel()
        if complaint:
            # The peer may be gone by now; then nobody is left to be told.
            with suppress(WebSocketDisconnect):
                await self._socket.close(POLICY, complaint)

    async def _read(self) -> str:
        while True:
            event = await self._socket.receive()
            if event["type"] == "websocket.disconnect":
                return ""
            text = event.get("text") or ""
            drawn = _DRAWN.fullmatch(text) if len(text) <= MAX_TEXT else None
            if drawn is None:
                return "say 'drawn <number>' after a frame, nothing else"
            if self._credit.is_set() or self._sent is None or int(drawn[1]) != self._sent.number:
                return "only the frame that was sent last can be drawn"
            self._credit.set()

    async def _write(self) -> None:
        version = -1
        while True:
            await self._credit.wait()
            frame = self._newest()
            if frame is None or frame is self._sent:
                version = await self._context.feed.changed(version, WAIT_S)
                continue
            self._sent = frame
            self._credit.clear()
            try:
                await self._socket.send_bytes(message(frame, self._context.now_ns()))
            except WebSocketDisconnect:
                return  # the reader sees it too and ends the connection
            self._context.viewers.sent += 1

    def _newest(self) -> PreviewFrame | None:
        run_id = self._context.live() if self._run_id == LIVE else self._run_id
        return self._context.feed.preview(run_id) if run_id else None
