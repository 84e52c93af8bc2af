"""Liveness, readiness, status and the stream of numbers."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
import pytest
from fastapi.openapi.models import OpenAPI
from octostream.api.app import create_app


class Untouchable:
    """Fails whoever touches it."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"{name} was touched")


def test_livez_touches_nothing() -> None:
    import asyncio

    app = create_app(Untouchable(), Untouchable(), Path("/nowhere"), "0.1.0")

    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/livez")

    answer = asyncio.run(get())
    assert answer.status_code == 200
    assert answer.json() == {"alive": True}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"time_ns": time.time_ns() - 10_000_000_000}, "silent"),
        ({"not_ready": ("the kernels are compiling",)}, "compiling"),
        ({"draining": True}, "shutting down"),
    ],
)
def test_readyz_says_why_not(service, make, change: dict[str, object], reason: str) -> None:
    service.feed.put_report(make["report"](**change))
    answer = service.http.get(f"{service.url}/readyz")
    assert answer.status_code == 503
    assert answer.json()["ready"] is False
    assert any(reason in line for line in answer.json()["reasons"])


def test_readyz_before_the_head_was_heard_and_while_degraded(service, make, data) -> None:
    assert service.http.get(f"{service.url}/readyz").json()["reasons"] == ["the service has not been heard yet"]
    service.feed.put_report(make["report"](make["run"](data, lost=2), verdict="DEGRADED", reason="lost 2"))
    answer = service.http.get(f"{service.url}/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "reasons": []})


def test_status_and_stages(service, make, data) -> None:
    empty = service.http.get(f"{service.url}/api/v1/status").json()
    assert (empty["verdict"], empty["report"], empty["age_ms"], empty["live"]) == ("NO DATA", None, None, None)
    assert service.http.get(f"{service.url}/api/v1/stages").json() == {"age_ms": None, "stages": []}

    service.feed.put_report(make["report"](make["run"](data)))
    status = service.http.get(f"{service.url}/api/v1/status").json()
    assert (status["verdict"], status["live"], status["ingest"]) == ("RECORDING", "r-0001", "tcp://127.0.0.1:5555")
    assert 0 <= status["age_ms"] < 3000
    assert status["time_to_full_s"] == pytest.approx(407e9 / 150e6)
    assert status["report"]["runs"][0]["stored"] == 1056
    stages = service.http.get(f"{service.url}/api/v1/stages").json()["stages"]
    assert [stage["name"] for stage in stages] == ["acquire", "send", "receive", "reduce", "write", "publish"]

    service.feed.put_report(make["report"](make["run"](data), time_ns=time.time_ns() - 5_000_000_000))
    old = service.http.get(f"{service.url}/api/v1/status").json()
    assert old["verdict"] == "NO DATA"
    assert old["age_ms"] >= 5000
    assert old["report"]["verdict"] == "RECORDING"


def events(lines):
    """Give the fields of each event of a server-sent stream."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield fields
            fields = {}


def test_events_begin_with_the_last_known_and_follow_changes(service, make, data) -> None:
    service.feed.put_report(make["report"](make["run"](data, stored=1)))
    with service.http.stream("GET", f"{service.url}/api/v1/events", timeout=10) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        stream = events(answer.iter_lines())
        first = next(stream)
        body = json.loads(first["data"])
        assert (first["event"], first["id"]) == ("report", str(body["report"]["time_ns"]))
        assert body["report"]["runs"][0]["stored"] == 1
        assert body["age_ms"] >= 0
        for stored in (2, 3):
            service.feed.put_report(make["report"](make["run"](data, stored=stored)))
            assert json.loads(next(stream)["data"])["report"]["runs"][0]["stored"] == stored


def test_events_are_paced_and_skip_to_the_latest(service, make, data) -> None:
    with service.http.stream("GET", f"{service.url}/api/v1/events", timeout=10) as answer:
        stream = events(answer.iter_lines())
        assert json.loads(next(stream)["data"])["report"] is None
        for stored in range(1, 201):
            service.feed.put_report(make["report"](make["run"](data, stored=stored)))
        seen = []
        while not seen or seen[-1] != 200:
            seen.append(json.loads(next(stream)["data"])["report"]["runs"][0]["stored"])
    assert len(seen) < 20
    assert seen == sorted(seen)


def test_openapi_is_valid_and_covers_every_route(service) -> None:
    spec = service.http.get(f"{service.url}/openapi.json").json()
    OpenAPI.model_validate(spec)
    assert set(spec["paths"]) == {
        "/livez",
        "/readyz",
        "/metrics",
        "/api/v1/runs",
        "/api/v1/runs/{run_id}",
        "/api/v1/runs/{run_id}/ledger",
        "/api/v1/runs/{run_id}/recipe",
        "/api/v1/runs/{run_id}/metadata",
        "/api/v1/runs/{run_id}/projections/{which}",
        "/api/v1/status",
        "/api/v1/stages",
        "/api/v1/events",
        "/data/{path}",
    }
    ids = [operation["operationId"] for path in spec["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))
    text = json.dumps(spec)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in spec["components"]["schemas"]
    assert "127.0.0.1" not in text
    assert "http://" not in text.replace("http://json-schema.org", "")


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/nothing", "/static/../app.py", "/static/nothing.js"])
def test_what_is_not_there_is_one_clear_line(service, path: str) -> None:
    answer = service.http.get(f"{service.url}{path}")
    assert answer.status_code == 404
    assert answer.json() == {"detail": "there is nothing at this address: /openapi.json lists the addresses there are"}


def test_the_page_and_every_answer_carry_security_headers(service) -> None:
    for path in ("/", "/static/main.js", "/api/v1/status", "/nothing"):
        headers = service.http.get(f"{service.url}{path}").headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in headers
    assert (
        service.http.post(f"{service.url}/livez").json()["detail"].startswith("this address does not take this method")
    )
