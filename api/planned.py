"""The reduction of a run, from its description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from ..kernels.parameters import MapReference
from ..kernels.recipe import Recipe
from ..kernels.reduction import Reduction, plan_reduction
from ..stream.model import Run


def reduction_of(run: Run, maps: Mapping[str, NDArray[Any]]) -> Reduction:
    """Make the recipe of a run ready.

    Parameters
    ----------
    run : Run
    maps : mapping
        Calibration arrays that the recipe refers to, by ``"step.parameter"``.

    Raises
    ------
    RecipeError
        If it names a step that is not installed here, or a map does not fit.
    """
    return plan_reduction(Recipe.from_json(run.recipe), run.plan, maps, keep_raw=run.keep_raw)


def reduction_without_maps(run: Run) -> Reduction:
    """Give what follows a run and what its steps hold; frames cannot be reduced by it, so it needs no calibration map.

    Raises
    ------
    RecipeError
        If it names a step that is not installed here.
    """
    recipe = Recipe.from_json(run.recipe)
    numbers = {key: value for key, value in recipe.values.items() if not isinstance(value, MapReference)}
    return plan_reduction(replace(recipe, values=numbers), run.plan, keep_raw=run.keep_raw)
