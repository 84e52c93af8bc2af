"""What operators say, held against templates: refused in one line, or fit for a catalogue."""

from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from octostream.sinks.catalogue.checked_metadata import MetadataError, check_metadata
from octostream.sinks.catalogue.parameters import ParameterValue, kinds_of, parameters_of
from octostream.sinks.catalogue.template import Field, Template
from octostream.sinks.catalogue.template_file import BUILT_IN, read_template
from octostream.sinks.catalogue.text import checked as checked_text

TEMPLATES = [read_template(name) for name in BUILT_IN]
LIGHTSHEET, FREE = read_template("lightsheet"), read_template("free")
FLAGGED = Template(
    "flagged",
    "One field of each kind that the built-in ones lack",
    fields=(Field("live", "Live", "flag", "alive", "live", "Image/Description", "Biosample: x"),),
)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

scalars = st.one_of(
    st.text(max_size=30), st.integers(), st.floats(), st.booleans(), st.sampled_from(["1, 2", "5", "-3e2", "TIRF", ""])
)
templates = st.sampled_from([*TEMPLATES, FLAGGED])


def value_of(field):
    """Give values that a field takes."""
    number = st.floats(field.low, field.high)
    match field.kind:
        case "number":
            several = st.lists(number, min_size=1, max_size=4).map(lambda ns: ", ".join(map(repr, ns)))
            return st.one_of(number, number.map(repr), several) if field.many else st.one_of(number, number.map(repr))
        case "whole":
            whole = st.integers(math.ceil(field.low), math.floor(field.high))
            return st.one_of(whole, whole.map(str), whole.map(float))
        case "choice":
            return st.sampled_from(field.choices).flatmap(lambda c: st.sampled_from([c, c.upper(), f" {c} "]))
        case "flag":
            return st.sampled_from([True, False, "true", "No", "FALSE", "yes"])
        case _:
            sendable = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="\ufffe\uffff")
            return st.text(sendable, min_size=1, max_size=30)


def sound(template, checked):
    """Say whether metadata are what a catalogue can hold."""
    for name, value in checked.items():
        assert not isinstance(value, str) or (value.strip() and not CONTROL.search(value) and checked_text(value)), name
        assert not isinstance(value, float) or math.isfinite(value), name
    if template.sample_key in checked:
        checked_text(str(checked[template.sample_key]), 255)
    values = parameters_of(template, checked)
    kinds = {(kind.name, kind.units, kind.type) for kind in kinds_of(template)}
    for parameter in values:
        assert (parameter.name, parameter.units, "STRING" if isinstance(parameter.value, str) else "NUMERIC") in kinds
        assert not isinstance(parameter.value, str) or checked_text(parameter.value)
    assert len({p.name for p in values}) == len(values)
    return True


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_what_fits_is_taken_and_stays_as_it_is(data):
    template = data.draw(templates)
    needed = {f.name: value_of(f) for f in template.fields if f.required}
    optional = {f.name: value_of(f) for f in template.fields if not f.required}
    given_values = data.draw(st.fixed_dictionaries(needed, optional=optional))
    assume(all(not isinstance(v, str) or v.strip() for v in given_values.values()))
    checked = check_metadata(template, given_values)
    assert list(checked) == [f.name for f in template.fields if f.name in given_values]
    assert sound(template, checked)
    assert check_metadata(template, checked) == checked
    assert check_metadata(template, json.loads(json.dumps(checked))) == checked
    for field in (f for f in template.fields if f.name in checked):
        assert not field.choices or checked[field.name] in field.choices
        if field.kind == "number" and not field.many:
            assert type(checked[field.name]) is float
            assert checked[field.name] == float(given_values[field.name])


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_whatever_is_said_is_refused_in_one_line_or_fit_for_a_catalogue(data):
    template = data.draw(templates)
    names = st.one_of(st.text(max_size=20), st.sampled_from([f.name for f in template.fields] or ["a"]))
    said = data.draw(st.dictionaries(names, scalars, max_size=5))
    if data.draw(st.booleans()):
        said |= {"sample": "embryo 7", "repetition_rate_mhz": 80}
    try:
        checked = check_metadata(template, said)
    except MetadataError as error:
        assert not CONTROL.search(str(error))  # noqa: PT017
        assert len(str(error)) < 1000  # noqa: PT017
        assert error.remedy  # noqa: PT017
    else:
        assert sound(template, checked)


@pytest.mark.parametrize(
    ("said", "what", "remedy"),
    [
        ({}, "technique 'lightsheet' needs the metadata 'sample' (name of the sample", "give --meta sample=…"),
        ({"sample": " "}, "technique 'lightsheet' needs the metadata 'sample'", "give --meta sample=…"),
        ({"detection_n": 1}, "'lightsheet' has no metadata field 'detection_n'", "did you mean detection_na or"),
        ({"Detection_NA": 1}, "no metadata field 'Detection_NA'", "did you mean detection_na or"),
        ({"qq": 1}, "no metadata field 'qq'", "octostream techniques show lightsheet lists its fields"),
        ({"detection_na": 17}, "'detection_na': 17 is out of range", "give a number, 0.01 to 1.7"),
        ({"temperature_c": "310"}, "'temperature_c': 310 is out of range", "give a number, -200 to 100 degC"),
        ({"laser_power_mw": "2 mW"}, "'laser_power_mw': '2 mW' is no number", "without its unit"),
        ({"laser_power_mw": "1,-2"}, "'laser_power_mw': -2 is out of range", "0 to 100000 mW, or several"),
        ({"laser_power_mw": "1,,2"}, "'laser_power_mw': '1,,2' is no number", "or several, one a channel"),
        ({"detection_na": "1,1"}, "'detection_na': '1,1' is more than one number", "with a decimal point"),
        ({"detection_na": "nan"}, "'detection_na': 'nan' is no number", ""),
        ({"detection_na": float("nan")}, "'detection_na': nan is no number", ""),
        ({"detection_na": "١"}, "'detection_na': '١' is no number", ""),
        ({"detection_na": True}, "'detection_na': true is no number", ""),
        ({"detection_na": 10**400}, "is no number", ""),
        ({"views": "2.5"}, "'views': 2.5 is no whole number", "give a whole number, 1 to 360"),
        ({"immersion": "watr"}, "'immersion': 'watr' is none of air, water, water dipping", "give one of these"),
        ({"immersion": 3}, "'immersion': 3 is none of", ""),
        ({"comment": True}, "'comment': true is no text", "put it in words"),
        ({"comment": "a\nb"}, "'comment' has the control character '\\n'", "leave it out"),
        ({"comment": "a\x9bb"}, "'comment' has the control character '\\x9b'", "leave it out"),
        ({"comment": "c" * 4001}, "'comment' has 4001 characters", "give 4000 at most"),
        ({"sample": "s" * 256}, "'sample' has 256 characters", "give 255 at most"),
        ({"sample": "🐟" * 128}, "'sample' has 256 characters", "emoji count twice"),
        ({"comment": "🐟" * 2001}, "'comment' has 4002 characters", "give 4000 at most"),
        ({"comment": "a\uffff"}, "'comment' has '\\uffff', which stands for no character", "leave it out"),
        ({"excitation_nm": "488," * 1000 + "488"}, "'excitation_nm' has 5003 characters", "give 4000 at most"),
    ],
)
def test_a_refusal_names_field_and_reason_and_what_to_do(said, what, remedy):
    with pytest.raises(MetadataError) as refused:
        check_metadata(LIGHTSHEET, {"sample": "a"} | said if said and "sample" not in said else said)
    assert what in refused.value.what
    assert remedy in refused.value.remedy


def test_a_command_line_gives_words_and_the_technique_knows_what_they_are():
    said = {
        "views": "2",
        "sample": 7,
        "immersion": "Water Dipping",
        "excitation_nm": "488,561.5 , 6.4e2",
        "comment": "",
    }
    assert check_metadata(LIGHTSHEET, {**said, "detection_na": 1, "laser_power_mw": 2}) == {
        "sample": "7",
        "excitation_nm": "488, 561.5, 640",
        "laser_power_mw": "2",
        "detection_na": 1.0,
        "immersion": "water dipping",
        "views": 2,
    }
    assert check_metadata(FLAGGED, {"live": "Yes"}) == {"live": True}
    with pytest.raises(MetadataError, match="'live': 'perhaps' is neither true nor false"):
        check_metadata(FLAGGED, {"live": "perhaps"})
    with pytest.raises(MetadataError, match="'live': 1 is neither"):
        check_metadata(FLAGGED, {"live": 1})


def test_free_takes_anything_that_fits_together_into_one_parameter():
    said = {"Laser [mW]": 3, "b": 'it\'s "quoted" \\ ü', "a": True}
    assert check_metadata(FREE, said) == said
    assert parameters_of(FREE, said) == [ParameterValue("metadata", "N/A", json.dumps(said, ensure_ascii=False))]
    for wrong, what in (
        ({"a": "b" * 4001}, "field 'a' has 4001"),
        ({"a": "b" * 3992}, "the metadata have 4001 characters as JSON"),
        ({"a": "🐟" * 1996}, "the metadata have 4001 characters as JSON"),
        ({"sample": "s" * 256}, "field 'sample' has 256 characters"),
        ({"a": float("inf")}, "field 'a': inf is no number"),
        ({"": 1}, "a metadata field has no name"),
        ({"a\nb": 1}, "the name of a metadata field has the control character"),
        ({"n" * 256: 1}, "the name of a metadata field has 256"),
        ({"a": "\x1b[2J"}, "field 'a' has the control character"),
    ):
        with pytest.raises(MetadataError, match=re.escape(what)):
            check_metadata(FREE, wrong)
    assert check_metadata(FREE, {"a": "b" * 3991})
    assert check_metadata(FREE, {" a\n": " b\n"}) == {"a": "b"}


def test_parameters_carry_their_units_and_the_sample_has_a_place_of_its_own():
    said = {"sample": "fish", "temperature_c": 28.5, "views": 2, "excitation_nm": "488", "immersion": "water"}
    assert parameters_of(LIGHTSHEET, said) == [
        ParameterValue("excitation_wavelength", "nm", "488"),
        ParameterValue("immersion", "N/A", "water"),
        ParameterValue("temperature", "degC", 28.5),
        ParameterValue("views", "N/A", 2.0),
    ]
    assert parameters_of(FLAGGED, {"live": False}) == [ParameterValue("live", "N/A", "false")]


def test_what_a_template_that_was_changed_since_has_no_place_for_is_kept():
    said = {"sample": "fish", "views": "many", "detection_na": True, "gone": 3.5}
    assert parameters_of(LIGHTSHEET, said) == [
        ParameterValue("metadata", "N/A", '{"views": "many", "detection_na": true, "gone": 3.5}')
    ]
