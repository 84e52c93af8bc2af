"""Recipes that come with octostream, and recipe files: where they lie, and reading them."""

from __future__ import annotations

import json
import tomllib
from importlib.resources import files
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from ..stream.errors import RecipeError

#: Recipes that need no file.
BUILT_IN: Final = ("lightsheet", "lightsheet-functional", "lightsheet-compact")
#: What a recipe says beside its steps; no step can have these names.
HEADINGS: Final = ("name", "version", "base")


def built_in_text(name: str) -> str:
    """Give the TOML of a built-in recipe."""
    return (files("octostream.kernels") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")


def built_in_summary(name: str) -> str:
    """Give what a built-in recipe is for: the comment that it begins with, on one line."""
    comment = takewhile(lambda line: line.startswith("#"), built_in_text(name).splitlines())
    return " ".join(line.lstrip("# ") for line in comment)


def read_recipe(name_or_path: str, folder: Path | None = None) -> tuple[Any, str, Path]:
    """Read a recipe as plain data.

    Parameters
    ----------
    name_or_path : str
        A built-in recipe, or a ``.toml`` or ``.json`` file.
    folder : Path, optional
        Where a relative path starts.

    Returns
    -------
    data : Any
        What the file holds; not checked.
    name : str
        What to call it where it does not say.
    folder : Path
        Where the files lie that it names.

    Raises
    ------
    RecipeError
        If there is no such recipe, or the file cannot be read.
    """
    if name_or_path in BUILT_IN:
        return tomllib.loads(built_in_text(name_or_path)), name_or_path, Path()
    path = Path(name_or_path).expanduser()
    path = path if folder is None else folder / path
    return _read(name_or_path, path), path.stem, path.parent


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
