"""``octostream sample``: fetch a public recording into the user's cache."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from ..sample import fetch_sample
from ..sample_progress import sample_progress

NAME = "sample"


def command(name: Annotated[str, typer.Argument(help="Which recording: lattice.")]) -> None:
    """Fetch a public recording, checked by SHA-256; prints where it lies."""
    with sample_progress(Console(stderr=True), name) as show:
        path = fetch_sample(name, progress=show)
    typer.echo(path)
