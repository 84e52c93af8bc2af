"""Projections of every kind against NumPy over the frames that came, whole stacks and split ones."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from octostream.kernels.contract_runs import Case, run
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.stream import model
from octostream.stream.errors import RecipeError
from octostream.stream.model import Plan, Product

AXES = {"z": (2, "xy"), "y": (3, "xz"), "x": (4, "yz")}


def expected(level0, present, along, modes):
    """Project with NumPy: a frame that never came counts along z as if the stack were shorter."""
    made = {}
    for axis in along:
        k, name = AXES[axis]
        there = np.broadcast_to(present[..., None, None], level0.shape)
        for mode in modes:
            if mode == "mean":
                sums = np.where(there, level0.astype(np.int64), 0).sum(axis=k)
                array = np.rint(sums / np.maximum(there.sum(axis=k), 1))
            else:
                start = {"max": 0, "min": 65535}[mode]
                array = getattr(np, mode)(level0, axis=k, where=there, initial=start)
            path = f"projections/{name}" + ("" if mode == "max" else f"-{mode}")
            made[path] = np.where(there.any(axis=k), array, 0).astype(np.uint16)
    return made


def project(plan, recipe, frames, present):
    """Reduce the frames that came, and merge the parts of split stacks as a store does."""
    made = run(plan_reduction(recipe, plan), Case(frames, present, 1, -1)).arrays
    return {path: array for path, array in made.items() if path.startswith("projections/")}


def some(values):
    return st.lists(st.sampled_from(values), min_size=1, unique=True)


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 5), st.integers(1, 9), st.integers(1, 40)),
    some("zyx"),
    some(["max", "min", "mean"]),
    st.sampled_from([0, 0.3, 0.9]),
    st.integers(1, 12),
    st.integers(0, 2**32 - 1),
)
@example((2, 1, 4, 3, 5), ["z", "y", "x"], ["max", "min", "mean"], 0.5, 1, 0)
@example((2, 1, 4, 3, 5), ["z", "y", "x"], ["max"], 0.5, 99, 0)
@example((1, 1, 2, 1, 1), ["z"], ["min"], 1.0, 1, 0)
@example((3, 2, 1, 3, 5), ["z"], ["max", "min", "mean"], 0.5, 99, 0)
def test_any_projections_of_the_frames_that_came(shape, along, modes, missing, limit, seed):
    rng = np.random.default_rng(seed)
    frames = rng.choice([0, 1, 1000, 65535], shape).astype(np.uint16) if seed % 2 else rng.integers(0, 9, shape)
    frames = frames.astype(np.uint16)
    present = rng.random(shape[:3]) >= missing
    recipe = Recipe.load(
        "lightsheet",
        [
            f"projections.along={list(along)}".replace("'", '"'),
            f"projections.modes={list(modes)}".replace("'", '"'),
            "bin=false",
            "calibrate=false",
            "encode=false",
        ],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "BLOCK_FRAMES", limit)
        got = project(Plan(shape), recipe, frames, present)
    wanted = expected(frames, present, along, modes)
    assert set(got) == set(wanted)
    for path, array in wanted.items():
        np.testing.assert_array_equal(got[path], array, path)


def test_products_of_all_projections():
    recipe = Recipe.load("lightsheet", ['projections.modes=["mean", "max", "min"]', 'projections.along=["x", "z"]'])
    products = plan_reduction(recipe, Plan((2, 3, 5, 256, 128))).products
    tcyx, tczy = (2, 3, 128, 64), (2, 3, 5, 128)
    assert products[1:] == (
        Product("projections/xy", "tcyx", tcyx, "uint16", 2, "max", follows="level 0"),
        Product("projections/xy-min", "tcyx", tcyx, "uint16", 2, "min", follows="level 0"),
        Product("projections/xy-mean", "tcyx", tcyx, "uint16", 2, "mean", follows="level 0"),
        Product("projections/yz", "tczy", tczy, "uint16", 2, follows="level 0"),
        Product("projections/yz-min", "tczy", tczy, "uint16", 2, follows="level 0"),
        Product("projections/yz-mean", "tczy", tczy, "uint16", 2, follows="level 0"),
    )


def test_halves_go_to_the_even_neighbour():
    frames = np.array([[[0, 1], [3, 0]], [[1, 0], [2, 1]]], np.uint16)[None, None]
    recipe = Recipe.load("lightsheet", ['projections.modes=["mean"]', "bin=false", "calibrate=false", "encode=false"])
    got = project(Plan(frames.shape), recipe, frames, np.ones((1, 1, 2), bool))
    assert got["projections/xy-mean"].ravel().tolist() == [0, 0, 2, 0]
    assert got["projections/xz-mean"].ravel().tolist() == [2, 0, 2, 0]
    assert got["projections/yz-mean"].ravel().tolist() == [0, 2, 0, 2]


def test_without_projections_there_are_no_buffers_for_them():
    reduction = plan_reduction(Recipe.load("lightsheet", ["projections=false"]), Plan((1, 1, 4, 64, 64)))
    assert [p.path for p in reduction.products] == ["0"]
    reducer = reduction.reducer()
    assert reducer._work._lane._views._buffers == {}
    reducer.begin(reduction.plan.blocks[0])
    assert set(reducer.finish()) == {"0"}


@pytest.mark.parametrize(("shape", "axis"), [((1, 1, 65538, 1, 1), "z"), ((1, 1, 1, 1, 65538), "x")])
def test_a_mean_that_32_bits_cannot_hold_is_refused(shape, axis):
    texts = [f'projections.along=["{axis}"]', "bin.factor=1"]
    plan_reduction(Recipe.load("lightsheet", texts), Plan(shape))
    with pytest.raises(RecipeError, match=rf"projections.modes has mean.* 65538 pixels along {axis}"):
        plan_reduction(Recipe.load("lightsheet", [*texts, 'projections.modes=["mean"]']), Plan(shape))


def test_a_mean_of_as_many_as_32_bits_hold():
    frames = np.full((1, 1, 1, 1, 65537), 65535, np.uint16)
    recipe = Recipe.load(
        "lightsheet", ['projections.modes=["mean"]', "bin=false", "calibrate=false", "encode=false", "pyramid=false"]
    )
    got = project(Plan(frames.shape), recipe, frames, np.ones((1, 1, 1), bool))
    assert got["projections/yz-mean"].ravel().tolist() == [65535]
