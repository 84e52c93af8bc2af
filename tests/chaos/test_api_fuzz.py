"""The HTTP interface against its own description: every route, good and bad requests, over a real service."""

import http.client
import os
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test
from octostream.api.app import create_app
from octostream.api.feed import LatestFeed
from schemathesis.generation import GenerationMode

from ..api.conftest import FakeRuns
from ..system.conftest import Service, acquire, until

pytestmark = pytest.mark.system

LONG = os.environ.get("OCTOSTREAM_CHAOS") == "long"
EXAMPLES = 400 if LONG else 40
MODES = {"good": GenerationMode.POSITIVE, "bad": GenerationMode.NEGATIVE}
DESCRIBED = create_app(LatestFeed(), FakeRuns(), Path(), "0").openapi()["paths"]
#: The stream of events never ends; it has a test of its own.
ROUTES = [(path, method) for path, methods in DESCRIBED.items() for method in methods if path != "/api/v1/events"]
#: Only these can be asked for wrongly: the others take no parameter, or any path.
REFUSING = [(path, method) for path, method in ROUTES if path.startswith("/api/v1/runs")]

fuzzed = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """One finished run, so that there is something to ask for; whatever is asked, the same processes go on."""
    running = Service(tmp_path_factory.mktemp("api"))
    try:
        code, agent = acquire(running, "simulated:size=64x48,z=4,t=3", "--name", "fuzz")
        assert code == 0, agent.err
        running.run = agent.json()["run"]
        running.store = Path(agent.json()["store"])
        (web,) = running.children("web")
        files = len(os.listdir(f"/proc/{web}/fd"))
        yield running
        assert running.children("web") == [web]
        until(lambda: len(os.listdir(f"/proc/{web}/fd")) <= files + 2)
        assert not [line for line in running.err if "Traceback" in line or "rror" in line], running.err[-10:]
    finally:
        running.end()


@pytest.fixture(scope="module")
def described(service):
    return schemathesis.openapi.from_url(service.dashboard + "openapi.json")


@pytest.fixture(scope="module")
def session():
    with requests.Session() as session:
        yield session


def known(service):
    """Give values that lead somewhere, by the name of the path parameter."""
    below = service.store.parents[1]
    files = [str(f.relative_to(below)) for f in sorted(service.store.rglob("*")) if f.is_file()]
    return {"run_id": [service.run, "live"], "path": files, "which": ["xy", "xz", "yz"]}


@pytest.mark.parametrize(
    ("path", "method", "kind"), [*((*r, "good") for r in ROUTES), *((*r, "bad") for r in REFUSING)]
)
def test_route(service, described, session, path, method, kind):
    operation = described[path][method.upper()]
    values = {name: some for name, some in known(service).items() if f"{{{name}" in path}

    @fuzzed
    @given(st.data())
    def asked(data):
        chosen = {name: data.draw(st.none() | st.sampled_from(some)) for name, some in values.items()}
        fixed = {name: value for name, value in chosen.items() if value is not None}
        case = data.draw(operation.as_strategy(MODES[kind], path_parameters=fixed or None))
        case.call_and_validate(session=session, timeout=20)

    asked()


def test_description_is_the_one_that_is_served(service):
    assert httpx.get(service.dashboard + "openapi.json").json()["paths"] == DESCRIBED


RANGES = st.one_of(
    st.from_regex(r"bytes=[0-9]{0,25}-[0-9]{0,25}", fullmatch=True),
    st.lists(st.tuples(st.integers(0, 2**70), st.integers(0, 2**70)), max_size=300).map(
        lambda spans: "bytes=" + ",".join(f"{a}-{b}" for a, b in spans)
    ),
    st.sampled_from(
        ["bytes=" + "0-," * 2000, "bytes=" + "0-0," * 2000 + "0-0", "bytes=-" + "9" * 5000, "bytes=0-" * 900]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60),
)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_range_bombs(service, method):
    path = next(p for p in known(service)["path"] if "/0/c/" in p)
    whole = (service.store.parents[1] / path).read_bytes()
    with httpx.Client(base_url=service.dashboard, timeout=20) as client:

        @settings(fuzzed, max_examples=10 * EXAMPLES)
        @given(RANGES, st.sampled_from([None, '"x"', "*", "Sun, 06 Nov 1994 08:49:37 GMT", "W/"]))
        def asked(value, condition):
            assume(value.strip() == value)
            headers = {"range": value, **({"if-range": condition} if condition else {})}
            answer = client.request(method, f"/data/{path}", headers=headers)
            assert answer.status_code in (200, 206, 416), value
            length = int(answer.headers["content-length"])
            if answer.status_code == 206:
                span, _, size = answer.headers["content-range"].removeprefix("bytes ").partition("/")
                first, last = map(int, span.split("-"))
                assert (length, int(size)) == (last - first + 1, len(whole))
                assert method == "HEAD" or answer.content == whole[first : last + 1]
            elif answer.status_code == 200:
                assert method == "HEAD" or answer.content == whole

        asked()


ODD_IDS = st.one_of(
    st.text(min_size=1, max_size=40).map(lambda text: quote(text, safe="")),
    st.sampled_from(["..", "%2e%2e", "%2f", "live", "%00", "a" * 101, "a" * 8000, "%ff", "null", "-1", "%0d%0aX:%201"]),
)


@pytest.mark.parametrize("rest", ["", "/ledger", "/projections/xy", "/projections/%2e%2e", "/preview"])
def test_odd_ids_are_not_there(service, rest):
    host, _, port = service.dashboard.removeprefix("http://").rstrip("/").partition(":")
    with closing(http.client.HTTPConnection(host, int(port), timeout=20)) as connection:

        @fuzzed
        @given(ODD_IDS)
        def asked(name):
            connection.putrequest("GET", f"/api/v1/runs/{name}{rest}")  # as it is: a better client would tidy it up
            connection.endheaders()
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status in (404, 422), (name, answer.status)
            assert b'{"detail":"' in body

        asked()


def test_one_answer_leads_to_the_next(described):
    """Ids of one answer are asked for in the next request."""
    machine = described.exclude(path="/api/v1/events").as_state_machine()
    run_state_machine_as_test(machine, settings=settings(fuzzed, max_examples=EXAMPLES // 2, stateful_step_count=6))


def test_stream_of_events_is_as_described(service):
    media = DESCRIBED["/api/v1/events"]["get"]["responses"]["200"]["content"]
    with httpx.stream("GET", service.dashboard + "api/v1/events", timeout=20) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].split(";")[0] in media
        lines = answer.iter_lines()
        assert next(line for line in lines if line.startswith("event:")) == "event: report"
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert httpx.request(method, service.dashboard + "api/v1/events").status_code == 405
