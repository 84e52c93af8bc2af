"""What a step stands on: levels that hold counts, stacks that lie whole in a block, parts of products."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest
from octostream.kernels.binning import CellNoise
from octostream.kernels.plugin import NoParameters
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.kernels.step import Planned, Setting, Step, part_size
from octostream.stream.errors import RecipeError
from octostream.stream.model import Plan, Product, block_limit

PLAN = Plan((7, 1, 12, 64, 64), rate_hz=12.0)
LEVELS = (Product("0", "tczyx", (7, 1, 12, 32, 32), "uint16", 2), Product("1", "tczyx", (7, 1, 12, 16, 16), "u2", 4))
SETTING = Setting(PLAN, LEVELS, 100, CellNoise(0.25, 2))


@pytest.mark.parametrize("needs", [False, True])
def test_a_step_that_needs_whole_stacks_has_only_to_say_so(needs):
    step = Step("probe", "stack", "a probe", NoParameters, lambda told, setting: Planned(), whole_stacks=needs)
    split, recipe = replace(PLAN, shape=(7, 1, 13, 64, 64)), Recipe.load("lightsheet")
    with pytest.raises(RecipeError, match="probe needs whole stacks") if needs else nullcontext():
        plan_reduction(recipe, split, extra=[(step, NoParameters())])
    plan_reduction(recipe, replace(split, whole_stacks=True), extra=[(step, NoParameters())])


def test_a_level_is_found_by_the_size_of_its_pixels():
    assert SETTING.level("drift.bin", 4) is LEVELS[1]
    with pytest.raises(RecipeError, match=r"drift.bin is 8, and no level has pixels of that size: give one of 2, 4"):
        SETTING.level("drift.bin", 8)


def test_levels_that_are_no_counts_any_more_are_refused():
    with pytest.raises(
        RecipeError, match=r"drift needs counts, and quantise puts something else in their place: leave"
    ):
        replace(SETTING, changed_by="quantise").level("drift.bin", 4)


def test_stacks_that_are_split_are_refused():
    SETTING.whole_stacks("foreground")
    longer = replace(SETTING, plan=replace(PLAN, shape=(7, 1, 13, 64, 64)))
    with pytest.raises(RecipeError, match=r"foreground needs whole .* 13 planes .*: plan the run with whole_stacks"):
        longer.whole_stacks("foreground")
    replace(longer, plan=replace(longer.plan, whole_stacks=True)).whole_stacks("foreground")
    large = replace(SETTING, plan=Plan((7, 1, 129, 2048, 2048), whole_stacks=True))
    with pytest.raises(
        RecipeError, match=r"foreground needs whole .* 129 planes .*: take stacks of at most 128 planes"
    ):
        large.whole_stacks("foreground")
    assert (block_limit(PLAN), block_limit(replace(PLAN, rate_hz=None))) == (12, 1024)


def test_a_part_is_as_large_as_a_block_or_as_its_own_axes():
    plan = Plan((7, 2, 3, 64, 64), rate_hz=12.0)
    assert plan.blocks.step == (2, 2, 3)
    assert part_size(Product("0", "tczyx", (7, 2, 3, 5, 6), "uint16", 2), plan) == 2 * 2 * 3 * 30
    assert part_size(Product("projections/xy", "tcyx", (7, 2, 5, 6), "uint16", 2), plan) == 4 * 30
    assert part_size(Product("deskewed/0", "tczyx", (7, 2, 9, 5, 6), "uint16", 2, own="z"), plan) == 4 * 9 * 30
