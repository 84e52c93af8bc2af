"""``octostream techniques``: what an operator and an editor of templates see."""

from __future__ import annotations

import json
import tomllib

import pytest
from octostream.api.cli import app
from octostream.sinks.catalogue.checked_metadata import MetadataError, check_metadata
from octostream.sinks.catalogue.template import TemplateError
from octostream.sinks.catalogue.template_file import BUILT_IN, read_template
from typer.testing import CliRunner


def octostream(*arguments):
    result = CliRunner().invoke(app, ["techniques", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_techniques_are_listed(tmp_path):
    (tmp_path / "ours.toml").write_text('base = "flim"\nsummary = "Our lifetimes"\n')
    lines = octostream("list", "--dir", tmp_path).splitlines()
    assert [line.split()[0] for line in lines] == [*BUILT_IN, "ours"]
    assert lines[-1].endswith("  Our lifetimes")
    told = json.loads(octostream("list", "--json"))["techniques"]
    assert told == [{"name": name, "summary": read_template(name).summary} for name in BUILT_IN]


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_is_shown_can_be_filled_in_and_given(name):
    template = read_template(name)
    text = octostream("show", name)
    required = [field.name for field in template.fields if field.required]
    assert tomllib.loads(text) == dict.fromkeys(required, "")
    for term in template.terms:
        assert f"# {term.id} {term.label}\n" in text
    shown = tomllib.loads("\n".join(line.removeprefix("# ") for line in text.splitlines() if line.endswith(' = ""')))
    assert list(shown) == [field.name for field in template.fields]
    for field in template.fields:
        assert f"\n# {field.label}: {field.help}; {field.may_be}{'; required' * field.required}\n" in text
    if required:
        with pytest.raises(MetadataError, match="needs the metadata 'sample'"):
            check_metadata(template, shown)
    else:
        assert check_metadata(template, shown) == {}


def test_a_template_of_ones_own_is_checked_by_showing_it(tmp_path):
    ours = tmp_path / "ours.toml"
    ours.write_text('base = "flim"\nsummary = "Our lifetimes"\nfield.organism.required = true\n')
    told = json.loads(octostream("show", ours, "--json"))
    assert told == json.loads(octostream("show", "ours", "--dir", tmp_path, "--json"))
    assert (told["name"], told["summary"], told["open"]) == ("ours", "Our lifetimes", False)
    assert [f["name"] for f in told["fields"] if f["required"]] == ["sample", "organism", "repetition_rate_mhz"]
    (rate,) = [f for f in told["fields"] if f["name"] == "repetition_rate_mhz"]
    assert (rate["type"], rate["unit"], rate["range"]) == ("number", "MHz", [0.001, 10000.0])
    assert (rate["icat"], rate["ome"]) == ("repetition_rate", "Instrument/Laser/@RepetitionRate")
    ours.write_text("summary = 1")
    for wrong in (("show", ours), ("list", "--dir", tmp_path), ("show", "none")):
        with pytest.raises(TemplateError):
            octostream(*wrong)
