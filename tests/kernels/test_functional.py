"""The recipe `lightsheet-functional`: from raw frames to drift, ΔF/F and events, of a field that moves and flashes."""

from __future__ import annotations

import numpy as np
import pytest
from octostream.kernels.following import plan_follower
from octostream.kernels.recipe import Recipe
from octostream.kernels.recipe_file import BUILT_IN
from octostream.kernels.reduction import plan_reduction
from octostream.stream.errors import RecipeError
from octostream.stream.model import Plan

from .followed import followed
from .scenes import moved, texture

SHAPE = (24, 1, 1, 300, 320)
#: Time point and place of a flash, raw pixels.
FLASH = (15, 140, 200)


def frames():
    """Give raw frames of a field that moves by (0.8, -0.5) a time point, in which one place flashes."""
    scene = texture((340, 360), 4, fine=8.0)
    y, x = np.mgrid[: SHAPE[3], : SHAPE[4]]
    for t in range(SHAPE[0]):
        light = moved(scene, 0.8 * t, -0.5 * t)[20 : 20 + SHAPE[3], 20 : 20 + SHAPE[4]].astype(float)
        if FLASH[0] <= t < FLASH[0] + 6:
            light += 1500 * np.exp(-((y - FLASH[1]) ** 2 + (x - FLASH[2]) ** 2) / 200)
        yield np.random.default_rng(t).poisson(light).astype(np.uint16)


def test_a_field_that_moves_and_flashes():
    plan = Plan(SHAPE)
    reduction = plan_reduction(Recipe.load("lightsheet-functional", ["drift.correct=true"]), plan)
    reducer, images = reduction.reducer(), []
    numbered = enumerate(frames())
    for block in plan.blocks:
        reducer.begin(block)
        for number, frame in numbered:
            reducer.add(number, frame)
            if number == block.last:
                break
        images.append(reducer.finish()["1"].copy())
    made, tables = followed(reduction, np.concatenate(images), np.ones(SHAPE[:3], bool))
    drift, events = tables["drift"], tables["events"]
    t = np.arange(SHAPE[0])
    assert drift["dy"] == pytest.approx(0.8 * t, abs=1)
    assert drift["dx"] == pytest.approx(-0.5 * t, abs=1)
    # The flash stays where it is on the sensor, the field goes on: moved back, it has moved the other way.
    place = FLASH[1] - 0.8 * FLASH[0], FLASH[2] + 0.5 * FLASH[0]
    assert events["first"].tolist() == [FLASH[0]]
    assert (events["y"][0], events["x"][0]) == pytest.approx(place, abs=6)
    change = made["dff/0"][:, 0, 0, int(place[0] / 4), int(place[1] / 4)]
    assert change[FLASH[0]] > 0.5 > 0.2 > abs(change[:15]).max()


def test_it_follows_the_level_of_4_raw_pixels():
    assert "lightsheet-functional" in BUILT_IN
    recipe = Recipe.load("lightsheet-functional")
    assert set(recipe.steps) == {*Recipe.load("lightsheet").steps, "drift", "baseline", "events"}
    for size in (260, 2048):
        reduction = plan_reduction(recipe, Plan((5, 1, 1, size, size)))
        assert plan_follower(reduction.series).level == "1"
    with pytest.raises(RecipeError, match=r"drift\.bin is 4, and no level has pixels of that size: give one of 2"):
        plan_reduction(recipe, Plan((5, 1, 1, 250, 250)))
