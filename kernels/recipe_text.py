"""Recipes as commented TOML, for people: every parameter with what it does, what it may be, and its default."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any, Final

from .parameters import MapFile, MapReference, Parameter
from .recipe import VERSION, Recipe
from .step import Step
from .steps import find_step, survey

_WIDTH: Final = 110


def recipe_text(recipe: Recipe) -> str:
    """Give a recipe in full; reading it as a file gives the same recipe.

    Parameters
    ----------
    recipe : Recipe
        Map files are named with the path that it has for them, made absolute.

    Returns
    -------
    str
        TOML.
    """
    lines = [f"name = {_toml(recipe.name)}", f"version = {VERSION}"]
    for name in recipe.steps:
        step = find_step(name)
        lines += ["", *_comment(_about(step)), f"[{name}]"]
        for parameter in step.declared.values():
            lines += [*_comment(_explained(parameter)), _line(parameter, recipe.values[f"{name}.{parameter.name}"])]
    return "\n".join(lines) + "\n"


def step_text(step: Step, origin: str) -> str:
    """Give one step with its defaults, as a part of a recipe.

    Parameters
    ----------
    step : Step
    origin : str
        Where it comes from.

    Returns
    -------
    str
        TOML, readable as a recipe of this step alone.
    """
    formula = _formula(step)
    lines = [
        *_comment(_about(step)),
        *_comment(formula if formula != step.summary else ""),
        *_comment(f"from {origin}"),
    ]
    lines.append(f"[{step.name}]")
    for parameter in step.declared.values():
        lines += [*_comment(_explained(parameter)), _line(parameter, parameter.default)]
    return "\n".join(lines) + "\n"


def starter_text(name: str, base: str, steps: Iterable[str]) -> str:
    """Give the beginning of somebody's own recipe: what its base does, and every parameter ready to be changed.

    Parameters
    ----------
    name : str
        Of the new recipe.
    base : str
        As the file shall name it.
    steps : iterable of str
        Those of the base.

    Returns
    -------
    str
        TOML; lines that begin with ``#`` and no space are settings, left out.
    """
    there, usable = set(steps), survey()[0]
    others = [step for step in usable if step.name not in there]
    lines = [
        *_comment(f"A recipe for octostream. It does what {base} does; take away the # before a line to change it."),
        f"name = {_toml(name)}",
        f"base = {_toml(base)}",
        "",
        *_comment("Steps of the base. A line 'step = false' above the first of them leaves one out."),
        *(line for step in usable if step.name in there for line in _starter(step, "")),
        *(["", *_comment("Further steps, in the order in which they act.")] if others else []),
        *(line for step in others for line in _starter(step, "#")),
    ]
    return "\n".join(lines) + "\n"


def _starter(step: Step, mark: str) -> Iterator[str]:
    yield ""
    yield from _comment(_about(step))
    yield f"{mark}[{step.name}]"
    for parameter in step.declared.values():
        yield from _comment(_explained(parameter))
        yield f"#{_line(parameter, parameter.default)}"


def _about(step: Step) -> str:
    return f"{step.name} ({step.kind}): {step.summary}"


def _formula(step: Step) -> str:
    """Give the first paragraph of what the parameters' class says; dataclasses without one get a signature."""
    text = (step.parameters.__doc__ or "").strip()
    return "" if text.startswith(f"{step.parameters.__name__}(") else text.partition("\n\n")[0]


def _explained(parameter: Parameter) -> str:
    return f"{parameter.help}; {parameter.what}; default {_toml(parameter.default)}"


def _line(parameter: Parameter, value: Any) -> str:
    return f"{parameter.name} = {_toml(value)}"


def _comment(text: str) -> list[str]:
    plain = "".join(c if c.isprintable() else " " for c in text)
    return [f"# {line}" for line in textwrap.wrap(plain, _WIDTH, break_long_words=False, break_on_hyphens=False)]


def _toml(value: Any) -> str:
    if isinstance(value, MapFile):
        return _text(str(value.path.absolute()))
    if isinstance(value, MapReference):
        return f"{{ map = {_text(value.map)}, file = {_text(value.file)}, xxh3 = {_text(value.xxh3)} }}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _text(value) if isinstance(value, str) else repr(value)


def _text(text: str) -> str:
    # JSON and TOML quote alike but for the one control character that JSON lets pass.
    return re.sub("\x7f", r"\\u007f", json.dumps(text, ensure_ascii=False))
