"""``octostream calibrate``: offset, read noise and hot pixels of a camera from dark frames."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ...acquire.sources.opening import open_source
from ..output import say_json
from ..progress import check_progress

NAME = "calibrate"
#: The recipe among the maps.
RECIPE = "recipe.toml"


def command(
    dark: Annotated[
        str, typer.Argument(metavar="DARK", help="Frames taken without light: a TIFF, a folder of TIFFs, or a Zarr.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to put the maps; NAME-calibration if not given.")
    ] = None,
    factor: Annotated[
        float | None, typer.Option(metavar="K", help="List pixels with more than K times the median noise.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Make an offset map, a noise map, a list of hot pixels, and a recipe that uses them; nothing is overwritten."""
    from ...kernels.dark import FACTOR  # late: the other commands need not load kernels
    from ..calibration import free_folder, read_dark, write_maps

    folder = free_folder(out or Path(f"{Path(dark).absolute().name.partition('.')[0]}-calibration"))
    source = open_source(dark)
    try:
        with check_progress(Console(stderr=True), "reading", "frames") as show:
            stack = read_dark(source, show)
    finally:
        source.close()
    maps = stack.frames.maps(FACTOR if factor is None else factor)
    write_maps(folder, maps, Path(dark).name)
    facts = {
        "folder": str(folder),
        "frames": maps.frames,
        "frames_unread": len(stack.unread),
        "offset_mean": maps.level,
        "read_noise_median": maps.noise,
        "noise_limit": maps.limit,
        "hot_pixels": len(maps.hot),
        "stuck_pixels": maps.stuck,
        "hot_percent": maps.percent,
        "warnings": [*_unread(stack.unread), *maps.warnings],
    }
    if as_json:
        say_json(facts)
    else:
        _print(facts)


def _unread(why: Sequence[str]) -> list[str]:
    return [f"{len(why)} frames cannot be read and were left out; the first: {why[0]}"] if why else []


def _print(facts: Mapping[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for name, value in (
        ("frames", facts["frames"]),
        ("offset", f"{facts['offset_mean']:.2f} counts, mean"),
        ("read noise", f"{facts['read_noise_median']:.2f} counts, median"),
        ("hot pixels", f"{facts['hot_pixels']} ({facts['hot_percent']:.2f} %): {_reasons(facts)}"),
        ("maps", facts["folder"]),
        ("record", f"octostream acquire SOURCE --recipe {shlex.quote(str(Path(facts['folder'], RECIPE)))}"),
    ):
        console.print(f"{name:<11}{value}", markup=False)
    for warning in facts["warnings"]:
        console.print(f"{'warning':<11}{warning}", style="yellow", markup=False)


def _reasons(facts: Mapping[str, Any]) -> str:
    noisy = f"noise above {facts['noise_limit']:.2f} counts"
    return f"{noisy}, or stuck ({facts['stuck_pixels']})" if facts["stuck_pixels"] else noisy
