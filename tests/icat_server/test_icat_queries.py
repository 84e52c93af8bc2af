"""Queries in every form that python-icat's ``Query`` builds, and those that people write by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import icat
import pytest
from icat.query import Query
from octostream.tests.icat_server.fixture import logged_in
from octostream.tests.icat_server.objects import dataset, investigation, parameter_type

STARTS = [datetime(2026, 3, day, 9, 30, 0, 250000, tzinfo=UTC) for day in (1, 2, 3)]


@pytest.fixture(scope="module")
def client(icat_listener, icat_clients):
    """Three datasets in two visits, with parameters, files and a technique; nothing here changes them."""
    icat_listener.reset()
    client = logged_in(icat_listener, icat_clients, "ingester")
    size = parameter_type(client, "pixel size", "NUMERIC", units="um")
    who = parameter_type(client, "operator", "STRING")
    technique = client.new("Technique", name="SPIM", pid="FBbi:00000369")
    technique.create()
    for number, (visit, start) in enumerate(zip("112", STARTS, strict=True)):
        made = dataset(client, f"Day {number}", visit, startDate=start, fileSize=number * 2**33)
        made.description = None if number else "first"
        made.complete = number == 2
        made.parameters = [
            client.new("DatasetParameter", type=size, numericValue=0.1 * (number + 1)),
            client.new("DatasetParameter", type=who, stringValue="O'Brien" if number else "Müller"),
        ]
        made.datasetTechniques = [client.new("DatasetTechnique", technique=technique)] if number < 2 else []
        made.datafiles = [client.new("Datafile", name=f"{name}.zarr") for name in "ab"[: number + 1]]
        made.create()
    return client


def search(client, entity="Dataset", **asked):
    return client.search(Query(client, entity, **asked))


def named(found):
    return [one.name for one in found]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"name": "= 'Day 1'"}, ["Day 1"]),
        ({"name": "<> 'Day 1'"}, ["Day 0", "Day 2"]),
        ({"name": "!= 'Day 1'"}, ["Day 0", "Day 2"]),
        ({"name": "LIKE 'Day%'"}, ["Day 0", "Day 1", "Day 2"]),
        ({"name": "LIKE 'day%'"}, []),
        ({"name": "LIKE 'Day _'"}, ["Day 0", "Day 1", "Day 2"]),
        ({"name": "NOT LIKE '%1'"}, ["Day 0", "Day 2"]),
        ({"name": "IN ('Day 0', 'Day 2', 'none')"}, ["Day 0", "Day 2"]),
        ({"name": "in ('Day 0')"}, ["Day 0"]),
        ({"name": "NOT IN ('Day 0')"}, ["Day 1", "Day 2"]),
        ({"name": "BETWEEN 'Day 1' AND 'Day 9'"}, ["Day 1", "Day 2"]),
        ({"name": [">= 'Day 1'", "< 'Day 2'"]}, ["Day 1"]),
        ({"description": "IS NULL"}, ["Day 1", "Day 2"]),
        ({"description": "IS NOT NULL"}, ["Day 0"]),
        ({"complete": "= True"}, ["Day 2"]),
        ({"complete": "= FALSE"}, ["Day 0", "Day 1"]),
        ({"fileSize": f"> {2**33}"}, ["Day 2"]),
        ({"fileSize": f"= 2 * {2**33}"}, ["Day 2"]),
        ({"startDate": ">= '2026-03-02'"}, ["Day 1", "Day 2"]),
        ({"startDate": "> {ts 2026-03-01 09:30:00}"}, ["Day 0", "Day 1", "Day 2"]),
        ({"startDate": "> {ts 2026-03-01 09:30:01}"}, ["Day 1", "Day 2"]),
        ({"startDate": "BETWEEN '2026-03-02T00:00:00+00:00' AND '2026-03-02T10:30:00+01:00'"}, []),
        ({"startDate": "BETWEEN '2026-03-02T00:00:00+00:00' AND '2026-03-02T10:31:00+01:00'"}, ["Day 1"]),
        ({"startDate": "< CURRENT_TIMESTAMP"}, ["Day 0", "Day 1", "Day 2"]),
        ({"sample": "IS NULL"}, ["Day 0", "Day 1", "Day 2"]),
        ({"sample": "IS NOT NULL"}, []),
        ({"investigation.visitId": "= '2'"}, ["Day 2"]),
        ({"investigation.facility.name": "= 'DEMO'", "type.name": "= 'raw'"}, ["Day 0", "Day 1", "Day 2"]),
        ({"investigation.investigationUsers.user.name": "= 'simple/bob'"}, ["Day 2"]),
        ({"parameters.type.name": "= 'operator'", "parameters.stringValue": "= 'O''Brien'"}, ["Day 1", "Day 2"]),
        ({"parameters.numericValue": "> 0.15"}, ["Day 1", "Day 2"]),
        ({"parameters.numericValue": "BETWEEN 0.15 AND 2.5e-1"}, ["Day 1"]),
        ({"datasetTechniques.technique.pid": "= 'FBbi:00000369'"}, ["Day 0", "Day 1"]),
        ({"UPPER(name)": "= 'DAY 1'"}, ["Day 1"]),
        ({"LENGTH(description)": "= 5"}, ["Day 0"]),
        ({"LOWER(parameters.stringValue)": "= 'müller'"}, ["Day 0"]),
    ],
)
def test_conditions(client, conditions, expected):
    assert named(search(client, conditions=conditions, order=["name"])) == expected


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("o.name = 'Day 0' OR o.name = 'Day 1' AND o.complete = TRUE", [0]),
        ("(o.name = 'Day 0' OR o.name = 'Day 2') AND o.complete = TRUE", [2]),
        ("NOT o.name = 'Day 0' AND NOT (o.name = 'Day 1')", [2]),
        ("NOT NOT o.name = 'Day 0'", [0]),
        ("o.name LIKE 'Day!_%' ESCAPE '!'", []),
        ("o.investigation.visitId = '1'", [0, 1]),
        ("'Day 1' = o.name", [1]),
        ("MOD(o.fileSize, 3) = 0", [0]),
        ("CONCAT(o.name, '!') = 'Day 1!'", [1]),
        ("SUBSTRING(o.name, 5, 1) = '2' AND LOCATE('ay', o.name) = 2", [2]),
        ("TRIM('  x ') = 'x' AND ABS(-1) = 1 AND SQRT(o.fileSize) = 0", [0]),
        ("o.datasetTechniques IS EMPTY", [2]),
        ("o.datasetTechniques IS NOT EMPTY", [0, 1]),
        ("-o.fileSize < 0", [1, 2]),
        ("o.fileSize / 2 - 1 < 0", [0]),
        ("o.createId = :user", [0, 1, 2]),
        ("o.createId <> :user", []),
    ],
)
def test_conditions_by_hand(client, where, expected):
    found = client.search(f"select o.name from Dataset AS o where {where} order by o.name")
    assert found == [f"Day {number}" for number in expected]


def test_enumerations(client):
    text = "SELECT t.name FROM ParameterType t WHERE t.valueType = {} ORDER BY t.name"
    for value in ("'NUMERIC'", "ParameterValueType.NUMERIC", "org.icatproject.core.entity.ParameterValueType.NUMERIC"):
        assert client.search(text.format(value)) == ["pixel size"]
    assert client.search("SELECT DISTINCT t.valueType FROM ParameterType t ORDER BY t.valueType") == [
        "NUMERIC",
        "STRING",
    ]


def test_order_and_limit(client):
    assert named(search(client, order=[("name", "DESC")])) == ["Day 2", "Day 1", "Day 0"]
    assert named(search(client, order=[("investigation.visitId", "DESC"), "name"])) == ["Day 2", "Day 0", "Day 1"]
    assert named(search(client, order=["LENGTH(name)", ("id", "DESC")], limit=(1, 1))) == ["Day 1"]
    assert named(search(client, order=True)) == ["Day 0", "Day 1", "Day 2"]
    assert named(search(client, order=["name"], limit=(2, 10))) == ["Day 2"]
    assert search(client, limit=(0, 0)) == []


def test_a_left_join_keeps_what_has_nothing_there(client):
    asked = {"order": ["sample.name", "name"], "join_specs": {"sample": "LEFT JOIN"}}
    assert named(search(client, **asked)) == ["Day 0", "Day 1", "Day 2"]
    asked["join_specs"] = {"sample": "LEFT OUTER JOIN"}
    assert len(search(client, **asked)) == 3
    asked["join_specs"] = {"sample": "INNER JOIN"}
    assert search(client, **asked) == []


def test_attributes(client):
    assert search(client, attributes="name", order=["name"]) == ["Day 0", "Day 1", "Day 2"]
    assert search(client, attributes=["name", "fileSize", "complete", "description"], order=["name"]) == [
        ("Day 0", 0, False, "first"),
        ("Day 1", 2**33, False, None),
        ("Day 2", 2**34, True, None),
    ]
    asked = {"attributes": ["startDate", "investigation.visitId"], "order": ["name"]}
    assert search(client, **asked) == list(zip(STARTS, "112", strict=True))
    (found,) = search(client, attributes="investigation", conditions={"name": "= 'Day 2'"})
    assert (found.BeanName, found.visitId) == ("Investigation", "2")
    ((whole, name),) = client.search("SELECT o, o.name FROM Dataset o WHERE o.name = 'Day 2'")
    assert (whole.name, name) == ("Day 2", "Day 2")


@pytest.mark.parametrize(
    ("attribute", "aggregate", "expected"),
    [
        (None, "COUNT", 3),
        (None, "COUNT:DISTINCT", 3),
        ("investigation.visitId", "COUNT", 3),
        ("investigation.visitId", "COUNT:DISTINCT", 2),
        ("fileSize", "MIN", 0),
        ("fileSize", "MAX", 2**34),
        ("fileSize", "SUM", 3 * 2**33),
        ("fileSize", "AVG", 2.0**33),
        ("startDate", "MAX", STARTS[2]),
        ("name", "MIN", "Day 0"),
    ],
)
def test_aggregates(client, attribute, aggregate, expected):
    (found,) = search(client, attributes=attribute, aggregate=aggregate)
    assert found == expected
    assert type(found) is type(expected) or isinstance(found, str)


def test_distinct(client):
    assert search(client, attributes="investigation.visitId", aggregate="DISTINCT") == ["1", "2"]
    two = search(client, attributes=["investigation.visitId", "complete"], aggregate="DISTINCT", order=["complete"])
    assert two == [("1", False), ("2", True)]
    asked = {"conditions": {"datafiles.name": "LIKE '%.zarr'", "investigation.visitId": "= '2'"}}
    assert named(search(client, **asked)) == ["Day 2", "Day 2"]
    assert named(search(client, aggregate="DISTINCT", **asked)) == ["Day 2"]


def test_nothing_to_aggregate(client):
    where = {"name": "= 'none'"}
    assert search(client, aggregate="COUNT", conditions=where) == [0]
    assert search(client, attributes="fileSize", aggregate="MAX", conditions=where) == [None]


def test_include(client):
    (found,) = search(client, conditions={"name": "= 'Day 1'"}, includes="1")
    assert (found.investigation.visitId, found.type.name, found.sample) == ("1", "raw", None)
    assert list(found.parameters) == []
    asked = ["parameters.type.facility", "datasetTechniques.technique", "datafiles", "investigation.facility"]
    (found,) = search(client, conditions={"name": "= 'Day 1'", "investigation.visitId": "= '1'"}, includes=asked)
    held = {p.type.name: (p.stringValue, p.numericValue, p.type.facility.name) for p in found.parameters}
    assert held == {"pixel size": (None, 0.2, "DEMO"), "operator": ("O'Brien", None, "DEMO")}
    assert [t.technique.name for t in found.datasetTechniques] == ["SPIM"]
    assert named(found.datafiles) == ["a.zarr", "b.zarr"]
    assert found.investigation.facility.name == "DEMO"
    assert found.investigation.type is None


def test_include_by_hand(client):
    (found,) = client.search(
        "SELECT d FROM Dataset d WHERE d.name = 'Day 2' INCLUDE d.parameters.type, d.datafiles f LIMIT 0, 1"
    )
    assert len(found.datafiles) == 2
    assert {p.type.name for p in found.parameters} == {"pixel size", "operator"}
    assert len(client.search("SELECT d FROM Dataset d LIMIT 1, 5 INCLUDE 1")) == 2


def test_get(client):
    (id_,) = search(client, attributes="id", conditions={"name": "= 'Day 0'"})
    assert client.get("Dataset", id_).investigation is None
    assert client.get("Dataset INCLUDE 1", id_).investigation.visitId == "1"
    assert named(client.get("Dataset ds INCLUDE ds.datafiles", id_).datafiles) == ["a.zarr"]
    found = client.get("Dataset ds INCLUDE ds.parameters p, p.type", id_)
    assert sorted(p.type.name for p in found.parameters) == ["operator", "pixel size"]
    with pytest.raises(icat.ICATNoObjectError, match=r"^Dataset\[id:999\] not found\.$"):
        client.get("Dataset", 999)
    with pytest.raises(icat.ICATParameterError):
        client.get("Data set", id_)


def test_python_icat_finds_what_it_made(client):
    (made,) = search(client, conditions={"name": "= 'Day 0'"}, includes=["investigation.facility"])
    assert client.searchMatching(made).id == made.id
    key = made.getUniqueKey()
    assert client.searchUniqueKey(key).id == made.id
    assert named(client.searchChunked(Query(client, "Dataset", order=True), chunksize=2)) == ["Day 0", "Day 1", "Day 2"]
    assert named(client.searchChunked("SELECT o FROM Dataset o ORDER BY o.id", skip=1, count=1)) == ["Day 1"]
    with pytest.raises(icat.SearchAssertionError):
        client.assertedSearch("SELECT o FROM Dataset o")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Dataset.name", ["Day 0", "Day 1", "Day 2"]),
        ("Dataset.name [name = 'Day 1']", ["Day 1"]),
        ("Dataset.name <-> Investigation [visitId = '2']", ["Day 2"]),
        ("Datafile.name <-> Dataset [name = 'Day 0'] <-> Investigation [visitId = '1']", ["a.zarr"]),
        ("1, 1 Dataset.name", ["Day 1"]),
        ("COUNT(Dataset)", [3]),
        ("DISTINCT Datafile.name <-> Dataset [name LIKE 'Day%']", ["a.zarr", "b.zarr"]),
    ],
)
def test_simple_queries_of_the_old_style(client, query, expected):
    assert client.search(query) == expected


def test_include_of_the_old_style(client):
    (found,) = client.search("Dataset INCLUDE DatasetParameter, ParameterType, Datafile [name = 'Day 0']")
    assert sorted(p.type.name for p in found.parameters) == ["operator", "pixel size"]
    assert named(found.datafiles) == ["a.zarr"]
    (found,) = client.search("Dataset INCLUDE 1 [name = 'Day 0']")
    assert found.type.name == "raw"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "no query"),
        ("SELECT", "a value"),
        ("SELECT o FROM Dataset", "a name for the entity"),
        ("SELECT o FROM Dataset o WHERE", "a value"),
        ("SELECT o FROM Dataset o WHERE o.name =", "a value"),
        ("SELECT o FROM Dataset o WHERE o.name = 'x", "Unexpected text"),
        ("SELECT o FROM Dataset o WHERE o.name = 'x' ; DROP TABLE Dataset", "Unexpected text"),
        ('SELECT o FROM Dataset o WHERE o.name = "x"', "Unexpected text"),
        ("SELECT o FROM Dataset o UNION SELECT o FROM User o", "the end"),
        ("SELECT o FROM Dataset o LIMIT 1", ","),
        ("SELECT o FROM Dataset o LIMIT -1, 2", "a whole number"),
        ("SELECT o FROM Dataset o, User u", "the end"),
        ("SELECT o FROM sqlite_master o", "not an entity"),
        ("SELECT o FROM _session o", "not an entity"),
        ("SELECT o FROM dataset o", "not an entity"),
        ("SELECT o.password FROM User o", "no field password"),
        ("SELECT o.rowid FROM User o", "no field rowid"),
        ("SELECT x FROM Dataset o", "x is not the name"),
        ("SELECT o FROM Dataset o JOIN o.name n", "no relation"),
        ("SELECT o FROM Dataset o JOIN o.type o", "used twice"),
        ("SELECT o FROM Dataset o WHERE o.datafiles.name = 'x'", "only joined"),
        ("SELECT o FROM Dataset o WHERE o.datafiles = 1", "many objects"),
        ("SELECT o FROM Dataset o WHERE o.type IS EMPTY", "many objects"),
        ("SELECT o FROM Dataset o WHERE o.name NOT 'x'", "LIKE, BETWEEN or IN"),
        ("SELECT o FROM Dataset o WHERE o.id = :other", ":other"),
        ("SELECT o FROM Dataset o WHERE o.startDate > 'soon'", "not a date"),
        ("SELECT o FROM Dataset o WHERE o.id = 99999999999999999999", "too large"),
        ("SELECT o FROM Dataset o INCLUDE o", "leads nowhere"),
        ("SELECT o FROM Dataset o INCLUDE x.type", "not the name of anything"),
        ("SELECT o FROM Dataset o INCLUDE o.name", "no relation"),
        ("SELECT o.name FROM Dataset o INCLUDE 1", "INCLUDE is only"),
        ("SELECT UPPER(o.name, 'x') FROM Dataset o", "takes 1 argument"),
        ("SELECT COUNT(o.id, o.name) FROM Dataset o", "one argument"),
        (f"SELECT o FROM Dataset o WHERE {'(' * 200}1{')' * 200} = 1", "deep"),
        ("Bogus", "not an entity"),
        ("Dataset <-> Rule", "no relation from"),
        ("Dataset [name = 'x'", "cannot read"),
    ],
)
def test_what_is_no_query_is_refused_with_a_reason(client, query, said):
    with pytest.raises(icat.ICATParameterError) as caught:
        client.search(query)
    assert said in caught.value.message


def test_an_unknown_function_is_said_to_be_one(client):
    with pytest.raises(icat.ICATNotImplementedError, match="the function LOAD_EXTENSION"):
        client.search("SELECT load_extension('x') FROM Dataset o")


def test_no_more_than_the_limit_is_given(icat_listener, client, monkeypatch):
    monkeypatch.setattr(icat_listener.service, "_max_entities", 3)
    assert len(client.search("SELECT o FROM Dataset o")) == 3
    with pytest.raises(icat.ICATValidationError, match=r"^attempt to return more than 3 entities$"):
        client.search("SELECT o FROM Dataset o INCLUDE o.datafiles")
    with pytest.raises(icat.ICATValidationError, match=r"^attempt to process more than 3 entities$"):
        client.search("SELECT o FROM Datafile o")
    assert len(client.search("SELECT o FROM Datafile o LIMIT 3, 3")) == 2
    assert investigation(client).visitId == "1"
