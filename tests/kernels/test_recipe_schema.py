"""The schema of recipe files says what reading them says."""

import json
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from octostream.kernels.kinds import Choice, Flag, Number, Pixels, Several, Whole
from octostream.kernels.recipe import Recipe
from octostream.kernels.recipe_file import BUILT_IN, built_in_text
from octostream.kernels.recipe_schema import recipe_schema
from octostream.kernels.steps import find_step, step_names
from octostream.stream.errors import RecipeError

from .random_recipes import anything, recipes, values

SCHEMA = recipe_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
KINDS = [p.kind for name in step_names() for p in find_step(name).declared.values()]
KINDS += [Number("counts", 0, above=True), Number(), Whole("pixels", 1, 7), Choice((1, 2, 4)), Choice(("a", "b"))]
KINDS += [Flag(), Several(Choice(("z", "y"))), Several(Number("", 0, 100), 3), Pixels()]
KINDS = list(dict.fromkeys(KINDS))  # parameters of the same kind are the same question


def test_it_is_a_schema():
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    json.dumps(SCHEMA, allow_nan=False)


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_recipes_validate(name):
    VALIDATOR.validate(tomllib.loads(built_in_text(name)))
    VALIDATOR.validate(Recipe.load(name).to_json())


def test_every_parameter_is_in_it_with_default_and_help():
    for name in step_names():
        told = SCHEMA["properties"][name]["anyOf"][0]["properties"]
        assert list(told) == list(find_step(name).declared)
        for parameter in find_step(name).declared.values():
            said = told[parameter.name]
            assert said["description"] == f"{parameter.help}: {parameter.what}"
            assert json.dumps(said["default"]) == json.dumps(parameter.default)


@given(recipes())
def test_what_a_recipe_may_say_validates(data):
    VALIDATOR.validate(data)


@pytest.mark.parametrize("kind", KINDS, ids=repr)
@settings(max_examples=50)
@given(st.data())
def test_a_kind_takes_what_its_schema_says(kind, data):
    value = data.draw(values(kind) | anything)
    try:
        kind.accept(value)
        taken = True
    except (ValueError, OverflowError, TypeError):
        taken = False
    assert Draft202012Validator(kind.schema()).is_valid(value) == taken


@pytest.mark.parametrize(
    "data",
    [
        [],
        None,
        {"name": ""},
        {"name": 3},
        {"name": "a\nb"},
        {"name": "a" * 101},
        {"version": 3},
        {"version": "2"},
        {"version": None},
        {"base": 3},
        {"nothing": {}},
        {"bin": 1},
        {"bin": None},
        {"bin": {"factor": 3}},
        {"bin": {"factor": True}},
        {"bin": {"side": 2}},
        {"calibrate": {"gain": 0}},
        {"calibrate": {"offset": None}},
        {"calibrate": {"offset": 1e39}},
        {"calibrate": {"offset": ""}},
        {"calibrate": {"offset": {"map": "calibrate.gain", "file": "a", "xxh3": "0123456789abcdef"}}},
        {"calibrate": {"offset": {"map": "calibrate.offset", "file": "a", "xxh3": "xyz"}}},
        {"hot_pixels": {"pixels": [[1, 2, 3]]}},
        {"hot_pixels": {"pixels": [[1, -2]]}},
        {"encode": {"pedestal": 0.5}},
        {"projections": {"along": ["t"]}},
    ],
)
def test_what_is_refused_does_not_validate(data, tmp_path):
    assert not VALIDATOR.is_valid(data)
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(RecipeError):
        Recipe.load(str(tmp_path / "a.json"))


def test_files_and_references_validate():
    VALIDATOR.validate({"base": "mine.toml", "calibrate": {"gain": "gain.npy"}, "pyramid": False})
    reference = {"map": "calibrate.gain", "file": "a", "xxh3": "0123456789abcdef"}
    VALIDATOR.validate({"calibrate": {"gain": reference}})
