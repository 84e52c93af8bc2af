"""All steps that a recipe can name: those of octostream, and those of other packages by entry point."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from ..stream.errors import RecipeError
from .lane_steps import LANE
from .step import Step

#: Entry point group in which other packages offer steps.
GROUP: Final = "octostream.reductions"
#: Modules that offer a step as ``STEP``, in the order in which the steps act. Loaded when they are asked for: some take
#: long to import.
_MODULES: Final[dict[str, str]] = {
    "histogram": "histogram_step",
    "focus": "focus_step",
}


def step_names() -> tuple[str, ...]:
    """Name all steps, in the order in which they act; those of other packages come last."""
    return (*(step.name for step in LANE), *_MODULES, *sorted(_others()))


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
    return _load(name)


def _load(name: str) -> Step:
    try:
        step = _others()[name].load()
    except Exception as error:  # somebody else's package may raise anything
        what = f"step '{name}' of {_others()[name].value} cannot be loaded ({type(error).__name__}: {error})"
        raise RecipeError(what.partition("\n")[0], "repair or uninstall that package") from error
    if not isinstance(step, Step) or step.name != name or step.plan is None:
        what = f"entry point '{name}' of {_others()[name].value} is no step of that name"
        raise RecipeError(what, "let it name an octostream.kernels.step.Step with a plan")
    return step


@cache
def _others() -> dict[str, EntryPoint]:
    known = {*(step.name for step in LANE), *_MODULES}
    return {found.name: found for found in entry_points(group=GROUP) if found.name not in known}
