"""The command line, ``octostream``: every command is a module of ``commands``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

from .. import __version__
from ..stream.errors import OctostreamError
from .commands import (
    acquire,
    bench,
    calibrate,
    catalogue,
    demo,
    keys,
    recipes,
    recover,
    reduce,
    sample,
    serve,
    spool,
    techniques,
    verify,
)
from .logs import configure_logs

app = typer.Typer(
    name="octostream",
    help="Camera frames reduced while they are acquired, durable as OME-Zarr.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in (demo, serve, acquire, reduce, verify, recover, calibrate, sample):
    app.command(module.NAME)(module.command)
for group in (recipes, techniques, bench, keys, spool, catalogue):
    app.add_typer(group.app, name=group.NAME)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"octostream {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Camera frames reduced while they are acquired, durable as OME-Zarr."""


def main() -> None:
    """Run a command; errors are one line on standard error, exit codes 0 good, 1 not good, 2 usage."""
    configure_logs("command")  # not on standard output, which is the command's own: a program may read it
    try:
        app()
    except OctostreamError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(
            f"octostream: {error}", style="bold red", markup=False
        )
        sys.exit(error.exit_code)
