"""A recipe: the declared reductions of a run with their parameters, as data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ..stream.errors import RecipeError
from ..stream.model import Plan
from .maps import check_map, digest, read_map
from .parameters import MapFile, MapReference, Parameter, Parameters, accept
from .recipe_file import BUILT_IN, HEADINGS, read_recipe
from .steps import find_step, step_names

#: Version of the plain form that `Recipe.to_json` writes.
VERSION: Final = 2


@dataclass(frozen=True)
class Recipe:
    """Reductions with all parameters known.

    Attributes
    ----------
    name : str
        ``"lightsheet"``, or what a file calls itself.
    steps : tuple of str
        Those it names, in the order in which they act.
    values : mapping
        Value of each ``"step.parameter"`` of these steps; treat it as fixed.
    """

    name: str
    steps: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, name_or_path: str, overrides: Sequence[str] = ()) -> Self:
        """Take a built-in recipe or read one from a file, then apply overrides.

        Parameters
        ----------
        name_or_path : str
            ``"lightsheet"``, or a ``.toml`` or ``.json`` file with one table a step (``[calibrate]``), and optionally
            ``name``, ``version``, and ``base``, a recipe whose steps it takes over; ``step = false`` leaves one out.
            Parameters that it does not mention keep their default, or the value of the base. Files it names are looked
            for beside it.
        overrides : sequence of str
            ``"step.parameter=value"``, later ones win. The value is a number (``calibrate.offset=98``), a list
            (``hot_pixels.pixels=[[3,4],[5,6]]``, y before x), a word or a file (``calibrate.gain=gain.npy``).
            ``"step=true"`` adds a step, ``"step=false"`` leaves it out.

        Returns
        -------
        Recipe

        Raises
        ------
        RecipeError
            If the recipe, a step or a parameter does not exist, or a value does not fit.
        """
        data, name, folder = read_recipe(name_or_path)
        recipe = cls._of(data, name, folder)
        for override in overrides:
            recipe = recipe._changed(*_split(override), Path())
        return recipe

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Take a recipe from its plain form; it cannot name files.

        Parameters
        ----------
        data : mapping
            As `to_json` gives it.

        Returns
        -------
        Recipe

        Raises
        ------
        RecipeError
            If the form is not that of a recipe this version reads.
        """
        return cls._of(data, "unnamed", None)

    @classmethod
    def _of(cls, data: Any, name: str, folder: Path | None, depth: int = 0) -> Self:
        if not isinstance(data, Mapping):
            raise RecipeError(f"recipe '{name}' is not a table of steps", f"the steps are {', '.join(step_names())}")
        name = data.get("name", name)
        if not isinstance(name, str) or not name.isprintable() or not 1 <= len(name) <= 100:
            raise RecipeError("the name of a recipe is not a text of 1 to 100 characters", 'give name = "..."')
        if data.get("version", VERSION) != VERSION:
            what = f"recipe '{name}' has version {data['version']!r}, this octostream reads version {VERSION}"
            raise RecipeError(what, "update octostream, or write the recipe for this version")
        recipe = cls(name)
        if "base" in data:
            recipe = replace(cls._base(name, data["base"], folder, depth), name=name)
        for step, told in data.items():
            if step not in HEADINGS:
                recipe = recipe._with(step, told, folder)
        return recipe

    @classmethod
    def _base(cls, name: str, base: Any, folder: Path | None, depth: int) -> Self:
        if folder is None or not isinstance(base, str) or depth > 8:
            what = f"the base of recipe '{name}' is {json.dumps(base, default=str)[:60]}"
            raise RecipeError(what, f"give {', '.join(BUILT_IN)}, or a file that has no such base itself")
        return cls._of(*read_recipe(base, folder), depth + 1)

    def _with(self, step: str, told: Any, folder: Path | None) -> Self:
        """Take over what a table says of a step."""
        if isinstance(told, bool):
            return self._added(step) if told else self._without(step)
        declared = self._declared(step)
        if not isinstance(told, Mapping):
            known = ", ".join(declared) or "none"
            raise RecipeError(f"step '{step}' of recipe '{self.name}' is not a table", f"its parameters: {known}")
        recipe = self._added(step)
        for parameter, data in told.items():
            recipe = recipe._changed(step, parameter, data, folder)
        return recipe

    def _added(self, step: str) -> Self:
        fresh = {f"{step}.{p.name}": p.default for p in self._declared(step).values()}
        steps = {*self.steps, step}
        return replace(self, steps=tuple(s for s in step_names() if s in steps), values={**fresh, **self.values})

    def _without(self, step: str) -> Self:
        self._declared(step)
        kept = {key: value for key, value in self.values.items() if key.partition(".")[0] != step}
        return replace(self, steps=tuple(s for s in self.steps if s != step), values=kept)

    def _changed(self, step: str, name: str, data: Any, folder: Path | None) -> Self:
        if not name:
            return self._with(step, data, folder)
        declared = self._declared(step)
        if name not in declared:
            valid = f"its parameters are {', '.join(declared)}" if declared else "it takes none"
            raise RecipeError(f"step '{step}' of recipe '{self.name}' has no parameter '{name}'", valid)
        if step not in self.steps:
            has = ", ".join(self.steps) or "none"
            what = f"recipe '{self.name}' leaves the step '{step}' out; its steps are {has}"
            raise RecipeError(what, f"add it with {step}=true")
        value = accept(self.name, step, declared[name], data, folder)
        return replace(self, values={**self.values, f"{step}.{name}": value})

    def _declared(self, step: str) -> Mapping[str, Parameter]:
        if step not in step_names():
            raise RecipeError(f"recipe '{self.name}' has no step '{step}'", f"the steps are {', '.join(step_names())}")
        return find_step(step).declared

    def parameters(self, step: str) -> Parameters:
        """Give the parameters of a step; the defaults where the recipe does not name it.

        Parameters
        ----------
        step : str

        Raises
        ------
        RecipeError
            If values do not go together.
        """
        found = find_step(step)
        told = {name: self.values[f"{step}.{name}"] for name in found.declared if f"{step}.{name}" in self.values}
        try:
            return found.parameters(**told)
        except RecipeError:
            raise
        except Exception as error:  # the step may be of another package
            what = f"the parameters of step '{step}' cannot be used ({type(error).__name__}: {error})"
            raise RecipeError(what.partition("\n")[0], "change them, or leave the step out") from error

    def to_json(self) -> dict[str, Any]:
        """Give the plain form that travels with a run and is stored with it.

        Returns
        -------
        dict
            ``version``, ``name``, and one object of parameters a step, in the order in which they act.

        Raises
        ------
        RecipeError
            If a map is still a file: `resolve` first.
        """
        steps = {step: {name: _plain(self, step, name) for name in find_step(step).declared} for step in self.steps}
        return {"version": VERSION, "name": self.name, **steps}

    def suited(self, plan: Plan) -> Plan:
        """Give a plan with blocks of whole stacks, if a step needs those and stacks would be split otherwise."""
        needed = any(find_step(step).whole_stacks for step in self.steps)
        return replace(plan, whole_stacks=True) if needed and plan.blocks.splits_stacks else plan

    def resolve(self, frame_shape: tuple[int, int]) -> tuple[Self, dict[str, NDArray[Any]]]:
        """Read the map files.

        Parameters
        ----------
        frame_shape : tuple of int
            Raw frame (y, x), pixels.

        Returns
        -------
        recipe : Recipe
            With each file replaced by a reference to its array.
        maps : dict
            float32 (y, x) for ``calibrate.offset`` and ``calibrate.gain``, int32 (n, 2) for ``hot_pixels.pixels``; only
            those that were files. Empty if no parameter names a file.

        Raises
        ------
        RecipeError
            If a file cannot be used for frames of this shape, or a hot pixel lies outside them.
        """
        values, maps = dict(self.values), {}
        for key, value in self.values.items():
            if isinstance(value, MapFile):
                maps[key] = read_map(key, value.path, frame_shape)
                values[key] = MapReference(key, value.path.name, digest(maps[key]))
            elif key == "hot_pixels.pixels" and isinstance(value, tuple):
                check_map(key, np.array(value, np.int64).reshape(-1, 2), frame_shape, "inline")
        return replace(self, values=values), maps


def _plain(recipe: Recipe, step: str, name: str) -> Any:
    value = recipe.values[f"{step}.{name}"]
    if isinstance(value, MapFile):
        raise RecipeError(f"{step}.{name} of recipe '{recipe.name}' is still a file", "resolve the recipe at the agent")
    if isinstance(value, MapReference):
        return {"map": value.map, "file": value.file, "xxh3": value.xxh3}
    return _listed(value)


def _listed(value: Any) -> Any:
    return [_listed(member) for member in value] if isinstance(value, tuple) else value


def _split(override: str) -> tuple[str, str, Any]:
    key, equals, text = override.partition("=")
    step, dot, name = key.strip().partition(".")
    switch = not dot and text.strip() in ("true", "false")
    if not (equals and step and text.strip() and ((dot and name) or switch)):
        raise RecipeError(f"override '{override}' has not the form step.parameter=value", "write calibrate.offset=98")
    try:
        return step, name, json.loads(text)
    except ValueError:
        return step, name, text.strip()
