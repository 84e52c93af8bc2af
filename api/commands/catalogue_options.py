"""What the commands of ``octostream catalogue`` share: their options, and how they print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

Data = Annotated[Path | None, typer.Option(help="Data directory of the tier.", show_default="octostream-data")]
Config = Annotated[Path | None, typer.Option(metavar="FILE", help="Settings of the tier, TOML.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]


def plain_console() -> Console:
    """Give a console that prints lines as they are."""
    return Console(highlight=False, soft_wrap=True)
