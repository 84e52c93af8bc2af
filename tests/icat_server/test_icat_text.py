"""Any text: stored exactly or refused, never a broken query, never somebody else's."""

from __future__ import annotations

import icat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from octostream.tests.icat_server.compiling import compile_query
from octostream.tests.icat_server.faults import IcatFault
from octostream.tests.icat_server.jpql import parse
from octostream.tests.icat_server.objects import dataset, names
from octostream.tests.icat_server.old_style import parse_old
from octostream.tests.icat_server.schema import SCHEMA

TEXTS = [
    "O'Brien's \"day\"",
    "back\\slash \\' and \\\\",
    "tab\tand\nline",
    "<a href='x'>&copy; & &#65;</a> ]]> <![CDATA[",
    '\'; DROP TABLE "Dataset"; --',
    "x' OR '1' = '1",
    "x' OR 1 = 1 INCLUDE 1 LIMIT 0, 100",
    "{ts 2026-01-01 00:00:00}",
    "%_!",
    ":user",
    "Zürich 日本語 \u00a0",
    "🔬🧫 e\u0301 \u202eright to left",
    " ",
]


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


@pytest.fixture
def client(icat_client):
    return icat_client("ingester")


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_stored_exactly_and_found_by_itself_alone(client, text):
    made = dataset(client, text, description=text, location=text)
    made.create()
    dataset(client, "another").create()
    found = client.get("Dataset INCLUDE 1", made.id)
    assert (found.name, found.description, found.location) == (text, text, text)
    found.update()
    query = f"SELECT d.name, d.id FROM Dataset d WHERE d.name = {quoted(text)}"
    assert client.search(query) == [(text, made.id)]
    assert client.search(f"SELECT d.name FROM Dataset d WHERE d.name LIKE {quoted(text)} AND d.name <> 'another'")
    assert set(names(client)) == {text, "another"}
    with pytest.raises(icat.ICATObjectExistsError) as caught:
        dataset(client, text).create()
    assert f"name = '{text}'" in caught.value.message


def test_an_empty_text_is_a_text(client):
    made = dataset(client, description="")
    made.create()
    assert client.search("SELECT d.name FROM Dataset d WHERE d.description = ''") == ["day 1"]
    assert client.search("SELECT COUNT(d) FROM Dataset d WHERE d.description IS NULL") == [0]


@pytest.mark.parametrize("text", ["O'Brien", "x' OR '1' = '1"])
def test_searching_with_a_bare_quote_finds_nothing_that_was_not_asked_for(client, text):
    """What python-icat builds itself has quotes that are not doubled: no query, or another one. Callers double them."""
    made = dataset(client, text)
    made.create()
    try:
        found = client.searchMatching(dataset(client, text))
    except (icat.ICATParameterError, icat.SearchResultError):
        return
    assert found.id == made.id


def test_a_long_name_is_refused_as_long(client):
    with pytest.raises(icat.ICATValidationError, match="name cannot have length > 255"):
        dataset(client, "n" * 300).create()
    assert client.search(f"SELECT d FROM Dataset d WHERE d.name = '{'n' * 300}'") == []


def test_what_xml_cannot_carry_is_refused(client):
    with pytest.raises(Exception, match=r"no SOAP call|not well-formed|Invalid|invalid"):
        dataset(client, "bell\x07").create()
    assert names(client) == []


PRINTABLE = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co")), min_size=1, max_size=40)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=PRINTABLE)
def test_texts_drawn_at_random(client, text):
    made = client.new("Technique", name=text)
    made.create()
    try:
        assert client.search(f"SELECT t.name FROM Technique t WHERE t.name = {quoted(text)}") == [text]
        assert client.get("Technique", made.id).name == text
    finally:
        client.delete(made)


@pytest.mark.parametrize(
    ("sent", "stored"), [("a &amp; b", "a & b"), ("a &amp;amp; b", "a &amp; b"), ("&lt;", "<"), ("a\r\nb", "a\nb")]
)
def test_suds_sends_some_texts_as_others(client, sent, stored):
    """No fault of any server: suds takes what looks escaped for escaped, and leaves carriage returns bare."""
    client.new("Technique", name=sent).create()
    assert client.search("SELECT t.name FROM Technique t") == [stored]


def test_what_a_client_sends_escaped_is_read_exactly(icat_server, client):
    made = client.new("Technique", name="x")
    made.create()
    store = icat_server.service.store
    text = "&amp; &lt; \r\n <b> ]]>"
    store.update(SCHEMA["Technique"], made.id, {"name": text})
    assert client.search("SELECT t.name FROM Technique t") == [text]


CLAUSES = "SELECT FROM WHERE AND OR NOT LIKE IN BETWEEN IS NULL EMPTY JOIN LEFT INCLUDE LIMIT ORDER BY DISTINCT COUNT("
NAMES = "o Dataset o.name o.type o.investigation.name sqlite_master :user"
SIGNS = "1 0, 'x' '' ' ( ) , <> <-> [ ] { ts * / ; -- \" \\"
WORDS = st.sampled_from(f"{CLAUSES} {NAMES} {SIGNS}".split())


@settings(max_examples=200)
@given(words=st.lists(WORDS, max_size=12), tail=st.text(max_size=8))
def test_nothing_but_a_query_gets_through(words, tail):
    """Whatever is sent, it is refused as no query, or compiled with every value bound and every name known."""
    for text in (" ".join(words) + tail, "SELECT o FROM Dataset o WHERE " + " ".join(words) + tail):
        try:
            query = parse(text)
        except IcatFault:
            continue
        try:
            compiled = compile_query(query, "simple/alice", 0, lambda entity: None)
        except IcatFault:
            continue
        assert "'" not in compiled.sql.text
        assert ";" not in compiled.sql.text
        assert compiled.sql.text.count("?") == len(compiled.sql.values)
    for text in (" ".join(words) + tail, "Dataset " + " ".join(words) + tail):
        try:
            parse_old(text)
        except IcatFault:
            continue
