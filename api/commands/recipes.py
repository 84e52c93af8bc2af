"""``octostream recipes``: what reductions there are, what a recipe makes and costs, and writing one's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from os.path import relpath
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ...acquire.sources.frame_size import parse_size
from ...stream.errors import RecipeError, UsageError
from ...stream.model import Plan
from ..output import say_json

NAME = "recipes"

app = typer.Typer(
    help="What is done to frames: built-in recipes, files, and steps of other packages.", no_args_is_help=True
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="STEP.PARAM=VALUE", help="Change a parameter of the recipe.")
]


@app.command("list")
def list_recipes(as_json: Json = False) -> None:
    """List the built-in recipes and all steps: kind, what it does, and the package of those from elsewhere."""
    from ...kernels.recipe_file import BUILT_IN, built_in_summary
    from ...kernels.steps import origin, survey

    found, broken = survey()
    steps = [(step, origin(step.name)) for step in found]
    if as_json:
        say_json(
            {
                "recipes": [{"name": name, "summary": built_in_summary(name)} for name in BUILT_IN],
                "steps": [
                    {"name": s.name, "kind": s.kind, "summary": s.summary, "origin": where} for s, where in steps
                ],
                "cannot_be_used": [{"name": t.name, "origin": t.origin, "reason": t.reason} for t in broken],
            }
        )
        return
    console = Console(highlight=False, soft_wrap=True)
    width = max(map(len, [*BUILT_IN, *(step.name for step in found)]))
    for name in BUILT_IN:
        console.print(f"recipe  {name.ljust(width)}  {built_in_summary(name)}", markup=False)
    for step, where in steps:
        told = "" if where == "octostream" else f"; from {where}"
        console.print(f"{step.kind.ljust(7)} {step.name.ljust(width)}  {step.summary}{told}", markup=False)
    for trouble in broken:
        console.print(f"not usable: {trouble.name} of {trouble.origin}: {trouble.reason}", style="red", markup=False)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE|STEP", help="A recipe, or one step.")],
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Show a recipe in full, or one step, as TOML that --recipe takes, with what every parameter means."""
    from ...kernels.recipe import Recipe
    from ...kernels.recipe_file import BUILT_IN
    from ...kernels.recipe_text import recipe_text, step_text
    from ...kernels.steps import find_step, origin, step_names

    if name in step_names():
        if as_json:
            say_json(_schema()["properties"][find_step(name).name])
        else:
            typer.echo(step_text(find_step(name), origin(name)), nl=False)
        return
    if name not in BUILT_IN and not Path(name).suffix:
        raise RecipeError(f"there is no recipe or step '{name}'", "octostream recipes list names them")
    recipe = Recipe.load(name, set_ or ())
    if as_json:
        say_json(recipe.to_json())
    else:
        typer.echo(recipe_text(recipe), nl=False)


@app.command("check")
def check(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A recipe.")],
    size: Annotated[str, typer.Option(metavar="HxW", help="Frame size.")] = "2048x2048",
    frames: Annotated[
        int, typer.Option(min=1, metavar="N", help="Frames of the run; whole stacks are counted.")
    ] = 1000,
    z: Annotated[int, typer.Option(min=1, metavar="N", help="Planes of a stack; 1 for a movie.")] = 10,
    rate: Annotated[float | None, typer.Option(metavar="HZ", help="Planned frames a second.")] = None,
    keep_raw: Annotated[bool, typer.Option("--keep-raw", help="As if the frames were kept as they came.")] = False,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Check a recipe, say what it would make of a run, and measure for two seconds how fast this machine does it."""
    from ...kernels.recipe import Recipe
    from ...kernels.reduction import plan_reduction
    from ...kernels.speed import measure_following, measure_speed
    from ..recipe_report import recipe_facts, recipe_lines

    shape = parse_size(size, "--size")
    plan = Plan((math.ceil(frames / z), 1, z, *shape), rate_hz=rate)
    recipe, maps = Recipe.load(name, set_ or ()).resolve(shape)
    reduction = plan_reduction(recipe, recipe.suited(plan), maps, keep_raw=keep_raw)
    seconds = 1.4 if reduction.series else 2.0
    facts = recipe_facts(reduction, measure_speed(reduction, seconds), measure_following(reduction, 2.0 - seconds))
    if as_json:
        say_json(facts)
        return
    console = Console(highlight=False, soft_wrap=True)
    for line in recipe_lines(facts):
        console.print(line, markup=False)


@app.command("new")
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; one that exists is left alone.")],
    base: Annotated[str, typer.Option(metavar="NAME|FILE", help="Recipe to start from.")] = "lightsheet",
    reduction: Annotated[
        str, typer.Option(metavar="NAME", help="Write a reduction of that name in Python instead, with its test.")
    ] = "",
) -> None:
    """Write a recipe of your own to change, all as in the base, or a reduction of your own that works already."""
    if reduction:
        _new_reduction(file, reduction)
    else:
        _new_recipe(file, base)


def _new_recipe(file: Path, base: str) -> None:
    from ...kernels.recipe import Recipe
    from ...kernels.recipe_file import BUILT_IN
    from ...kernels.recipe_text import starter_text

    if file.suffix.lower() != ".toml":
        raise UsageError(f"{file} is no .toml file", "give the new recipe a name that ends in .toml")
    steps = Recipe.load(base).steps
    named = base if base in BUILT_IN else relpath(Path(base).expanduser(), file.parent)
    _write({file: starter_text(file.stem, named, steps)})
    typer.echo(f"wrote {file}; check it with: octostream recipes check {file}")


def _new_reduction(file: Path, name: str) -> None:
    from ...kernels.template import template_texts

    if file.suffix != ".py" or not file.stem.isidentifier():
        raise UsageError(f"{file} is no Python module", "give a name like brightness.py")
    step, test = template_texts(name, file.stem)
    test_file = file.with_name(f"test_{file.name}")
    _write({file: step, test_file: test})
    typer.echo(f"wrote {file} and {test_file}; run its tests in that folder with: python -m pytest {test_file.name}")
    typer.echo(
        f"the package that it is in offers it to octostream by this in its pyproject.toml:\n\n{_entry(file, name)}"
    )


def _entry(file: Path, name: str) -> str:
    return f'[project.entry-points."octostream.reductions"]\n{name} = "{file.stem}:STEP"'


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of recipe files, for editors and other programs."""
    say_json(_schema())


def _schema() -> dict[str, Any]:
    from ...kernels.recipe_schema import recipe_schema

    return recipe_schema()


def _write(texts: Mapping[Path, str]) -> None:
    """Write new files; if one of them exists, none."""
    for file in texts:
        if file.exists():
            raise UsageError(f"{file} exists", "nothing is overwritten: give another name")
    for file, text in texts.items():
        try:
            with file.open("x", encoding="utf-8") as new_file:
                new_file.write(text)
        except OSError as error:
            raise UsageError(f"{file} cannot be written ({error.strerror})", "check the folder") from error
