"""The JSON Schema of recipe files, made from what the steps declare."""

from __future__ import annotations

from typing import Any, Final

from .parameters import Parameter
from .recipe import VERSION
from .recipe_file import BUILT_IN
from .step import Step
from .steps import survey

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def recipe_schema() -> dict[str, Any]:
    """Give the schema of a recipe file as an editor or another program checks it.

    It says what every value may be. What values may not be together, and what a plan makes impossible, only octostream
    itself can tell.

    Returns
    -------
    dict
        JSON Schema, draft 2020-12. Steps of other packages are in it while they can be loaded.
    """
    bases = f"{', '.join(BUILT_IN)}, or a .toml or .json file beside this one"
    return {
        "$schema": DIALECT,
        "title": "octostream recipe",
        "description": "Reductions of a run, one object a step; a step that is not named is left out",
        "type": "object",
        "properties": {
            "name": {"description": "what it is called", "type": "string", "minLength": 1, "maxLength": 100}
            | {"pattern": r"^[^\u0000-\u001f\u007f]*$"},
            "version": {"description": "of this form", "const": VERSION, "default": VERSION},
            "base": {"description": f"recipe whose steps it takes over: {bases}", "type": "string", "minLength": 1},
            **{step.name: _step(step) for step in survey()[0]},
        },
        "additionalProperties": False,
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "description": f"{step.kind}: {step.summary}",
        "anyOf": [
            {
                "type": "object",
                "properties": {name: _parameter(step.name, p) for name, p in step.declared.items()},
                "additionalProperties": False,
            },
            {"description": "false leaves it out, true takes its defaults", "type": "boolean"},
        ],
    }


def _parameter(step: str, parameter: Parameter) -> dict[str, Any]:
    kind = parameter.kind.schema()
    if parameter.mappable:
        kind = {"anyOf": [kind, {"description": "file", "type": "string", "minLength": 1}, _reference(step, parameter)]}
    description = f"{parameter.help}: {parameter.what}"
    return {"description": description, "default": _plain(parameter.default), **kind}


def _reference(step: str, parameter: Parameter) -> dict[str, Any]:
    """Give what stands for a file in the recipe of a run, whose maps travel beside it."""
    fields = {
        "map": {"const": f"{step}.{parameter.name}"},
        "file": {"type": "string"},
        "xxh3": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
    }
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def _plain(value: Any) -> Any:
    return [_plain(member) for member in value] if isinstance(value, tuple) else value
