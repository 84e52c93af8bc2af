"""Whether the process lives, whether runs can start, and the numbers for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from ..catalogue_metrics import CatalogueCollector
from ..metrics import ReportCollector
from ..verdict import silent
from .context import Context
from .views import Alive, Readiness


def health_routes(context: Context) -> APIRouter:
    """Make ``/livez``, ``/readyz`` and ``/metrics``."""
    router = APIRouter(tags=["health"])
    registry = CollectorRegistry()
    registry.register(ReportCollector(context.feed, context.viewers, context.version, context.now_ns))
    if context.catalogue:
        registry.register(CatalogueCollector(context.catalogue, context.now_ns))

    @router.get("/livez", summary="The process answers; touches nothing else")
    async def livez() -> Alive:
        return Alive()

    @router.get(
        "/readyz",
        summary="New runs can start; a degraded service that records stays ready",
        responses={503: {"model": Readiness}},
    )
    async def readyz(response: Response) -> Readiness:
        reasons = _reasons(context)
        response.status_code = 503 if reasons else 200
        response.headers["cache-control"] = "no-store"
        return Readiness(ready=not reasons, reasons=reasons)

    @router.get(
        "/metrics",
        summary="Prometheus text format",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return router


def _reasons(context: Context) -> list[str]:
    report = context.feed.report()
    silence = silent(context.age_s(report))
    if report is None or silence:
        return [silence]
    return [*report.not_ready, *(["the service is shutting down"] if report.draining else [])]
