"""All steps that a recipe can name: those of octostream, and those of other packages by entry point."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Final

from ..stream.errors import RecipeError
from .lane_steps import LANE
from .offers import Offer, Trouble, load, usable
from .step import Step

#: Steps of other packages act before this one, the first that puts something else in the place of counts.
_CHANGES: Final = "foreground"
#: Modules that offer a step as ``STEP``, in the order in which the steps act. Loaded when they are asked for: some take
#: long to import.
_MODULES: Final[dict[str, str]] = {
    "histogram": "histogram_step",
    "focus": "focus_step",
    "hot_test": "hot_test",
    "foreground": "foreground_step",
    "keep": "keep_step",
    "quantise": "quantise_step",
    "drift": "drift_series",
    "baseline": "baseline_series",
    "events": "event_series",
    "moments": "moments",
    "time_projections": "time_projections",
}


def step_names() -> tuple[str, ...]:
    """Name all steps, in the order in which they act; those of other packages before any that changes the counts."""
    own = _own()
    place = own.index(_CHANGES)
    return (*own[:place], *_others(), *own[place:])


@cache
def find_step(name: str) -> Step:
    """Give a step by name.

    Raises
    ------
    RecipeError
        If there is none, or the package that offers it cannot be used.
    """
    for step in LANE:
        if step.name == name:
            return step
    if name in _MODULES:
        return import_module(f".{_MODULES[name]}", __package__).STEP
    if name not in _others():
        raise RecipeError(f"there is no step '{name}'", f"the steps are {', '.join(step_names())}")
    return load(_others()[name])


def origin(name: str) -> str:
    """Say where a step comes from: ``"octostream"``, or the package that offers it."""
    return _others()[name].origin if name in _others() else "octostream"


def survey() -> tuple[tuple[Step, ...], tuple[Trouble, ...]]:
    """Give all steps that can be used, and those of other packages that cannot; all are loaded for that.

    Returns
    -------
    steps : tuple of Step
        In the order in which they act.
    troubles : tuple of Trouble
    """
    steps: list[Step] = []
    troubles = list(usable(_own())[1])
    for name in step_names():
        try:
            steps.append(find_step(name))
        except RecipeError as error:
            troubles.append(Trouble(name, origin(name), str(error)))
    return tuple(steps), tuple(troubles)


def _own() -> tuple[str, ...]:
    return (*(step.name for step in LANE), *_MODULES)


def _others() -> dict[str, Offer]:
    return usable(_own())[0]
