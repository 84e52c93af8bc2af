"""Unmodified python-icat against the stand-in: what registration does, in order."""

from __future__ import annotations

import icat
import pytest
from icat.query import Query
from octostream.tests.icat_server.objects import dataset, parameter_type
from octostream.tests.icat_server.schema import SCHEMA
from octostream.tests.icat_server.seed import PASSWORDS


@pytest.fixture
def client(icat_client):
    return icat_client("ingester")


def test_a_client_starts_up_and_knows_all_entities(icat_server):
    client = icat.Client(icat_server.url, cache=None)
    assert str(client.apiversion) == "6.2.0"
    assert set(client.getEntityNames()) == set(SCHEMA)
    assert len(SCHEMA) == 53
    for entity in SCHEMA.values():
        known = client.getEntityClass(entity.name)
        assert {"id"} | {f.name for f in entity.attributes} == known.InstAttr
        assert {f.name for f in entity.ones} == known.InstRel
        assert {f.name for f in entity.manys} == known.InstMRel
        assert known.Constraint == (entity.key or ("id",))


def test_a_session_begins_and_ends(icat_server, client):
    assert client.getUserName() == "simple/ingester"
    assert 119 < client.getRemainingMinutes() <= 120
    client.refresh()
    session = client.sessionId
    client.logout()
    client.sessionId = session
    with pytest.raises(icat.ICATSessionError, match="Unable to find user by sessionid"):
        client.getUserName()


@pytest.mark.parametrize(
    ("plugin", "user", "password"),
    [("simple", "alice", "no"), ("simple", "eve", ""), ("ldap", "alice", PASSWORDS["alice"])],
)
def test_who_cannot_say_who_he_is_gets_no_session(client, plugin, user, password):
    with pytest.raises(icat.ICATSessionError):
        client.login(plugin, {"username": user, "password": password})
    assert client.sessionId is None


def test_a_dataset_with_all_its_parts_is_created_in_one_call(client):
    kind = parameter_type(client)
    technique = client.new("Technique", name="light-sheet microscopy", pid="FBbi:00000369")
    technique.create()
    made = dataset(client)
    made.parameters.append(client.new("DatasetParameter", type=kind, stringValue="a-b-c"))
    made.datasetTechniques.append(client.new("DatasetTechnique", technique=technique))
    made.create()
    found = client.searchMatching(dataset(client), includes="1")
    assert found.id == made.id
    assert (found.complete, found.type.name, found.investigation.visitId) == (False, "raw", "1")
    assert (found.createId, found.modId) == ("simple/ingester", "simple/ingester")
    wanted = Query(
        client,
        "Dataset",
        conditions={"parameters.type.name": "= 'uuid'", "parameters.stringValue": "= 'a-b-c'"},
        includes=["parameters.type", "datasetTechniques.technique"],
    )
    (again,) = client.search(wanted)
    assert [p.type.name for p in again.parameters] == ["uuid"]
    assert [t.technique.pid for t in again.datasetTechniques] == ["FBbi:00000369"]


def test_what_is_updated_is_replaced_and_what_is_not_sent_is_null(client):
    made = dataset(client, description="to go", location="2026/1")
    made.create()
    held = client.get("Dataset INCLUDE 1", made.id)
    held.complete, held.fileCount, held.description = True, 2**40, None
    held.update()
    held = client.get("Dataset INCLUDE 1", made.id)
    assert (held.complete, held.fileCount, held.description, held.location) == (True, 2**40, None, "2026/1")
    assert held.type.name == "raw"


def test_many_are_created_together_or_not_at_all(client):
    made = dataset(client)
    made.create()
    parent = client.new("Dataset", id=made.id)
    files = [client.new("Datafile", dataset=parent, name=name) for name in ("a", "b", "a")]
    with pytest.raises(
        icat.ICATObjectExistsError, match=rf"^Datafile exists with dataset = 'id:{made.id}', name = 'a'$"
    ) as caught:
        client.createMany(files)
    assert caught.value.offset == 2
    assert client.search("SELECT COUNT(f) FROM Datafile f") == [0]
    assert len(client.createMany(files[:2])) == 2
    assert client.search("SELECT f.name FROM Datafile f ORDER BY f.name DESC") == ["b", "a"]


def test_what_is_deleted_takes_what_belongs_to_it_along(client):
    made = dataset(client)
    made.datafiles = [client.new("Datafile", name=name) for name in "ab"]
    made.create()
    client.delete(made)
    assert client.search("SELECT d FROM Dataset d") == client.search("SELECT f FROM Datafile f") == []
    with pytest.raises(icat.ICATNoObjectError, match=rf"^Dataset\[id:{made.id}\] not found\.$"):
        client.delete(made)
