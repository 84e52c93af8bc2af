"""Templates: every one that comes with octostream is sound; one of somebody's own is read, or refused in one line."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import octostream
import pytest
from octostream.sinks.catalogue.parameters import kinds_of
from octostream.sinks.catalogue.template import Field, Template, TemplateError
from octostream.sinks.catalogue.template_file import (
    BUILT_IN,
    COMMON,
    FREE,
    read_template,
    read_template_file,
    technique_names,
)
from octostream.sinks.catalogue.vocabulary import STANDARD

ROOT = Path(octostream.__file__).parent
FILES = ROOT / "sinks" / "catalogue" / "templates"
SOUND = Field("power", "Power", "number", "of it", "power", "Instrument/Laser/@Power", "Image acquisition: x", high=5.0)


@pytest.fixture(params=[*BUILT_IN, COMMON])
def built_in(request):
    return request.param


def test_a_built_in_template_is_sound(built_in):
    template = read_template(built_in) if built_in in BUILT_IN else None
    if template is None:  # a base and no technique
        with pytest.raises(TemplateError, match="there is no technique 'common': there are lightsheet, "):
            read_template(built_in)
        return
    assert template.name == built_in
    assert re.fullmatch(r"[A-Z].{10,90}[^.]", template.summary)
    for term in template.terms:
        assert re.fullmatch(r"FBbi:\d{8}|PaNET:PaNET\d{5}", term.id)
        assert term.iri.endswith(term.id.replace("FBbi:", "/FBbi_").replace("PaNET:", "/PaNET/"))
    for field in template.fields:
        assert re.fullmatch(r"[A-Z].*[^.]", field.label), field
        assert re.fullmatch(r"[^A-Z].*[^.]", field.help), field
        assert re.fullmatch(r"(Image|Instrument|StructuredAnnotations)/[\w/@]+", field.ome), field
        assert re.fullmatch(r"(Study component|Biosample|Specimen|Image acquisition): [\w ]+", field.rembi), field
        units = {"nm": "nm", "um": "um", "us": "us", "ns": "ns", "ps": "ps", "deg": "deg", "mW": "mw", "MHz": "mhz"}
        ending = {**units, "degC": "c", "%": "percent", "kW/cm2": "kw_cm2", "": ""}[field.unit]
        assert field.name.endswith(ending), f"{field.name} does not say that it is in {field.unit}"


def test_techniques_that_are_imaging_say_what_they_are_and_ask_for_the_sample():
    for name in BUILT_IN:
        template = read_template(name)
        asked = [field.name for field in template.fields if field.required]
        assert template.open == (name == FREE)
        if name == FREE:
            assert (template.fields, template.terms) == ((), ())
        else:
            assert template.terms[0].id.startswith("FBbi:")
            assert asked[0] == "sample"
            assert len(asked) <= 2, "few fields are required, or nobody records"


def test_a_parameter_means_the_same_in_every_technique():
    kinds = defaultdict(set, {name: {(k.units, k.type, "of every run")} for name, k in STANDARD.items()})
    for name in BUILT_IN:
        for kind in kinds_of(read_template(name)):
            kinds[kind.name].add((kind.units, kind.type))
    assert {name: told for name, told in kinds.items() if len(told) > 1} == {}


def test_every_built_in_template_is_shipped_and_none_is_forgotten():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert "templates/*.toml" in patterns["octostream.sinks.catalogue"]
    assert {file.stem for file in FILES.iterdir()} == {*BUILT_IN, COMMON}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "Power"}, "small letters"),
        ({"name": ""}, "small letters"),
        ({"kind": "colour"}, "its type is none of number, whole"),
        ({"label": ""}, "lacks"),
        ({"rembi": ""}, "lacks"),
        ({"parameter": ""}, "icat has not 1 to 255"),
        ({"parameter": "p" * 256}, "icat has not 1 to 255"),
        ({"parameter": "🔬" * 128}, "icat has not 1 to 255"),
        ({"parameter": "p\uffff"}, "no XML message"),
        ({"parameter": "metadata"}, "its icat 'metadata' is octostream's own"),
        ({"parameter": "run_status"}, "its icat 'run_status' is octostream's own"),
        ({"parameter": "dose.total"}, "its icat has a dot, and is not Sample.name"),
        ({"parameter": "Sample.name"}, "Sample.name is a text or a choice"),
        ({"low": 5.0}, "has no range"),
        ({"low": float("nan")}, "has no range"),
        ({"kind": "text"}, "only numbers"),
        ({"kind": "flag", "high": 0.0, "unit": "nm"}, "only numbers"),
        ({"choices": ("a",)}, "choices belong"),
        ({"kind": "choice", "high": 0.0}, "choices belong"),
        ({"kind": "choice", "high": 0.0, "choices": ("a", "A")}, "twice"),
    ],
)
def test_a_field_that_no_value_can_satisfy_or_no_catalogue_hold_is_refused(changes, said):
    with pytest.raises(TemplateError, match=said) as refused:
        replace(SOUND, **changes)
    assert repr(changes.get("name", "power")) in str(refused.value)


def test_two_fields_do_not_go_by_one_name():
    for other in (replace(SOUND, parameter="other"), replace(SOUND, name="other")):
        with pytest.raises(TemplateError, match="'power' twice"):
            Template("mine", "Mine", fields=(SOUND, other))


FIELD = """
[field.dose_gy]
label = "Dose"
type = "number"
unit = "Gy"
range = [0, 50]
help = "of the irradiation"
ome = "StructuredAnnotations/MapAnnotation/dose"
rembi = "Specimen: preparation method"
"""


@pytest.fixture
def own(tmp_path):
    def write(text, name="mine"):
        (tmp_path / f"{name}.toml").write_text(text)
        return tmp_path

    return write


def test_a_service_has_its_own_techniques(own):
    folder = own('summary = "Irradiation"\nopen = true\n' + FIELD)
    own("summary = 'not a name'", "not a name")
    assert technique_names(folder) == (*BUILT_IN, "mine")
    mine = read_template("mine", folder)
    assert (mine.name, mine.summary, mine.open, mine.terms) == ("mine", "Irradiation", True, ())
    (field,) = mine.fields
    assert (field.name, field.parameter, field.unit, field.low, field.high) == ("dose_gy", "dose_gy", "Gy", 0.0, 50.0)
    assert read_template_file(folder / "mine.toml") == mine
    assert technique_names(folder / "none") == technique_names() == BUILT_IN


def test_a_file_may_change_a_built_in_technique(own):
    built_in = read_template("lightsheet")
    changed = 'base = "lightsheet"\n' + FIELD + "[field.organism]\nrequired = true\n"
    ours = read_template("lightsheet", own(changed, "lightsheet"))
    assert (ours.summary, ours.terms) == (built_in.summary, built_in.terms)
    assert [f.name for f in ours.fields] == [*(f.name for f in built_in.fields), "dose_gy"]
    assert ours.field("organism") == replace(built_in.field("organism"), required=True)
    assert [a for a, b in zip(ours.fields, built_in.fields, strict=False) if a != b] == [ours.field("organism")]


def test_one_file_changes_what_all_techniques_ask(own):
    folder = own('base = "common"\n' + FIELD, "common")
    assert technique_names(folder) == BUILT_IN
    for name in BUILT_IN:
        asked = [field.name for field in read_template(name, folder).fields]
        assert ("dose_gy" in asked) == (name != FREE)
        assert [n for n in asked if n != "dose_gy"] == [field.name for field in read_template(name).fields]


def test_a_file_that_changes_a_built_in_technique_has_what_all_are_asked(own):
    own('base = "common"\n' + FIELD, "common")
    folder = own('base = "lightsheet"\nsummary = "Ours"\n[field.organism]\nrequired = true\n', "lightsheet")
    ours = read_template("lightsheet", folder)
    assert ours.field("dose_gy") is not None
    assert (ours.summary, ours.field("organism").required) == ("Ours", True)
    assert [f.name for f in ours.fields] == [f.name for f in _of_all(folder, "lightsheet").fields]


def _of_all(folder, name):
    """Give a technique as only `common` of the folder changes it."""
    (folder / f"{name}.toml").unlink()
    return read_template(name, folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("summary", "is not TOML"),
        ("", "lacks 'summary'"),
        ("summary = 3", "3 is of the wrong type"),
        ("summary = 'x'\nopen = 1", "1 is of the wrong type"),
        ("summary = 'x'\ncolour = 1", "says 'colour': it may say base, field, open, summary, term"),
        ("summary = 'x'\nfield = 1", "'field' is no table"),
        ("summary = 'x'\nfield.a = 1", "'a' is no table"),
        ("summary = 'x'\nterm = 1", "wrong type"),
        ("summary = 'x'\n[[term]]\nid = 'a'", "lacks 'label'"),
        ("base = 'none'", "there is no base 'none'"),
        ("base = 'mine'", "there is no base 'mine'"),
        ("base = 'other'", "more than 8 bases, or itself"),
        ("base = '../mine'", "there is no base '../mine'"),
        ("base = 1", "there is no base 1"),
        ("base = ['free']", "there is no base ['free']"),
        ("summary = 'x'" + FIELD + "wrong = 1", "field 'dose_gy' says 'wrong'"),
        ("summary = 'x'" + FIELD.replace("[0, 50]", "[50]"), "field 'dose_gy'"),
        ("summary = 'x'" + FIELD.replace("[0, 50]", "['a', 50]"), "field 'dose_gy': 'a' is of the wrong type"),
        ("summary = 'x'" + FIELD.replace("[0, 50]", "[true, 50]"), "field 'dose_gy': True is of the wrong type"),
        ("summary = 'x'" + FIELD.replace("[0, 50]", "[50, 0]"), "field 'dose_gy': it is a number and has no range"),
        ("summary = 'x'" + FIELD.replace('label = "Dose"', ""), "field 'dose_gy' lacks 'label'"),
    ],
)
def test_a_template_that_makes_no_sense_is_refused_in_one_line_that_names_it(own, text, said):
    folder = own(text)
    own("base = 'mine'", "other")
    with pytest.raises(TemplateError) as refused:
        read_template("mine", folder)
    assert said in str(refused.value)
    assert "mine" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["no such", "common", "../lightsheet", "", "Lightsheet", "a\nb"])
def test_an_unknown_technique_is_refused_with_those_that_there_are(tmp_path, name):
    with pytest.raises(TemplateError, match=r", flim, free$") as refused:
        read_template(name, tmp_path)
    assert "\n" not in str(refused.value)


def test_a_file_that_cannot_be_a_template_is_refused(tmp_path):
    for name, said in (
        ("a b.toml", "no name"),
        ("common.toml", "no name"),
        ("mine.txt", "no name"),
        ("a.toml", "no t"),
    ):
        with pytest.raises(TemplateError, match=said):
            read_template_file(tmp_path / name)
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(TemplateError):
        read_template_file(tmp_path / "folder.toml")
