"""The dashboard: plain files from the package, nothing built and nothing fetched from outside."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).parents[1] / "static"


def page_routes() -> APIRouter:
    """Make ``/``."""
    router = APIRouter(include_in_schema=False)

    @router.api_route("/", methods=["GET", "HEAD"])
    async def index() -> FileResponse:
        return FileResponse(STATIC / "index.html", media_type="text/html; charset=utf-8")

    return router


def static_mount() -> Mount:
    """Make ``/static/…``."""
    return Mount("/static", StaticFiles(directory=STATIC), name="static")
