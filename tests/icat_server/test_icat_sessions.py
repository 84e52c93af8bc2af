"""Sessions live for a while, and what is not SOAP is told so; time is a number that the test turns."""

from __future__ import annotations

import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from octostream.tests.icat_server.faults import IcatFault
from octostream.tests.icat_server.service import Service
from octostream.tests.icat_server.sessions import Sessions
from octostream.tests.icat_server.store import Store


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sessions(clock):
    store = Store()
    yield Sessions(store, {"alice": "secret"}, lifetime_minutes=120, now=clock)
    store.close()


def login(sessions):
    return sessions.login("simple", {"username": "alice", "password": "secret"})


def test_a_session_ends_after_its_time_and_lives_on_when_refreshed(sessions, clock):
    first, second = login(sessions), login(sessions)
    clock.now += 100 * 60
    assert sessions.remaining_minutes(first) == 20
    sessions.refresh(first)
    clock.now += 20 * 60
    assert sessions.user(first) == "simple/alice"
    with pytest.raises(IcatFault, match=rf"^Session id:{second} has expired$"):
        sessions.user(second)
    with pytest.raises(IcatFault, match="has expired"):
        sessions.refresh(second)


@pytest.mark.parametrize("session", [None, ""])
def test_no_session_is_told_from_an_unknown_one(sessions, session):
    with pytest.raises(IcatFault, match=r"^Session Id cannot be null or empty\.$"):
        sessions.user(session)
    with pytest.raises(IcatFault, match=r"^Unable to find user by sessionid: x$"):
        sessions.user("x")


def test_an_empty_name_or_password_opens_nothing(sessions):
    for credentials in ({}, {"username": ""}, {"username": "alice"}, {"username": "eve", "password": ""}):
        with pytest.raises(IcatFault) as caught:
            sessions.login("simple", credentials)
        assert caught.value.kind == "SESSION"


def test_objects_carry_the_time_of_the_clock(clock):
    service = Service(passwords={"root": "x"}, now=clock)
    session = service.sessions.login("simple", {"username": "root", "password": "x"})
    service.call("search", {"sessionId": session, "query": "SELECT f FROM Facility f"})
    assert "2026" not in service.call("getRemainingMinutes", {"sessionId": session})
    clock.now += 86_400
    with pytest.raises(IcatFault, match="has expired"):
        service.call("search", {"sessionId": session, "query": "SELECT f FROM Facility f"})
    service.store.close()


def post(url, body):
    try:
        with urllib.request.urlopen(url, body, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


BOMB = (
    b'<!DOCTYPE x [<!ENTITY a "boom"><!ENTITY b SYSTEM "file:///etc/hostname">]>'
    b'<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body>'
    b'<i:login xmlns:i="http://icatproject.org"><plugin>&a;&b;</plugin></i:login></S:Body></S:Envelope>'
)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no SOAP call"),
        (b"{}", "no SOAP call"),
        (b"<x/>", "no SOAP call"),
        (b'<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body/></S:Envelope>', "no SOAP call"),
        (
            b'<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body><x/></S:Body></S:Envelope>',
            "Cannot find dispatch method for x",
        ),
        (BOMB, "Authenticator mnemonic  not recognised"),
    ],
)
def test_what_is_no_call_is_a_fault(icat_server, body, said):
    status, answer = post(f"{icat_server.url}/ICATService/ICAT", body)
    assert status == 500
    assert said in answer
    assert "boom" not in answer


@pytest.mark.parametrize("path", ["/", "/ICATService/ICAT", "/ICATService/ICAT?xsd=2", "/ids/ping", "/../x"])
def test_nothing_else_is_served(icat_server, path):
    assert post(f"{icat_server.url}{path}", None)[0] == 404


def test_calls_go_to_the_service_alone(icat_server):
    assert post(f"{icat_server.url}/ids/put", b"x")[0] == 404


CREATE = (
    '<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/" xmlns:i="http://icatproject.org" '
    'xmlns:x="http://www.w3.org/2001/XMLSchema-instance"><S:Body><i:create><sessionId>{}</sessionId>'
    '<bean x:type="i:technique"><name>one</name></bean></i:create></S:Body></S:Envelope>'
)


def test_of_many_that_create_the_same_at_once_one_does(icat_server):
    service = icat_server.service
    session = service.sessions.login("simple", {"username": "root", "password": "root-secret"})
    body = CREATE.format(session).encode()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(f"{icat_server.url}/ICATService/ICAT", body), range(24)))
    assert sorted(status for status, _ in answers) == [200] + [500] * 23
    assert sum("OBJECT_ALREADY_EXISTS" in answer for _, answer in answers) == 23
    assert service.store.rows('SELECT COUNT(*) FROM "Technique"') == [(1,)]
