"""Recipes as text: what is shown is what is read again."""

import json
import re
import tomllib

import pytest
from hypothesis import given, reject
from octostream.kernels.recipe import Recipe
from octostream.kernels.recipe_file import BUILT_IN, built_in_summary
from octostream.kernels.recipe_text import recipe_text, starter_text, step_text
from octostream.kernels.steps import find_step, origin, step_names
from octostream.stream.errors import RecipeError

from .random_recipes import recipes


def read(folder, text):
    (folder / "shown.toml").write_text(text, encoding="utf-8")
    return Recipe.load(str(folder / "shown.toml"))


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_recipe_is_shown_in_full(tmp_path, name):
    recipe = Recipe.load(name)
    text = recipe_text(recipe)
    assert read(tmp_path, text) == recipe
    told = tomllib.loads(text)
    assert {step: set(told[step]) for step in recipe.steps} == {s: set(find_step(s).declared) for s in recipe.steps}
    for step in recipe.steps:
        for parameter in find_step(step).declared.values():
            comment = " ".join(re.findall(r"^# (.*)$", text, re.MULTILINE))
            assert f"{parameter.help}; {parameter.what}; default " in comment


@given(recipes())
def test_any_recipe_is_read_as_it_is_shown(tmp_path_factory, data):
    try:
        recipe = Recipe.from_json(data)
    except RecipeError:
        reject()  # parameters that do not go together
    assert read(tmp_path_factory.getbasetemp(), recipe_text(recipe)) == recipe


def test_files_and_references_are_shown(tmp_path):
    offset = tmp_path / 'a "quoted" \x7f name.npy'
    override = f"calibrate.offset={json.dumps(str(offset))}"
    reference = {"map": "calibrate.gain", "file": "g.npy", "xxh3": "0123456789abcdef"}
    recipe = Recipe.load("lightsheet", [override, f"calibrate.gain={json.dumps(reference)}", "calibrate.offset=98"])
    assert read(tmp_path, recipe_text(recipe)) == recipe
    recipe = Recipe.load("lightsheet", [override])
    assert recipe.values["calibrate.offset"].path == offset
    assert read(tmp_path, recipe_text(recipe)) == recipe


@pytest.mark.parametrize("name", step_names())
def test_a_step_is_shown_as_a_recipe_of_its_own(tmp_path, name):
    text = step_text(find_step(name), origin(name))
    recipe = read(tmp_path, text)
    assert recipe.steps == (name,)
    assert recipe.values == {f"{name}.{p.name}": p.default for p in find_step(name).declared.values()}
    assert "# from octostream\n" in text


@pytest.mark.parametrize("base", BUILT_IN)
def test_a_new_recipe_does_what_its_base_does_and_every_setting_can_be_taken_in(tmp_path, base):
    steps = Recipe.load(base).steps
    text = starter_text("mine", base, steps)
    same = read(tmp_path, text)
    assert (same.name, same.steps, same.values) == ("mine", steps, Recipe.load(base).values)
    everything = read(tmp_path, re.sub(r"^#(?=\S)", "", text, flags=re.MULTILINE))
    assert everything.steps == step_names()
    assert everything.values == {
        f"{s}.{p.name}": p.default for s in step_names() for p in find_step(s).declared.values()
    }


def test_comments_stay_comments():
    assert all(re.match(r"# |#\S|\[|\w+ = |$", line) for line in starter_text("a", "lightsheet", ()).splitlines())
    assert all(built_in_summary(name).endswith(".") for name in BUILT_IN)
    assert "\n" not in "".join(map(built_in_summary, BUILT_IN))
