"""Who may do what: the rules of the small facility, and rules that are added."""

from __future__ import annotations

import icat
import pytest
from octostream.tests.icat_server.objects import dataset, investigation, names


@pytest.fixture
def two_datasets(icat_client):
    """One in the visit of alice, one in that of bob, each with a file."""
    client = icat_client("ingester")
    for name, visit in (("hers", "1"), ("his", "2")):
        made = dataset(client, name, visit)
        made.datafiles = [client.new("Datafile", name=f"{name}.zarr")]
        made.create()
    return client


@pytest.fixture
def rule(icat_client):
    """Adds a rule for everybody, as root."""

    def add(letters, what):
        client = icat_client("root")
        made = client.new("Rule", crudFlags=letters, what=what)
        made.create()
        return made

    return add


@pytest.mark.parametrize(("user", "seen"), [("alice", ["hers"]), ("bob", ["his"]), ("root", ["hers", "his"])])
def test_users_find_what_is_theirs_and_no_more(icat_client, two_datasets, user, seen):
    client = icat_client(user)
    assert names(client) == seen
    assert names(client, "Datafile") == [f"{name}.zarr" for name in seen]
    assert client.search("SELECT COUNT(d) FROM Dataset d") == [len(seen)]
    assert client.search("SELECT f.dataset.name FROM Datafile f ORDER BY f.name") == seen
    assert len(client.search("SELECT i FROM Investigation i")) == len(seen)


def test_getting_what_is_not_ones_own_is_refused(icat_client, two_datasets):
    (his,) = two_datasets.search("SELECT d.id FROM Dataset d WHERE d.name = 'his'")
    with pytest.raises(icat.ICATPrivilegesError, match=r"^READ access to this Dataset is not allowed\.$"):
        icat_client("alice").get("Dataset", his)


def test_what_may_not_be_read_is_not_brought_along(icat_client, two_datasets):
    client = icat_client("alice")
    (found,) = client.search("SELECT d FROM Dataset d INCLUDE d.investigation i, i.investigationUsers u, u.user")
    assert [u.user.name for u in found.investigation.investigationUsers] == ["simple/alice"]
    (found,) = client.search("SELECT i FROM Investigation i INCLUDE i.investigationInstruments")
    assert list(found.investigationInstruments) == []
    (facility,) = client.search("SELECT f FROM Facility f INCLUDE f.investigations")
    assert [i.visitId for i in facility.investigations] == ["1"]


def test_one_that_may_not_be_read_is_left_out(icat_client, two_datasets, rule):
    rule("R", "Datafile")
    files = icat_client("alice").search("SELECT f FROM Datafile f ORDER BY f.name INCLUDE 1")
    assert [(f.name, f.dataset and f.dataset.name) for f in files] == [("hers.zarr", "hers"), ("his.zarr", None)]


def test_another_object_in_the_select_is_filtered_too(icat_client, two_datasets, rule):
    rule("R", "Dataset")
    client = icat_client("alice")
    assert names(client) == ["hers", "his"]
    assert [i.visitId for i in client.search("SELECT d.investigation FROM Dataset d")] == ["1"]
    assert [i.visitId for i in client.search("SELECT i FROM Dataset d JOIN d.investigation i")] == ["1"]


@pytest.mark.parametrize(
    ("letters", "word"), [("U", "DELETE"), ("UD", "CREATE"), ("UDC", None)], ids=["change", "and delete", "and create"]
)
def test_moving_to_another_investigation_is_deleting_and_creating(icat_client, two_datasets, rule, letters, word):
    rule(letters, "Dataset")
    client = icat_client("alice")
    (hers,) = client.search("SELECT d FROM Dataset d INCLUDE 1")
    hers.investigation = investigation(icat_client("root"), "2")
    client = icat_client("alice")
    if word is None:
        client.update(hers)
    else:
        with pytest.raises(icat.ICATPrivilegesError, match=rf"^{word} access to this Dataset is not allowed\.$"):
            client.update(hers)
    hers.investigation = None
    assert names(client) == (["hers"] if word else [])


def test_a_public_step_brings_along_what_may_not_be_read(icat_client, two_datasets):
    root = icat_client("root")
    root.new("PublicStep", origin="Investigation", field="investigationInstruments").create()
    with pytest.raises(icat.ICATParameterError, match="does not implement a relationship"):
        root.new("PublicStep", origin="Investigation", field="name").create()
    (found,) = icat_client("alice").search("SELECT i FROM Investigation i INCLUDE i.investigationInstruments")
    assert len(found.investigationInstruments) == 1


def test_users_may_not_write(icat_client, two_datasets):
    client = icat_client("alice")
    made = dataset(client, "new")
    for do, word in ((made.create, "CREATE"), (lambda: client.createMany([made]), "CREATE")):
        with pytest.raises(icat.ICATPrivilegesError, match=rf"^{word} access to this Dataset is not allowed\.$"):
            do()
    (found,) = client.search("SELECT d FROM Dataset d INCLUDE 1")
    with pytest.raises(icat.ICATPrivilegesError, match=r"^UPDATE access to this Dataset is not allowed\.$"):
        found.update()
    with pytest.raises(icat.ICATPrivilegesError, match=r"^DELETE access to this Dataset is not allowed\.$"):
        client.delete(found)
    assert names(two_datasets) == ["hers", "his"]


def test_the_service_account_keeps_data_and_leaves_people_alone(icat_client, two_datasets):
    client = icat_client("ingester")
    with pytest.raises(icat.ICATPrivilegesError, match=r"^CREATE access to this User is not allowed\.$"):
        client.new("User", name="simple/eve").create()
    with pytest.raises(icat.ICATPrivilegesError, match=r"^UPDATE access to this Investigation is not allowed\.$"):
        investigation(client).update()
    with pytest.raises(icat.ICATPrivilegesError, match=r"^DELETE access to this Investigation is not allowed\.$"):
        client.delete(investigation(client))
    assert len(client.search("SELECT u FROM User u")) == 4


def test_a_clash_is_seen_before_a_right_is_missed(icat_client, two_datasets):
    with pytest.raises(icat.ICATObjectExistsError):
        dataset(icat_client("alice"), "hers").create()


@pytest.mark.parametrize(("user", "allowed"), [("alice", False), ("ingester", True), ("root", True)])
def test_a_client_may_ask_first(icat_client, two_datasets, user, allowed):
    client = icat_client(user)
    assert client.isAccessAllowed(dataset(client, "new"), "CREATE") is allowed
    assert names(icat_client("root")) == ["hers", "his"]
    (hers,) = client.search("SELECT d FROM Dataset d WHERE d.name = 'hers'")
    answers = [client.isAccessAllowed(hers, kind) for kind in ("READ", "UPDATE", "DELETE")]
    assert answers == [True, allowed, allowed]


def test_rules_with_queries_and_of_the_old_style(icat_client, two_datasets, rule):
    rule("r", "SELECT d FROM Dataset d WHERE d.name LIKE 'hi%' AND d.complete = FALSE")
    rule("R", "Datafile <-> Dataset [name = 'his']")
    client = icat_client("alice")
    assert names(client) == ["hers", "his"]
    assert names(client, "Datafile") == ["hers.zarr", "his.zarr"]


def test_a_rule_is_gone_when_it_is_deleted(icat_client, two_datasets, rule):
    made = rule("R", "Dataset")
    assert names(icat_client("alice")) == ["hers", "his"]
    icat_client("root").delete(made)
    assert names(icat_client("alice")) == ["hers"]


@pytest.mark.parametrize(
    ("letters", "what", "said"),
    [
        ("CX", "Dataset", "CRUD value CX contains X"),
        ("R", "SELECT o FROM Nothing o", "Nothing is not an entity"),
        ("R", "SELECT o FROM Dataset o WHERE o.nothing = 1", "no field nothing"),
        ("R", "SELECT o.complete FROM Dataset o", "only allowed for Update"),
        ("R", "Nothing", "Nothing is not an entity"),
    ],
)
def test_a_rule_that_says_nothing_is_refused(rule, letters, what, said):
    with pytest.raises(icat.ICATParameterError, match=said):
        rule(letters, what)


def test_a_rule_on_one_attribute_gives_no_right_to_the_whole(icat_client, two_datasets, rule):
    rule("U", "SELECT o.complete FROM Dataset o")
    client = icat_client("alice")
    (found,) = client.search("SELECT d FROM Dataset d INCLUDE 1")
    with pytest.raises(icat.ICATPrivilegesError):
        found.update()


def test_only_root_sees_how_the_server_is_set_up(icat_client):
    assert "rootUserNames simple/root" in icat_client("root").getProperties()
    with pytest.raises(icat.ICATPrivilegesError):
        icat_client("alice").getProperties()
