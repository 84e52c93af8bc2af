"""Write the tables of docs/recipes.md anew from the code: ``.venv/bin/python docs/list_steps.py``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from octostream.kernels.recipe import Recipe
from octostream.kernels.recipe_file import BUILT_IN, built_in_summary
from octostream.kernels.steps import find_step, origin, step_names

PAGE = Path(__file__).parent / "recipes.md"


def recipe_rows() -> Iterable[tuple[str, ...]]:
    """Give a row a built-in recipe."""
    for name in BUILT_IN:
        yield f"`{name}`", built_in_summary(name), ", ".join(f"`{step}`" for step in Recipe.load(name).steps)


def step_rows() -> Iterable[tuple[str, ...]]:
    """Give a row a step and a row a parameter, of octostream's own steps."""
    for step in (find_step(name) for name in step_names() if origin(name) == "octostream"):
        yield f"`{step.name}`", "", "", step.kind, step.summary
        for parameter in step.declared.values():
            yield (
                "",
                f"`{parameter.name}`",
                f"`{json.dumps(_plain(parameter.default))}`",
                parameter.what,
                parameter.help,
            )


def with_tables(text: str) -> str:
    """Give the page with the tables as they should be."""
    text = _put(text, "recipes", ("recipe", "what it is for", "its steps"), recipe_rows())
    return _put(text, "steps", ("step", "parameter", "default", "kind, or what it may be", "what it is"), step_rows())


def _put(text: str, name: str, heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    before, begin, rest = text.partition(f"<!-- {name}: made by docs/list_steps.py -->\n")
    _, end, after = rest.partition(f"<!-- end of {name} -->\n")
    if not (begin and end):
        raise ValueError(f"the page has no place for {name}")
    table = [heading, ("---",) * len(heading), *rows]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in table]
    return f"{before}{begin}\n{''.join(lines)}\n{end}{after}"


def _plain(value: Any) -> Any:
    return [_plain(member) for member in value] if isinstance(value, tuple) else value


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
