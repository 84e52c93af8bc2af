"""Following a run: one level, every time point once and in order, each step after the one before it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from octostream.kernels.following import Follower, plan_follower
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.kernels.step import Planned
from octostream.stream.errors import RecipeError
from octostream.stream.model import Plan, Product

from .followed import followed, images_of, planned

SHAPE = (3, 2, 2, 4, 5)


class Doubled:
    """Passes twice the images on, and notes what it was given."""

    def __init__(self, path, factor=2):
        self.path, self.factor, self.seen = path, factor, []

    def take(self, t, images, present, out):
        self.seen.append((t, images.copy(), [array.copy() for array in out.values()]))
        out[self.path][present] = images[present] * np.uint16(self.factor)
        if "mean/0" in out:
            out["mean/0"][present] = 1
        return {self.path: {"frame": np.array([t])}}

    def finish(self):
        return {f"{self.path}/end": np.array([len(self.seen)])}


def doubling(path, series, passes_on=True, level="0", dtype="uint16"):
    product = Product(path, "tczyx", SHAPE, dtype, 1, stage="series")
    return Planned((product,), series=lambda: series, level=level, passes_on=path if passes_on else "", held_bytes=7)


def test_what_a_step_passes_on_is_what_the_next_one_takes():
    first, second, third = Doubled("a/0"), Doubled("b/0", 3), Doubled("c/0")
    steps = (doubling("a/0", first), doubling("b/0", second, passes_on=False), doubling("c/0", third))
    reduction = replace(planned(SHAPE), series=steps)
    images, present = images_of(SHAPE, "any", 0)
    images //= 16
    follower = Follower(reduction)
    for t in range(3):
        arrays, rows = follower.take(t, images[t], present[t])
        assert (arrays["a/0"] == images[t] * 2).all()
        assert (arrays["b/0"] == images[t] * 6).all()
        assert (arrays["c/0"] == images[t] * 4).all()
        assert rows == {path: {"frame": [t]} for path in ("a/0", "b/0", "c/0")}
    assert [t for t, *_ in third.seen] == [0, 1, 2]
    assert not any(array.any() for _, _, arrays in first.seen + third.seen for array in arrays)
    assert follower.finish() == {"a/0/end": [3], "b/0/end": [3], "c/0/end": [3]}
    assert images.flags.writeable


def test_arrays_of_floats_are_nothing_before_they_are_filled():
    seen = Doubled("a/0")
    step = doubling("a/0", seen)
    values = Product("mean/0", "tczyx", SHAPE, "float32", 1, stage="series")
    follower = Follower(replace(planned(SHAPE), series=(replace(step, products=(*step.products, values)),)))
    for t in range(2):
        arrays, _ = follower.take(t, np.full(SHAPE[1:], 9, np.uint16), np.array([[True, False], [False, True]]))
        assert np.isnan(arrays["mean/0"][0, 1]).all()
        assert (arrays["mean/0"][0, 0] == 1).all()
    assert all(np.isnan(arrays[1]).all() for _, _, arrays in seen.seen)


def test_steps_do_not_write_to_the_images():
    class Rude(Doubled):
        def take(self, t, images, present, out):
            images[0] = 1
            return {}

    for steps in ((Rude("a/0"),), (Doubled("a/0"), Rude("b/0"))):
        series = tuple(doubling(step.path, step) for step in steps)
        follower = Follower(replace(planned(SHAPE), series=series))
        with pytest.raises(ValueError, match="read-only"):
            follower.take(0, np.zeros(SHAPE[1:], np.uint16), np.ones((2, 2), bool))


def test_memory_is_that_of_the_steps_and_of_their_arrays():
    steps = (doubling("a/0", Doubled("a/0")), doubling("b/0", Doubled("b/0"), dtype="float32"))
    assert plan_follower(steps).held_bytes == 2 * 7 + 80 * (2 + 4)
    assert Follower(replace(planned(SHAPE), series=steps)).held_bytes == plan_follower(steps).held_bytes
    assert plan_follower(()).level == ""


def test_one_level_is_followed():
    steps = (doubling("a/0", Doubled("a/0")), doubling("b/0", Doubled("b/0"), level="2"))
    with pytest.raises(RecipeError, match="look at levels 0, 2: let them look at one level: give all of them the same"):
        plan_follower(steps)
    texts = ["moments.bin=4", "time_projections.bin=2"]
    with pytest.raises(RecipeError, match="look at levels 0, 1"):
        plan_reduction(
            Recipe.load("lightsheet", ["moments=true", "time_projections=true", *texts]), Plan((1, 1, 1, 600, 600))
        )


def test_the_level_is_the_one_with_such_pixels():
    plan = Plan((2, 1, 1, 1030, 520))
    reduction = plan_reduction(Recipe.load("lightsheet", ["moments=true"]), plan)
    assert plan_follower(reduction.series).level == "1"
    made, _ = followed(reduction, np.full((2, 1, 1, 258, 130), 7, np.uint16), np.ones((2, 1, 1), bool))
    assert (made["moments/mean"] == 7).all()
    with pytest.raises(
        RecipeError, match=r"moments\.bin is 64, and no level has pixels of that size: give one of 2, 4, 8"
    ):
        plan_reduction(Recipe.load("lightsheet", ["moments=true", "moments.bin=64"]), plan)


def test_time_points_and_images_that_do_not_fit_are_refused():
    follower = Follower(planned(SHAPE, "moments=true", "moments.bin=1"))
    images, present = np.zeros(SHAPE[1:], np.uint16), np.ones((2, 2), bool)
    with pytest.raises(ValueError, match="time point 1 came where 0 is next"):
        follower.take(1, images, present)
    for wrong in (images[:1], images.astype(np.int16), np.zeros((2, 2, 4, 10), np.uint16)[..., ::2]):
        with pytest.raises(ValueError, match="not C-contiguous uint16"):
            follower.take(0, wrong, present)
    for wrong in (present[:1], present.astype(int)):
        with pytest.raises(ValueError, match="not bool"):
            follower.take(0, images, wrong)
    follower.take(0, images, present)
    with pytest.raises(ValueError, match="time point 0 came where 1 is next"):
        follower.take(0, images, present)
