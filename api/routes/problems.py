"""Errors as one clear line of JSON."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ...stream.errors import OctostreamError, UsageError

_PLAIN = {
    404: "there is nothing at this address: /openapi.json lists the addresses there are",
    405: "this address does not take this method: everything here is read-only",
}


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every expected error as ``{"detail": one line}``."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        generic = error.detail in ("Not Found", "Method Not Allowed")
        detail = _PLAIN[error.status_code] if generic else error.detail
        return JSONResponse({"detail": detail}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        lines = (f"{'.'.join(str(part) for part in e['loc'][1:])}: {e['msg']}" for e in error.errors())
        return JSONResponse({"detail": "; ".join(lines)}, 422)

    @app.exception_handler(OctostreamError)
    async def failed(request: Request, error: OctostreamError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 400 if isinstance(error, UsageError) else 503)
