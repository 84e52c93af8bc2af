"""docs/metadata.md against the code: techniques, fields, keys of templates."""

import importlib.util
import re

from octostream.api.commands.techniques import app
from octostream.sinks.catalogue import template_file
from octostream.sinks.catalogue.template import KINDS
from octostream.sinks.catalogue.template_file import BUILT_IN, FREE, read_template
from typer.main import get_command

from .conftest import ROOT, codes, table

PAGE = ROOT / "docs" / "metadata.md"


def listing():
    spec = importlib.util.spec_from_file_location("list_fields", ROOT / "docs" / "list_fields.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_those_of_the_code():
    text = PAGE.read_text()
    assert listing().with_tables(text) == text, "run .venv/bin/python docs/list_fields.py"
    assert listing().with_tables(text.replace("| `sample` |", "| `simple` |")) == text


def test_every_field_of_every_technique_is_there_once():
    rows = table(PAGE, "field")
    assert read_template(FREE).fields == ()
    for name in BUILT_IN:
        fields = read_template(name).fields
        listed = [codes(row[0])[0] for row in rows if row[1] == "all but free" or name in row[1].split(", ")]
        assert sorted(listed) == sorted(field.name for field in fields) or name == FREE
        for field in fields:
            assert any(
                codes(row[0]) == [field.name] and codes(row[4]) == [field.parameter] and field.may_be in row[3]
                for row in rows
            ), field.name
    assert [codes(row[0])[0] for row in table(PAGE, "technique")] == list(BUILT_IN)


def test_keys_of_templates():
    assert {codes(row[0])[0] for row in table(PAGE, "key of a template")} == template_file._KEYS
    rows = table(PAGE, "key of a field")
    assert {key for row in rows for key in codes(row[0])} == template_file._FIELD_KEYS
    (types,) = [row[1] for row in rows if row[0] == "`type`"]
    assert tuple(codes(types)) == KINDS


def test_every_command_is_shown():
    assert set(re.findall(r"octostream techniques (\w+)", PAGE.read_text())) == set(get_command(app).commands)
