"""Recipes from names, files and overrides: what they become, and how they are refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octostream.kernels.parameters import MapFile, MapReference
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.kernels.steps import find_step, step_names
from octostream.stream.errors import RecipeError
from octostream.stream.model import Plan


def test_the_built_in_recipe_keeps_the_scale_of_the_counts():
    data = Recipe.load("lightsheet").to_json()
    assert data == {
        "version": 2,
        "name": "lightsheet",
        "calibrate": {"offset": 100, "gain": 1},
        "hot_pixels": {"pixels": []},
        "bin": {"factor": 2, "mode": "mean"},
        "encode": {"pedestal": 100},
        "pyramid": {"until": 256},
        "projections": {"along": ["z", "y", "x"], "modes": ["max"]},
        "statistics": {},
    }
    assert Recipe.load("lightsheet") == Recipe.from_json(data)


def test_overrides_are_numbers_lists_or_files():
    recipe = Recipe.load(
        "lightsheet",
        [
            "calibrate.offset=98",
            "calibrate.offset = 98.5",
            "calibrate.gain=maps/gain.npy",
            "hot_pixels.pixels=[[5,6],[3,4],[5,6]]",
            "bin.factor=4.0",
        ],
    )
    assert recipe.values["calibrate.offset"] == 98.5
    gain = recipe.values["calibrate.gain"]
    assert isinstance(gain, MapFile)
    assert gain.path.parts[-2:] == ("maps", "gain.npy")
    assert recipe.values["hot_pixels.pixels"] == ((3, 4), (5, 6))
    assert recipe.values["bin.factor"] == 4
    assert isinstance(recipe.values["bin.factor"], int)
    assert recipe.values["encode.pedestal"] == 100


def test_files_find_their_maps_beside_them(tmp_path):
    np.save(tmp_path / "gain.npy", np.full((4, 6), 0.5))
    (tmp_path / "scope.toml").write_text(
        'base = "lightsheet"\n[calibrate]\noffset = 98\ngain = "gain.npy"\n[bin]\nfactor = 1\n'
    )
    (tmp_path / "scope.json").write_text(
        '{"name": "scope", "base": "lightsheet", "calibrate": {"offset": 98, "gain": "gain.npy"}, "bin": {"factor": 1}}'
    )
    recipe = Recipe.load(str(tmp_path / "scope.toml"))
    assert recipe == Recipe.load(str(tmp_path / "scope.json"))
    resolved, maps = recipe.resolve((4, 6))
    assert resolved.name == "scope"
    assert list(maps) == ["calibrate.gain"]
    assert maps["calibrate.gain"].dtype == np.float32
    reference = resolved.values["calibrate.gain"]
    assert isinstance(reference, MapReference)
    assert reference.file == "gain.npy"
    assert resolved.values["calibrate.offset"] == 98
    assert str(tmp_path) not in json.dumps(resolved.to_json())
    assert Recipe.from_json(resolved.to_json()) == resolved
    np.save(tmp_path / "gain.npy", np.full((4, 6), 0.25))
    other = recipe.resolve((4, 6))[0].values["calibrate.gain"]
    assert isinstance(other, MapReference)
    assert other.xxh3 != reference.xxh3


numbers = st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6)
coordinates = st.tuples(st.integers(0, 5000), st.integers(0, 5000))


@settings(deadline=None)
@given(
    numbers,
    numbers.filter(lambda gain: gain > 0),
    st.lists(coordinates, max_size=5),
    st.sampled_from([1, 2, 4]),
    st.integers(0, 65535),
    st.integers(1, 9999),
)
def test_the_plain_form_is_json_and_comes_back(offset, gain, pixels, factor, pedestal, until):
    texts = {
        "calibrate.offset": offset,
        "calibrate.gain": gain,
        "hot_pixels.pixels": pixels,
        "bin.factor": factor,
        "encode.pedestal": pedestal,
        "pyramid.until": until,
    }
    recipe = Recipe.load("lightsheet", [f"{key}={json.dumps(value)}" for key, value in texts.items()])
    data = json.loads(json.dumps(recipe.to_json(), allow_nan=False))
    assert Recipe.from_json(data) == recipe
    assert data["calibrate"] == {"offset": offset, "gain": gain}
    assert data["hot_pixels"]["pixels"] == sorted({tuple(p) for p in pixels}) or data["hot_pixels"]["pixels"] == [
        list(p) for p in sorted(set(pixels))
    ]
    assert (data["bin"], data["encode"], data["pyramid"]) == (
        {"factor": factor, "mode": "mean"},
        {"pedestal": pedestal},
        {"until": until},
    )


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("callibrate.offset=98", ["lightsheet", "no step 'callibrate'", "calibrate, hot_pixels, bin, encode"]),
        ("calibrate.ofset=98", ["step 'calibrate'", "lightsheet", "no parameter 'ofset'", "offset, gain"]),
        ("statistics.mean=1", ["step 'statistics'", "it takes none"]),
        ("calibrate.offset", ["calibrate.offset", "step.parameter=value"]),
        ("offset=98", ["offset=98", "step.parameter=value"]),
        ("calibrate.offset=", ["step.parameter=value"]),
        ("calibrate.offset=NaN", ["calibrate.offset", "NaN", "finite"]),
        ("calibrate.offset=-Infinity", ["calibrate.offset", "finite"]),
        ("calibrate.offset=1e39", ["calibrate.offset", "finite"]),
        ("calibrate.offset=true", ["calibrate.offset", "true", "number"]),
        ("calibrate.offset=[98]", ["calibrate.offset", "[98]", "number"]),
        ('calibrate.offset=""', ["calibrate.offset", "number"]),
        ('calibrate.offset={"map": "calibrate.gain", "file": "a", "xxh3": "0123456789abcdef"}', ["calibrate.offset"]),
        ('calibrate.offset={"map": "calibrate.offset", "file": "a", "xxh3": "xyz"}', ["calibrate.offset"]),
        ("calibrate.gain=0", ["calibrate.gain", "above 0"]),
        ("calibrate.gain=-1", ["calibrate.gain", "above 0"]),
        ("bin.factor=3", ["bin.factor", "1, 2, 4 or 8"]),
        ("bin.factor=0", ["bin.factor", "1, 2, 4 or 8"]),
        ("bin.factor=2.5", ["bin.factor", "2.5", "1, 2, 4 or 8"]),
        ("bin.factor=two", ["bin.factor", "two", "1, 2, 4 or 8"]),
        ("encode.pedestal=-1", ["encode.pedestal", "0 to 65535"]),
        ("encode.pedestal=65536", ["encode.pedestal", "0 to 65535"]),
        ("encode.pedestal=0.5", ["encode.pedestal", "whole"]),
        ("pyramid.until=0", ["pyramid.until", "at least 1"]),
        ("hot_pixels.pixels=5", ["hot_pixels.pixels", "[[y, x], ...]"]),
        ("hot_pixels.pixels=[[1,2,3]]", ["hot_pixels.pixels", "[[y, x], ...]"]),
        ("hot_pixels.pixels=[[1,-2]]", ["hot_pixels.pixels", "[[y, x], ...]"]),
        ("hot_pixels.pixels=[[1,2.5]]", ["hot_pixels.pixels", "[[y, x], ...]"]),
    ],
)
def test_an_override_that_does_not_fit_is_refused(override, words):
    with pytest.raises(RecipeError) as caught:
        Recipe.load("lightsheet", [override])
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("lightsheat", None, ["no recipe 'lightsheat'", "lightsheet", ".toml or .json"]),
        ("absent.toml", None, ["absent.toml", "cannot be read", "No such file"]),
        ("a.toml", "[calibrate", ["a.toml", "not TOML"]),
        ("a.json", "{", ["a.json", "not JSON"]),
        ("a.json", b"\xff\xfe", ["a.json", "not JSON"]),
        ("a.json", "[1]", ["'a'", "not a table of steps"]),
        ("a.toml", "[deskew]\nangle = 31.5", ["'a'", "no step 'deskew'", "calibrate"]),
        ("a.toml", "calibrate = 98", ["step 'calibrate'", "'a'", "not a table", "offset, gain"]),
        ("a.toml", "[calibrate]\ndark = 98", ["step 'calibrate'", "no parameter 'dark'"]),
        ("a.toml", "[calibrate]\noffset = nan", ["calibrate.offset", "finite"]),
        ("a.toml", "version = 3", ["'a'", "version 3", "reads version 2", "update"]),
        ("a.toml", "name = 3", ["name", "text"]),
        ("a.toml", 'name = "a\\nb"', ["name", "text"]),
    ],
)
def test_a_recipe_file_that_does_not_fit_is_refused(tmp_path, name, text, words):
    if isinstance(text, bytes):
        (tmp_path / name).write_bytes(text)
    elif text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(RecipeError) as caught:
        Recipe.load(name if text is None and "." not in name else str(tmp_path / name))
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


@pytest.mark.parametrize(
    "data",
    [
        {"calibrate": {"gain": "gain.npy"}},
        {"calibrate": {"gain": "/gain.npy"}},
        {"hot_pixels": {"pixels": "list.csv"}},
        {"calibrate": {"offset": math.inf}},
        {"calibrate": {"offset": None}},
        {"calibrate": {"offset": 10**400}},
        {"version": "1"},
        {"version": None},
        {"extra": {}},
        {"base": "lightsheet"},
        {"bin": 1},
        {"bin": None},
        {5: {}},
        {"name": "", "calibrate": {}},
        [],
        None,
    ],
)
def test_what_arrives_is_not_trusted(data):
    with pytest.raises(RecipeError):
        Recipe.from_json(data)


def test_a_recipe_with_files_does_not_travel(tmp_path):
    recipe = Recipe.load("lightsheet", [f"calibrate.offset={tmp_path / 'dark.tif'}"])
    with pytest.raises(RecipeError, match=r"calibrate\.offset .* still a file"):
        recipe.to_json()


def test_every_parameter_has_a_default_that_it_accepts_and_help():
    for step in map(find_step, step_names()):
        for name, declared in step.declared.items():
            assert declared.kind.accept(declared.default) == declared.default, f"{step.name}.{name}"
            assert declared.help
            assert declared.help == declared.help.strip()


def test_a_recipe_has_the_steps_that_it_names_in_the_order_in_which_they_act(tmp_path):
    (tmp_path / "few.toml").write_text("[encode]\npedestal = 7\n[calibrate]\n")
    recipe = Recipe.load(str(tmp_path / "few.toml"))
    assert recipe.steps == ("calibrate", "encode")
    assert recipe.to_json() == {
        "version": 2,
        "name": "few",
        "calibrate": {"offset": 100, "gain": 1},
        "encode": {"pedestal": 7},
    }


def test_a_base_gives_steps_and_values_and_false_leaves_one_out(tmp_path):
    (tmp_path / "scope.toml").write_text('base = "lightsheet"\npyramid = false\n[calibrate]\noffset = 98\n')
    (tmp_path / "user.toml").write_text('base = "scope.toml"\nname = "mine"\n[bin]\nfactor = 4\n')
    recipe = Recipe.load(str(tmp_path / "user.toml"))
    assert recipe.name == "mine"
    assert recipe.steps == tuple(s for s in Recipe.load("lightsheet").steps if s != "pyramid")
    assert (recipe.values["calibrate.offset"], recipe.values["bin.factor"]) == (98, 4)
    assert not [key for key in recipe.values if key.startswith("pyramid")]


def test_overrides_add_steps_and_leave_them_out():
    recipe = Recipe.load("lightsheet", ["projections=false", "pyramid=false", "pyramid=true", "pyramid.until=9"])
    assert "projections" not in recipe.steps
    assert recipe.values["pyramid.until"] == 9
    with pytest.raises(RecipeError, match=r"leaves the step 'bin' out.*bin=true"):
        Recipe.load("lightsheet", ["bin=false", "bin.factor=1"])


@pytest.mark.parametrize("base", ['"a.toml"', "3", '"nothing"'])
def test_a_base_that_cannot_be_is_refused(tmp_path, base):
    (tmp_path / "a.toml").write_text(f"base = {base}")
    with pytest.raises(RecipeError, match=r"base|no recipe"):
        Recipe.load(str(tmp_path / "a.toml"))


def test_stacks_are_whole_for_recipes_that_need_that_and_only_where_they_would_be_split():
    short, long = Plan((2, 1, 4, 64, 64), rate_hz=4.0), Plan((2, 1, 5, 64, 64), rate_hz=4.0)
    for asked, needs in (([], False), (["hot_test=true"], False), (["foreground=true"], True), (["keep=true"], True)):
        recipe = Recipe.load("lightsheet", asked)
        assert recipe.suited(short) is short
        assert recipe.suited(long).whole_stacks == needs
        plan_reduction(recipe, recipe.suited(long))
    with pytest.raises(RecipeError, match="plan the run with whole_stacks"):
        plan_reduction(Recipe.load("lightsheet-compact"), long)
