"""The table of the schema, and what is made from it."""

from __future__ import annotations

import icat
import pytest
from lxml import etree
from octostream.tests.icat_server.schema import ATTRIBUTE, MANY, META, ONE, PARAMETER, SCHEMA, read_schema
from octostream.tests.icat_server.values import milliseconds, read, write
from octostream.tests.icat_server.wsdl import OPERATIONS, wsdl, xsd

XS = "{http://www.w3.org/2001/XMLSchema}"


def test_every_key_is_made_of_fields_that_must_be_given():
    for entity in SCHEMA.values():
        for name in entity.key:
            assert entity.fields[name].required, f"{entity.name}.{name}"
            assert entity.fields[name].relation in (ATTRIBUTE, ONE)


def test_every_relation_has_another_side():
    for entity in SCHEMA.values():
        for one in entity.ones:
            other = SCHEMA[one.type].fields[one.inverse or ""]
            assert (other.relation, other.type, other.inverse) == (MANY, entity.name, one.name)
        for many in entity.manys:
            assert SCHEMA[many.type].fields[many.inverse or ""].relation == ONE


def test_facts_that_registration_leans_on():
    lengths = {"Dataset.location": 511, "Job.arguments": 255, "DatasetParameter.stringValue": 4000, "Rule.what": 1024}
    for path, length in lengths.items():
        entity, _, name = path.partition(".")
        assert SCHEMA[entity].fields[name].length == length
    keys = {"Dataset": ("investigation", "name"), "Technique": ("name",), "Job": (), "DataCollection": ()}
    assert {name: SCHEMA[name].key for name in keys} == keys
    assert [e.name for e in SCHEMA.values() if e.is_parameter] == [
        f"{of}Parameter" for of in ("DataCollection", "Datafile", "Dataset", "Investigation", "Sample")
    ]


@pytest.mark.parametrize("line", ["Thing name!", "Thing [name] name!->Other"])
def test_a_line_that_cannot_be_read_is_noticed(line):
    with pytest.raises(AssertionError, match=r"schema\.txt"):
        read_schema(line)


def test_the_description_names_every_type_that_it_uses():
    schema = etree.fromstring(xsd().encode())
    declared = {f"tns:{element.get('name')}" for element in schema}
    used = {element.get("type") or element.get("base") for element in schema.iter(f"{XS}element", f"{XS}extension")}
    assert {kind for kind in used if kind and kind.startswith("tns:")} <= declared
    assert {f"tns:{entity.bean}" for entity in SCHEMA.values()} <= declared
    service = etree.fromstring(wsdl("http://somewhere:1").encode())
    said = {element.get("name") for element in service.iter("{http://schemas.xmlsoap.org/wsdl/}operation")}
    assert said == set(OPERATIONS)
    assert etree.XMLSchema(schema) is not None


def test_entity_information_says_what_the_table_says(icat_client):
    client = icat_client("ingester")
    info = client.getEntityInfo("Dataset")
    fields = {field.name: field for field in info.fields}
    assert list(info.constraints[0].fieldNames) == ["investigation", "name"]
    assert (fields["name"].type, fields["name"].stringLength, fields["name"].notNullable) == ("String", 255, True)
    assert (fields["complete"].type, fields["fileSize"].type, fields["endDate"].type) == ("boolean", "Long", "Date")
    assert (fields["type"].relType, fields["type"].type) == ("ONE", "DatasetType")
    assert (fields["datafiles"].relType, fields["datafiles"].type) == ("MANY", "Datafile")
    assert set(META) <= set(fields)
    assert not hasattr(client.getEntityInfo("Job"), "constraints")
    assert {f.name for f in client.getEntityInfo("Parameter").fields} == set(PARAMETER.fields)
    with pytest.raises(icat.ICATParameterError, match="Bogus is not an EntityBaseBean"):
        client.getEntityInfo("Bogus")


def test_authenticators_are_told(icat_client):
    (info,) = icat_client("ingester").getAuthenticatorInfo()
    assert (info.mnemonic, [key.name for key in info.keys]) == ("simple", ["username", "password"])
    assert [bool(getattr(key, "hide", False)) for key in info.keys] == [False, True]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("true", "Boolean", True),
        ("0", "Boolean", False),
        (" 12 ", "Long", 12),
        ("-INF", "Double", float("-inf")),
        ("1e3", "Double", 1000.0),
        ("NUMERIC", "ParameterValueType", "NUMERIC"),
        ("1970-01-01T01:00:00.5+01:00", "Date", 500),
        ("1970-01-01T00:00:00", "Date", 0),
        (" x ", "String", " x "),
    ],
)
def test_values_are_read(text, kind, value):
    assert read(text, kind) == value
    assert read(write(value, kind), kind) == value


@pytest.mark.parametrize(
    ("text", "kind"), [("yes", "Boolean"), ("1.5", "Long"), ("x", "Double"), ("soon", "Date"), ("ODD", "StudyStatus")]
)
def test_values_that_do_not_fit_are_refused(text, kind):
    with pytest.raises(Exception, match=text):
        read(text, kind)


def test_dates_keep_milliseconds():
    assert write(milliseconds("2026-11-23T04:05:06.789+00:00"), "Date") == "2026-11-23T04:05:06.789+00:00"
