"""Every way in which the stand-in fails when told to, as python-icat sees it, and that it is well again afterwards."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import icat
import pytest
from octostream.tests.icat_server.misbehaviour import KINDS, Misbehaviour
from octostream.tests.icat_server.objects import dataset, names


@pytest.fixture
def client(icat_client):
    client = icat_client("ingester")
    yield client
    client.set_options(timeout=20)


@pytest.fixture
def control(icat_server):
    def ask(**said):
        body = json.dumps(said).encode() if said else None
        with urllib.request.urlopen(f"{icat_server.url}/control", body, timeout=20) as answer:
            return json.load(answer)

    return ask


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if value := condition():
                return value
        except OSError:
            pass
        time.sleep(0.02)
    raise AssertionError("it did not come true in time")


def test_connections_are_refused_until_accepted_again_on_the_same_port(icat_server, client):
    icat_server.refuse()
    with pytest.raises(urllib.error.URLError) as caught:
        client.getUserName()
    assert isinstance(caught.value.reason, ConnectionRefusedError)
    icat_server.accept()
    assert client.getUserName() == "simple/ingester"


def test_a_connection_is_reset_and_nothing_was_done(icat_server, client):
    made = dataset(client)
    icat_server.misbehaviour.order("cut", times=1)
    with pytest.raises(ConnectionResetError):
        made.create()
    assert names(client) == []


def test_no_answer_comes_and_nothing_was_done(icat_server, client):
    made = dataset(client)
    client.set_options(timeout=0.2)
    icat_server.misbehaviour.order("hang", operations=["create"])
    with pytest.raises(TimeoutError):
        made.create()
    client.set_options(timeout=20)
    icat_server.misbehaviour.behave()
    assert names(client) == []
    made.create()


def test_a_call_that_hangs_is_let_go_when_all_is_well_again(icat_server, client):
    icat_server.misbehaviour.order("hang")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.getUserName)
        until(lambda: icat_server.misbehaviour.done["hang"])
        icat_server.misbehaviour.behave()
        with pytest.raises(ConnectionError):
            asked.result(10)


def test_a_call_that_hangs_is_let_go_after_its_time(icat_server, client):
    icat_server.misbehaviour.order("hang", seconds=0.05)
    with pytest.raises(ConnectionError):
        client.getUserName()


def test_a_proxy_answers_instead(icat_server, client):
    made = dataset(client)
    icat_server.misbehaviour.order("502", times=1)
    with pytest.raises(Exception, match="502") as caught:
        made.create()
    assert type(caught.value) is Exception
    assert caught.value.args[0][0] == 502
    assert names(client) == []


def test_the_answer_is_lost_but_the_call_is_committed(icat_server, client):
    made = dataset(client)
    icat_server.misbehaviour.order("drop", times=1)
    with pytest.raises(ConnectionError):
        made.create()
    assert names(client) == ["day 1"]
    with pytest.raises(icat.ICATObjectExistsError):
        made.create()


def test_sessions_expire_and_a_new_one_is_given(icat_server, client):
    icat_server.misbehaviour.order("expire", times=1)
    with pytest.raises(icat.ICATSessionError, match="has expired"):
        client.getUserName()
    client.login("simple", {"username": "ingester", "password": "ingester-secret"})
    assert client.getUserName() == "simple/ingester"


def test_an_answer_is_late(icat_server, client):
    icat_server.misbehaviour.order("slow", times=1, seconds=0.2)
    start = time.monotonic()
    assert client.getUserName() == "simple/ingester"
    assert time.monotonic() - start >= 0.2


def test_without_rights_nothing_is_found_and_nothing_is_stored(icat_server, client):
    made = dataset(client, "first")
    made.create()
    second = dataset(client, "second")
    icat_server.misbehaviour.order("rights")
    assert names(client) == []
    with pytest.raises(icat.ICATPrivilegesError, match=r"^CREATE access to this Dataset is not allowed\.$"):
        second.create()
    with pytest.raises(icat.ICATPrivilegesError, match=r"^UPDATE access to this Dataset is not allowed\.$"):
        made.update()
    with pytest.raises(icat.ICATPrivilegesError, match=r"^READ access to this Dataset is not allowed\.$"):
        client.get("Dataset", made.id)
    icat_server.misbehaviour.behave()
    assert names(client) == ["first"]


def test_root_loses_rights_too(icat_server, icat_client):
    client = icat_client("root")
    icat_server.misbehaviour.order("rights", times=2)
    assert client.search("SELECT f FROM Facility f") == []
    with pytest.raises(icat.ICATPrivilegesError):
        client.getProperties()
    assert len(client.search("SELECT f FROM Facility f")) == 1


def test_an_order_concerns_its_operations_so_many_times(icat_server, client):
    icat_server.misbehaviour.order("502", times=2, operations=["search"])
    assert client.getUserName() == "simple/ingester"
    for _ in range(2):
        with pytest.raises(Exception, match="502"):
            names(client)
    assert names(client) == []
    assert icat_server.misbehaviour.done == Counter({"502": 2})


def test_chance_is_the_same_for_the_same_seed_and_as_likely_as_was_said():
    def drawn(seed):
        bad = Misbehaviour()
        bad.at_random(seed, {"drop": 0.2, "502": 0.1})
        return [order.kind if (order := bad.next("create")) else "" for _ in range(2000)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    found = Counter(drawn(3))
    assert 300 < found["drop"] < 500
    assert 130 < found["502"] < 270


def test_starting_up_does_not_fail_at_random_unless_it_is_asked_for():
    bad = Misbehaviour()
    bad.at_random(1, {"drop": 1.0})
    assert bad.next("wsdl") is bad.next("getEntityInfo") is None
    assert bad.next("search") is not None
    bad.at_random(1, {"drop": 1.0}, ["wsdl"])
    assert bad.next("search") is None
    assert bad.next("wsdl") is not None


@pytest.mark.parametrize("chances", [{"worse": 0.1}, {"drop": -0.1}, {"drop": 0.6, "cut": 0.6}])
def test_chances_that_are_none_are_refused(chances):
    with pytest.raises(ValueError, match=r"worse|probabilities"):
        Misbehaviour().at_random(1, chances)


def test_control_orders_and_tells(icat_server, client, control):
    control(order="502", times=1, operations=["getUserName"])
    assert control()["orders"] == [{"kind": "502", "operations": ["getUserName"], "times": 1}]
    with pytest.raises(Exception, match="502"):
        client.getUserName()
    control(at_random={"cut": 1.0}, seed=7)
    with pytest.raises(ConnectionResetError):
        client.getUserName()
    control(behave=True)
    assert client.getUserName() == "simple/ingester"
    told = control()
    assert told["done"] == {"502": 1, "cut": 1}
    assert told["calls"]["getUserName"] == 3
    assert (told["orders"], told["at_random"]) == ([], {})


def test_control_ends_sessions(client, control):
    control(expire=True)
    with pytest.raises(icat.ICATSessionError):
        client.getUserName()


def test_control_makes_connections_refused_for_a_while(icat_server, client, control):
    control(refuse=600)
    with pytest.raises(urllib.error.URLError) as caught:
        client.getUserName()
    assert isinstance(caught.value.reason, ConnectionRefusedError)
    icat_server.refuse(0.05)
    assert until(client.getUserName) == "simple/ingester"


@pytest.mark.parametrize("said", [{"order": "worse"}, {"nothing": 1}, {"refuse": "long"}, {"at_random": {"drop": 2}}])
def test_control_that_says_nothing_is_refused(control, said):
    with pytest.raises(urllib.error.HTTPError) as caught:
        control(**said)
    with caught.value as answer:
        assert answer.code == 400
        assert json.load(answer)["error"]


def test_every_kind_is_described():
    from octostream.tests.icat_server import misbehaviour

    assert all(f"\n{kind} " in (misbehaviour.__doc__ or "") for kind in KINDS)
