"""The web application: routes put together over a feed, the runs and the stores."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from .catalogue_watch import Catalogue
from .feed import Feed, Runs
from .routes.context import Context
from .routes.data import data_routes
from .routes.events import event_routes
from .routes.headers import SecurityHeaders
from .routes.health import health_routes
from .routes.page import page_routes, static_mount
from .routes.preview import preview_routes
from .routes.problems import add_problem_handlers
from .routes.runs import run_routes
from .routes.views import Problem


def create_app(
    feed: Feed,
    runs: Runs,
    data: Path,
    version: str,
    now_ns: Callable[[], int] = time.time_ns,
    *,
    ingest: str = "",
    catalogue: Catalogue | None = None,
) -> FastAPI:
    """Make the web application; it starts no thread and opens no file.

    Parameters
    ----------
    feed : Feed
        Latest report and previews.
    runs : Runs
        Registry, ledgers, projections.
    data : Path
        Directory of the stores.
    version : str
        Version of octostream.
    now_ns : callable
        Wall clock, nanoseconds.
    ingest : str
        Address that agents connect to, shown in the page's example command.
    catalogue : Catalogue or None
        How runs stand in the catalogue; None where none is set.

    Returns
    -------
    FastAPI
        Application; its interactive documentation is off, because that page would load scripts from outside.
    """
    app = FastAPI(
        title="octostream",
        version=version,
        summary="Runs, stages and live pixels of a streaming acquisition analysis; read-only.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses={422: {"model": Problem}},
    )
    context = Context(feed, runs, data.resolve(), version, ingest, now_ns, catalogue=catalogue)
    add_problem_handlers(app)
    for routes in (health_routes, run_routes, preview_routes, event_routes, data_routes):
        app.include_router(routes(context))
    app.include_router(page_routes())
    app.router.routes.append(static_mount())
    app.add_middleware(SecurityHeaders)
    return app


def server_config(app: ASGIApp, host: str, port: int) -> uvicorn.Config:
    """Give the settings of the server that this application needs.

    Messages from viewers are tiny, so larger ones are refused; pixels are not compressed, because that costs more
    processor time than the network saves; open streams do not hold up a shutdown.
    """
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        ws="websockets-sansio",
        ws_max_size=1024,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=512,
        timeout_graceful_shutdown=2,
    )
