"""``octostream recover``: make the store of a killed run consistent, and mend or set aside what is damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..outcome import only_projections
from ..output import say_json
from ..progress import check_progress

NAME = "recover"


def command(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A run's .ome.zarr; its service must not be running.")],
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Make a store consistent after a kill, a power cut or damage; exit 0 only when nothing of it is lost."""
    from ..recovery import recover_store  # late: the other commands need not load kernels and what reads stores

    with check_progress(Console(stderr=True)) as show:
        report = recover_store(store, show)
    if as_json:
        say_json(report.to_json())
    else:
        console = Console(highlight=False, soft_wrap=True)
        for change in report.changes:
            console.print(f"changed  {change}", markup=False)
        for loss in report.losses:
            frames = f"{loss.first}-{loss.last}" if loss.last > loss.first else f"{loss.first}"
            console.print(f"lost     {frames}  in {loss.where}: {loss.why}", style="red", markup=False)
        for file in report.quarantined:
            console.print(f"kept     {file} in .octostream/quarantine", style="yellow", markup=False)
        word = "[green]recovered[/]" if report.ok else "[yellow]consistent[/]"
        counts = f"{report.frames_stored} of {report.frames_expected} frames stored, {report.frames_lost} lost"
        console.print(f"{word}  {report.status}: {counts}{only_projections(report.frames_projection_only)}")
    if not report.ok:
        raise typer.Exit(1)
