"""Looking whether runs can be registered, before the stand-in ICAT."""

import pytest
from octostream.sinks.catalogue.checking import check
from octostream.sinks.catalogue.intent import Intent
from octostream.sinks.catalogue.lookup import Lookup
from octostream.sinks.catalogue.needs import needs
from octostream.sinks.catalogue.registration import Registration
from octostream.sinks.catalogue.rights import FOR_OWNERS, RIGHTS, TO_CREATE
from octostream.sinks.catalogue.template_file import read_template
from octostream.tests.icat_server.seed import FACILITY, PROPOSAL

from .facts import facts_of
from .rules import grant, joined

HERE = {"investigation": PROPOSAL, "visit": "1", "instrument": "", "software": "0.1.0"}
KEPT = ("Dataset", "DatasetParameter", "Datafile", "Sample", "DataCollection", "Job")


@pytest.fixture
def client(icat_client):
    return icat_client("ingester")


@pytest.fixture
def root(icat_client):
    return icat_client("root")


@pytest.fixture
def wanted(settings):
    return needs(settings, "0.1.0", [read_template("lightsheet")], ["lightsheet-1"])


def states(client, wanted, facility=FACILITY, **options):
    return {f.what: f.state for f in check(Lookup(client, facility), wanted, **{"create": False, **options})}


def counts(root, entities=KEPT):
    return {entity: root.search(f"SELECT COUNT(o) FROM {entity} o")[0] for entity in entities}


def test_each_thing_is_asked_for_once(wanted):
    named = [str(thing) for thing in wanted]
    assert len(set(named)) == len(named)
    assert named.count("Instrument 'lightsheet-1'") == 1
    assert {"Technique 'SPIM'", "ParameterType 'illumination_numerical_aperture', 'N/A'"} <= set(named)


def test_what_is_missing_is_named_and_nothing_is_made(client, root, wanted):
    everything = ("Application", "ParameterType", "Technique", *KEPT)
    before = counts(root, everything)
    found = states(client, wanted)
    assert {what for what, state in found.items() if state == "missing"} == {
        str(thing) for thing in wanted if thing.entity not in ("DatasetType", "Instrument")
    }
    assert (found["DatasetType 'raw'"], found["READ Investigation"], found["CREATE Dataset"]) == ("ok", "ok", "ok")
    assert found["UPDATE Dataset"] == "not tried"
    assert counts(root, everything) == before


def test_what_is_missing_is_created_where_that_is_asked_for(client, root, wanted):
    before = counts(root)
    first = states(client, wanted, create=True)
    assert first["Technique 'SPIM'"] == first["ParameterType 'z_step', 'um'"] == "created"
    again = states(client, wanted, create=True)
    assert set(again.values()) == {"ok", "not tried"}
    assert counts(root) == before, "trials leave nothing behind"
    (spim,) = root.search("SELECT t FROM Technique t WHERE t.name = 'SPIM'")
    assert spim.pid == "http://purl.obolibrary.org/obo/FBbi_00000369"


@pytest.fixture
def account(client, root, wanted, settings):
    """The account has exactly the rights that are written down; one run is registered by it."""
    grant(root, joined(RIGHTS, TO_CREATE))
    assert {"created", "ok", "not tried"} == set(states(client, wanted, create=True).values())
    grant(root, RIGHTS)
    return Registration(client, settings)


def test_the_rights_that_are_written_down_are_enough(account, client, wanted):
    fish = facts_of(0, **HERE, sample="fish", technique="SPIM", technique_pid="x")
    for kind in ("opened", "grown", "failed", "grown", "sealed"):
        account.deliver(Intent(kind, fish))
    account.deliver(Intent("opened", facts_of(1, **HERE)))
    account.deliver(Intent("removed", facts_of(1, **HERE)))
    account.deliver(Intent("sealed", facts_of(2, **HERE)))
    assert set(states(client, wanted).values()) == {"ok"}


def test_a_dataset_of_very_many_files_can_be_tried_with(account, client, root, wanted, icat_listener, monkeypatch):
    account.deliver(Intent("sealed", facts_of(0, **HERE)))
    (raw,) = root.search("SELECT o FROM Dataset o WHERE o.name = 'run0 raw'")
    root.createMany([root.new("Datafile", dataset=root.new("Dataset", id=raw.id), name=f"{n}") for n in range(150)])
    monkeypatch.setattr(icat_listener.service, "_max_entities", 150)
    assert set(states(client, wanted).values()) == {"ok"}


NAMED = {
    "Application": "C", "Sample": "C", "Dataset": "CUD", "DatasetParameter": "CRU", "Datafile": "CRU",
    "DataCollection": "CR", "DataCollectionDataset": "R", "DataCollectionParameter": "R",
}  # fmt: skip
LETTERS = {"C": "CREATE", "R": "READ", "U": "UPDATE", "D": "DELETE"}


def test_each_right_that_is_missing_is_named(account, client, root, wanted):
    account.deliver(Intent("sealed", facts_of(0, **HERE)))
    for entity, letter in [(entity, letter) for entity, letters in NAMED.items() for letter in letters]:
        grant(root, {**RIGHTS, entity: RIGHTS[entity].replace(letter, "")})
        found = states(client, wanted[:9])
        assert found[f"{LETTERS[letter]} {entity}"] == "no right", (entity, letter, found)
    for entity, what in [("Investigation", "READ Investigation"), ("Technique", "Technique 'SPIM'")]:
        grant(root, {**RIGHTS, entity: ""})
        assert states(client, wanted)[what] in ("no right", "missing")
    grant(root, RIGHTS)
    root.deleteMany(root.search("SELECT t FROM Technique t"))
    assert states(client, wanted, create=True)["Technique 'SPIM'"] == "no right"


def test_the_rights_of_owner_command_are_tried_where_it_is_set(account, client, root, wanted):
    asked = [f"READ {entity}" for entity in FOR_OWNERS]

    def said():
        found = states(client, wanted[:9], owners=True)
        return [found[what] for what in asked]

    assert not set(asked) & states(client, wanted[:9]).keys()
    assert said() == ["no right", "not tried"]
    grant(root, {**RIGHTS, "InvestigationUser": "R"})
    assert said() == ["ok", "no right"]
    grant(root, joined(RIGHTS, FOR_OWNERS))
    assert said() == ["ok", "ok"]
    root.deleteMany(root.search("SELECT o FROM InvestigationUser o"))
    assert said() == ["not tried", "not tried"]


def test_a_facility_that_is_not_there_ends_it(client, wanted):
    assert states(client, wanted, facility="O'Brien's") == {"Facility": "missing"}


def test_a_type_of_the_right_name_that_will_not_do_is_named(client, root, wanted):
    facility = root.assertedSearch("SELECT f FROM Facility f")[0]
    kind = {"name": "exposure_time", "units": "ms", "facility": facility}
    root.new("ParameterType", valueType="STRING", applicableToDataset=True, **kind).create()
    (wrong,) = [f for f in check(Lookup(client, FACILITY), wanted, create=True) if "exposure_time" in f.what]
    assert (wrong.state, wrong.good) == ("refused", False)
    assert wrong.detail == "its valueType is STRING, octostream needs NUMERIC"
