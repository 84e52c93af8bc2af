"""``octostream spool``: what waits on this machine's disk for a tier, and what to do with it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ...acquire.resume import resume
from ...acquire.spool_folder import SpoolFolder, SpoolSummary, spool_folder
from ...sinks.disk import readable
from ...stream.errors import OctostreamError, UsageError
from ..output import say_json

NAME = "spool"

app = typer.Typer(help="Frames that wait on this machine's disk for a tier.", no_args_is_help=True)

Folder = Annotated[
    Path | None,
    typer.Option("--dir", metavar="DIR", help="Folder of the spools; else OCTOSTREAM_SPOOL, else the user's own."),
]


@app.command("list")
def list_spools(
    folder: Folder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the spools: run, tier, frames, bytes, times, and who has them."""
    spools = SpoolFolder(folder or spool_folder())
    found = spools.spools()
    if as_json:
        say_json({"folder": str(spools.path), "spools": [{**asdict(k), "live": k.live} for k in found]})
        return
    console = Console(highlight=False, soft_wrap=True)
    if not found:
        console.print(f"no spools in {spools.path}", markup=False)
    for summary in found:
        for line in _lines(summary):
            console.print(line, markup=False)


@app.command("discard")
def discard(
    spool: Annotated[str, typer.Argument(metavar="ID", help="Name of the spool, as list shows it.")],
    folder: Folder = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Throw a spool away with all frames in it; one that a live process has is refused."""
    spools = SpoolFolder(folder or spool_folder())
    found = next((summary for summary in spools.spools() if summary.id == spool), None)
    if found is not None and not found.live and not yes:
        if not _asks():
            raise UsageError("nobody is there to be asked", "give --yes to discard without being asked")
        if not typer.confirm(f"Throw away {found.frames} frames of {_name(found)}?"):
            raise typer.Exit(1)
    spools.discard(spool)
    Console(highlight=False, soft_wrap=True).print(f"discarded {spool}", markup=False)


@app.command("resume")
def resume_spools(
    spool: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Name of the spool; all that wait, if not given.")
    ] = None,
    folder: Folder = None,
    to: Annotated[
        str, typer.Option(metavar="tcp://HOST:PORT", help="Address of the tier; the run's own if not given.")
    ] = "",
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", envvar="OCTOSTREAM_KEY", help="This instrument's key.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Send what waits, and have the runs sealed; exit 0 only when each of them is complete then."""
    spools = SpoolFolder(folder or spool_folder())
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    waiting = [s.id for s in spools.spools() if s.owner is None]
    if spool is None and not waiting:
        console.print(f"no spool waits in {spools.path}", markup=False)
    ended = [_resume(spools.path / name, to, key, console) for name in ([spool] if spool else waiting)]
    if as_json:
        say_json({"runs": ended})
    if any(run["status"] != "complete" for run in ended):
        raise typer.Exit(1)


def _resume(directory: Path, to: str, key: Path | None, console: Console) -> dict[str, Any]:
    """Resume one spool; what is wrong with it must not keep the others waiting."""
    try:
        sealed = resume(directory, to, key=key)
    except OctostreamError as error:
        console.print(f"{directory.name}: {error}", style="bold red", markup=False)
        return {"spool": directory.name, "run": "", "store": "", "status": "waits", "error": str(error)}
    stored, lost = sealed.ledger["frames_stored"], sealed.ledger["frames_lost"]
    console.print(f"{directory.name}: {sealed.status}, {stored} frames stored, {lost} lost", markup=False)
    return {
        "spool": directory.name,
        "run": sealed.run,
        "store": str(sealed.summary.get("store", "")),
        "status": sealed.status,
        "frames_stored": stored,
        "frames_lost": lost,
    }


def _asks() -> bool:
    return sys.stdin.isatty()


def _name(summary: SpoolSummary) -> str:
    return summary.name or "a run without a name"


def _lines(summary: SpoolSummary) -> list[str]:
    """Give what a person wants to know of a spool."""
    if summary.problem:
        return [summary.id, f"  problem  {summary.problem}"]
    lines = [
        summary.id,
        f"  run      {_name(summary)}{f' ({summary.run})' if summary.run else ''}",
        f"  tier     {summary.to}{f', {summary.store}' if summary.store else ''}",
        f"  frames   {summary.frames}, {readable(summary.bytes)}{_times(summary)}",
        f"  state    {_state(summary)}",
    ]
    return [*lines, f"  damaged  {summary.damaged} frames"] if summary.damaged else lines


def _times(summary: SpoolSummary) -> str:
    if summary.first_ns is None or summary.last_ns is None:
        return ""
    first, last = (
        datetime.fromtimestamp(ns / 1e9).astimezone().isoformat(" ", "seconds")
        for ns in (summary.first_ns, summary.last_ns)
    )
    return f", taken {first} to {last}"


def _state(summary: SpoolSummary) -> str:
    if summary.live:
        return f"in use by process {summary.owner or 'unknown'}"
    if summary.finished is None:
        return "waits; its recording was cut off"
    return f"waits; its recording had ended{f' ({summary.finished})' if summary.finished else ''}"
