"""The stores under ``/data/``, read-only, for viewers in browsers: ranges, CORS, caching."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from .byte_range import Span, span_of
from .context import Context
from .store_file import METADATA, Seals, StoreFile, open_below, segments_of, store_of
from .views import Problem

#: Read and sent at once, bytes.
PIECE = 256 * 1024
IMMUTABLE = "public, max-age=31536000, immutable"

CORS = {
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "Accept-Ranges, Content-Length, Content-Range, ETag",
    "cross-origin-resource-policy": "cross-origin",
}
PREFLIGHT = {
    "access-control-allow-methods": "GET, HEAD, OPTIONS",
    "access-control-allow-headers": "Range, If-None-Match, If-Range, Cache-Control",
    "access-control-max-age": "86400",
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
    206: {"description": "the bytes asked for by Range"},
    304: {"description": "the file is the one of the ETag"},
    404: {"model": Problem, "description": "no such file; for a chunk: nothing was written there"},
    416: {"model": Problem, "description": "the file is shorter than the range"},
}


def data_routes(context: Context) -> APIRouter:
    """Make ``/data/…``."""
    router = APIRouter(tags=["data"])
    seals = Seals(context.data)

    @router.get("/data/{path:path}", summary="A file of a store", response_class=Response, responses=ANSWERS)
    def read(request: Request, path: str) -> Response:
        return _answer(request, context, seals)

    @router.head("/data/{path:path}", summary="Size of a file of a store", response_class=Response, responses=ANSWERS)
    def head(request: Request, path: str) -> Response:
        return _answer(request, context, seals)

    @router.options("/data/{path:path}", summary="CORS preflight", response_class=Response, status_code=204)
    async def preflight(request: Request, path: str) -> Response:
        headers = CORS | PREFLIGHT
        if request.headers.get("access-control-request-private-network") == "true":
            # A viewer's page on the internet reads from this network only if asked for in so many words.
            headers["access-control-allow-private-network"] = "true"
        return Response(status_code=204, headers=headers)

    return router


def _answer(request: Request, context: Context, seals: Seals) -> Response:
    parts = segments_of(_raw_path(request))
    file = open_below(context.data, parts) if parts else None
    if parts is None or file is None:
        return _problem(404, "there is no such file in a store: /api/v1/runs gives the address of each store")
    try:
        response = _found(request, file, parts, seals)
    except BaseException:
        os.close(file.fd)
        raise
    if not isinstance(response, FileBytes):
        os.close(file.fd)
    return response


def _found(request: Request, file: StoreFile, parts: tuple[str, ...], seals: Seals) -> Response:
    cacheable = parts[-1] != METADATA and seals.sealed(store_of(parts))
    headers = CORS | {
        "accept-ranges": "bytes",
        "cache-control": IMMUTABLE if cacheable else "no-cache",
        "etag": file.etag,
    }
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    asked = request.headers.get("range")
    if request.headers.get("if-range", file.etag) != file.etag:
        asked = None
    span = span_of(asked, file.size)
    if span == "unsatisfiable":
        return _problem(416, f"the file has {file.size} bytes", {"content-range": f"bytes */{file.size}"})
    if span is not None:
        headers["content-range"] = span.content_range(file.size)
    status, span = (200, Span(0, file.size)) if span is None else (206, span)
    headers["content-length"] = str(span.count)
    media_type = "application/json" if parts[-1] == METADATA else "application/octet-stream"
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=media_type)
    return FileBytes(file, span, status, headers, media_type)


class FileBytes(StreamingResponse):
    """Bytes of an open file; closes it whatever happens to the connection.

    Parameters
    ----------
    file : StoreFile
        Open file.
    span : Span
        Bytes to send.
    status_code : int
        200 or 206.
    headers : dict
        Headers, ``Content-Length`` included.
    media_type : str
        Content type.
    """

    def __init__(self, file: StoreFile, span: Span, status_code: int, headers: dict[str, str], media_type: str) -> None:
        super().__init__(_pieces(file.fd, span), status_code, headers, media_type)
        self._fd = file.fd

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send, then close."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            os.close(self._fd)


async def _pieces(fd: int, span: Span) -> AsyncIterator[bytes]:
    at, end = span.first, span.first + span.count
    while at < end:
        piece = await to_thread.run_sync(os.pread, fd, min(PIECE, end - at), at)
        if not piece:
            return  # cut short meanwhile: the server ends the connection, and the viewer sees it by the length
        at += len(piece)
        yield piece


def _raw_path(request: Request) -> str:
    # The path as it came: every legal name is plain ASCII, so anything encoded is a trick or a mistake.
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    return raw.decode("latin-1").split("?")[0].removeprefix(request.scope.get("root_path", "")).removeprefix("/data/")


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    # CORS here too: a viewer must see "nothing written there", not a blocked answer.
    return JSONResponse({"detail": detail}, status, CORS | {"cache-control": "no-cache"} | (headers or {}))
