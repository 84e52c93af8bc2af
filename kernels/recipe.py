"""A recipe: the declared reductions of a run with their parameters, as data."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ..stream.errors import RecipeError
from .maps import check_map, digest, read_map
from .parameters import STEPS, MapFile, MapReference, Value, accept

#: Version of the plain form that `Recipe.to_json` writes.
VERSION: Final = 1
BUILT_IN: Final = ("lightsheet",)


def _defaults() -> dict[str, Value]:
    return {f"{step}.{name}": p.default for step, parameters in STEPS.items() for name, p in parameters.items()}


@dataclass(frozen=True)
class Recipe:
    """The lightsheet reductions with all parameters known.

    Attributes
    ----------
    name : str
        ``"lightsheet"``, or what a file calls itself.
    values : mapping
        Value of each ``"step.parameter"``; treat it as fixed.
    """

    name: str = "lightsheet"
    values: Mapping[str, Value] = field(default_factory=_defaults)

    @classmethod
    def load(cls, name_or_path: str, overrides: Sequence[str] = ()) -> Self:
        """Take a built-in recipe or read one from a file, then apply overrides.

        Parameters
        ----------
        name_or_path : str
            ``"lightsheet"``, or a ``.toml`` or ``.json`` file with one table a step (``[calibrate]``), and optionally
            ``name`` and ``version``. What it does not mention keeps its default. Map files are looked for beside it.
        overrides : sequence of str
            ``"step.parameter=value"``, later ones win. The value is a number (``calibrate.offset=98``), a list
            (``hot_pixels.pixels=[[3,4],[5,6]]``, y before x) or a file (``calibrate.gain=gain.npy``).

        Returns
        -------
        Recipe

        Raises
        ------
        RecipeError
            If the recipe, a step or a parameter does not exist, or a value does not fit.
        """
        if name_or_path in BUILT_IN:
            recipe = cls(name_or_path)
        else:
            path = Path(name_or_path).expanduser()
            recipe = cls._of(_read(name_or_path, path), path.stem, path.parent)
        values = dict(recipe.values)
        for override in overrides:
            step, name, data = _split(override)
            values[f"{step}.{name}"] = accept(recipe.name, step, name, data, Path())
        return replace(recipe, values=values)

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
    def _of(cls, data: Any, name: str, folder: Path | None) -> Self:
        if not isinstance(data, Mapping):
            raise RecipeError(f"recipe '{name}' is not a table of steps", f"its steps are {', '.join(STEPS)}")
        name = data.get("name", name)
        if not isinstance(name, str) or not name.isprintable() or not 1 <= len(name) <= 100:
            raise RecipeError("the name of a recipe is not a text of 1 to 100 characters", 'give name = "..."')
        if data.get("version", VERSION) != VERSION:
            what = f"recipe '{name}' has version {data['version']!r}, this octostream reads version {VERSION}"
            raise RecipeError(what, "update octostream, or write the recipe for this version")
        values = _defaults()
        for step, parameters in _steps(name, data):
            for key, value in parameters.items():
                values[f"{step}.{key}"] = accept(name, step, key, value, folder)
        return cls(name, values)

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
        steps = {step: {name: _plain(self, f"{step}.{name}") for name in names} for step, names in STEPS.items()}
        return {"version": VERSION, "name": self.name, **steps}

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
            elif isinstance(value, tuple):
                check_map(key, np.array(value, np.int64).reshape(-1, 2), frame_shape, "inline")
        return replace(self, values=values), maps


def _plain(recipe: Recipe, key: str) -> Any:
    value = recipe.values[key]
    if isinstance(value, MapFile):
        raise RecipeError(f"{key} of recipe '{recipe.name}' is still a file", "resolve the recipe at the agent")
    if isinstance(value, MapReference):
        return {"map": value.map, "file": value.file, "xxh3": value.xxh3}
    return [list(pixel) for pixel in value] if isinstance(value, tuple) else value


def _steps(name: str, data: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for step, parameters in data.items():
        if step in ("name", "version"):
            continue
        if step not in STEPS:
            raise RecipeError(f"recipe '{name}' has no step '{step}'", f"its steps are {', '.join(STEPS)}")
        if not isinstance(parameters, Mapping):
            known: Iterable[str] = STEPS[step] or ("none",)
            raise RecipeError(f"step '{step}' of recipe '{name}' is not a table", f"its parameters: {', '.join(known)}")
        yield step, parameters


def _split(override: str) -> tuple[str, str, Any]:
    key, equals, text = override.partition("=")
    step, dot, name = key.strip().partition(".")
    if not (equals and dot and step and name and text.strip()):
        raise RecipeError(f"override '{override}' has not the form step.parameter=value", "write calibrate.offset=98")
    try:
        return step, name, json.loads(text)
    except ValueError:
        return step, name, text.strip()


def _read(name: str, path: Path) -> Any:
    if path.suffix.lower() not in (".toml", ".json"):
        raise RecipeError(f"there is no recipe '{name}'", f"give {', '.join(BUILT_IN)}, or a .toml or .json file")
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except OSError as error:
        raise RecipeError(f"recipe file '{name}' cannot be read ({error.strerror})", "check its path") from error
    except ValueError as error:
        kind = path.suffix[1:].upper()
        raise RecipeError(f"recipe file '{name}' is not {kind} ({error})", "correct it at that place") from error
