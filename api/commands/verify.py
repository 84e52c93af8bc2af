"""``octostream verify``: recompute what can be recomputed, name what is missing or damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ...stream.ranges import Ranges
from ..output import say_json
from ..progress import check_progress

NAME = "verify"


def command(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A run's .ome.zarr.")],
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Check a store against its commit records and ledger; exit 0 only when nothing is wrong and nothing is lost."""
    from ...sinks.recompute import as_text  # late: the other commands need not load what reads stores
    from ...sinks.verify import verify

    with check_progress(Console(stderr=True)) as show:
        report = verify(store, show)
    if as_json:
        say_json(report.to_json())
    else:
        console = Console(highlight=False, soft_wrap=True)
        for problem in report.problems:
            console.print(f"problem  {problem}", style="red", markup=False)
        word = "[green]verified[/]" if report.ok else "[red]not good[/]"
        counts = f"{report.frames_stored} of {report.frames_expected} frames stored, {report.frames_lost} lost"
        if report.projection_only:
            counts += f"; only projections of {as_text(Ranges(report.projection_only))}"
        console.print(f"{word}  {report.status}: {counts}")
    if not (report.ok and report.status == "complete"):
        raise typer.Exit(1)
