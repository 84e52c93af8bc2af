"""The numbers: one stream of server-sent events for all of them, and the same on request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable

from fastapi import APIRouter
from fastapi.sse import EventSourceResponse, ServerSentEvent

from ..verdict import seen
from .context import Context
from .views import CatalogueView, Stages, Status

#: No viewer gets numbers more often than this, seconds; people read slower.
PACE_S = 0.2
#: Longest wait inside the feed, seconds; the framework adds keep-alive comments by itself.
WAIT_S = 10.0


def event_routes(context: Context) -> APIRouter:
    """Make ``/api/v1/status``, ``/api/v1/stages`` and ``/api/v1/events``."""
    router = APIRouter(prefix="/api/v1", tags=["status"])

    @router.get("/status", summary="The service now, with the age of what is known")
    async def get_status() -> Status:
        return status(context)

    @router.get("/stages", summary="The five numbers of every stage")
    async def get_stages() -> Stages:
        report = context.feed.report()
        return Stages(age_ms=_age_ms(context), stages=list(report.stages) if report else [])

    @router.get(
        "/events",
        response_class=EventSourceResponse,
        summary="Server-sent events `report`: a Status at once, then at every change, at most five a second",
    )
    async def events() -> AsyncIterable[ServerSentEvent]:
        sent, version, first = None, -1, True
        while True:
            report = context.feed.report()
            if first or report is not sent:
                sent, first = report, False
                yield ServerSentEvent(
                    event="report",
                    id=str(report.time_ns if report else 0),
                    retry=1000,
                    raw_data=status(context).model_dump_json(),
                )
                await asyncio.sleep(PACE_S)
            else:
                version = await context.feed.changed(version, WAIT_S)

    return router


def status(context: Context) -> Status:
    """Put together what a viewer must see now."""
    report = context.feed.report()
    verdict, reason = seen(report, context.age_s(report))
    catalogue = context.catalogue
    return Status(
        verdict=verdict,
        reason=reason,
        version=context.version,
        ingest=context.ingest,
        live=context.live(),
        age_ms=_age_ms(context),
        time_to_full_s=report.time_to_full_s if report else None,
        catalogue=CatalogueView.of(catalogue.state(), context.now_ns()) if catalogue else None,
        report=report,
    )


def _age_ms(context: Context) -> float | None:
    age_s = context.age_s(context.feed.report())
    return None if age_s is None else round(1000 * age_s, 1)
