"""Runs, their ledgers and their projections."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response
from starlette.exceptions import HTTPException

from .context import Context, unknown
from .views import LedgerView, MetadataView, Problem, RecipeView, RunPage, RunView

RunId = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="run id, or `live`")]

PROJECTION: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "uint16, little-endian, row by row; the size stands in the headers",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        "headers": {
            f"X-Octostream-{name}": {"description": text, "schema": {"type": "integer"}}
            for name, text in (
                ("T", "time point"),
                ("C", "channel"),
                ("Height", "rows: y of xy, z of xz and yz"),
                ("Width", "columns: x of xy and xz, y of yz"),
            )
        },
    },
    204: {"description": "the run has committed no projection yet"},
    304: {"description": "the projection is the one of the ETag"},
    404: {"model": Problem},
}


def run_routes(context: Context) -> APIRouter:
    """Make ``/api/v1/runs…``; they read from disk, so they run in the thread pool."""
    router = APIRouter(prefix="/api/v1/runs", tags=["runs"])
    missing: dict[int | str, dict[str, Any]] = {404: {"model": Problem}}

    @router.get("", summary="Runs, newest first")
    def list_runs(
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        before: Annotated[
            str | None, Query(max_length=100, description="id of the last run of the page before")
        ] = None,
    ) -> RunPage:
        rows = list(context.runs.list(limit + 1, before))
        page = [context.reported(run.id) or run for run in rows[:limit]]
        stand = context.standings(page)
        views = [RunView.of(run, context.data, stand.get(run.id)) for run in page]
        return RunPage(runs=views, next=page[-1].id if len(rows) > limit else None)

    @router.get("/{run_id}", summary="One run", responses=missing)
    def get_run(run_id: RunId) -> RunView:
        run = context.find(run_id)
        return RunView.of(run, context.data, context.standings([run]).get(run.id))

    @router.get("/{run_id}/ledger", summary="What became of every frame", responses=missing)
    def get_ledger(run_id: RunId) -> LedgerView:
        run = context.find(run_id)
        ledger = context.runs.ledger(run.id)
        if ledger is None:
            raise HTTPException(404, unknown(run_id))
        return LedgerView.of(run.id, ledger)

    @router.get("/{run_id}/recipe", summary="What is done to its frames", responses=missing)
    def get_recipe(run_id: RunId) -> RecipeView:
        run = context.find(run_id)
        recipe = context.runs.recipe(run.id)
        if recipe is None:
            raise HTTPException(404, unknown(run_id))
        return RecipeView.of(run.id, recipe)

    @router.get("/{run_id}/metadata", summary="What the operator said of it", responses=missing)
    def get_metadata(run_id: RunId) -> MetadataView:
        run = context.find(run_id)
        metadata = context.runs.metadata(run.id)
        if metadata is None:
            raise HTTPException(404, unknown(run_id))
        return MetadataView(run=run.id, technique=run.technique, metadata=dict(metadata))

    @router.get(
        "/{run_id}/projections/{which}",
        summary="Latest maximum projection, small",
        response_class=Response,
        responses=PROJECTION,
    )
    def get_projection(
        request: Request,
        run_id: RunId,
        which: Literal["xy", "xz", "yz"],
        c: Annotated[int, Query(ge=0, description="channel")] = 0,
    ) -> Response:
        run = context.find(run_id)
        if c >= run.shape[1]:
            raise HTTPException(404, f"run {run.id!r} has no channel {c}: its channels are 0 to {run.shape[1] - 1}")
        found = context.runs.projection(run.id, which, c)
        if found is None:
            return Response(status_code=204, headers={"cache-control": "no-store"})
        t, image = found
        height, width = image.shape
        headers = {"etag": f'"{run.id}-{which}-{c}-{t}"', "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        size = {"T": t, "C": c, "Height": height, "Width": width}
        headers |= {f"x-octostream-{name.lower()}": str(value) for name, value in size.items()}
        pixels = np.ascontiguousarray(image, dtype="<u2").tobytes()
        return Response(pixels, media_type="application/octet-stream", headers=headers)

    return router
