"""``octostream techniques``: which metadata a run must and may have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ...sinks.catalogue.template_file import read_template, read_template_file, technique_names
from ..output import say_json
from ..technique_text import template_facts, template_text

NAME = "techniques"

app = typer.Typer(help="Which metadata runs must and may have, by technique.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Folder = Annotated[
    Path | None, typer.Option("--dir", metavar="DIR", help="Folder with a tier's own techniques, NAME.toml.")
]


@app.command("list")
def list_techniques(folder: Folder = None, as_json: Json = False) -> None:
    """List the techniques."""
    templates = [read_template(name, folder) for name in technique_names(folder)]
    if as_json:
        say_json({"techniques": [{"name": t.name, "summary": t.summary} for t in templates]})
        return
    console = Console(highlight=False, soft_wrap=True)
    width = max(len(t.name) for t in templates)
    for template in templates:
        console.print(f"{template.name.ljust(width)}  {template.summary}", markup=False)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A technique, or a template of your own.")],
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Show the fields of a technique, as TOML to fill in and to give to ``acquire --meta``."""
    template = read_template_file(Path(name)) if name.endswith(".toml") else read_template(name, folder)
    if as_json:
        say_json(template_facts(template))
    else:
        typer.echo(template_text(template), nl=False)
