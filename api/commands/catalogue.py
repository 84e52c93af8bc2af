"""``octostream catalogue``: what ICAT has of the runs, what it is still to be told, and what stands in the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from ...sinks.catalogue.overview import Listed, Overview, overview
from ...sinks.catalogue.owner_notes import OwnerNotes
from ...stream.clock import wall_ns
from ...stream.errors import OctostreamError, UsageError
from ..catalogue_files import open_files
from ..output import say_json
from ..settings import Settings
from ..stored_runs import registry_file
from . import catalogue_check, catalogue_export, catalogue_owners, catalogue_reconcile
from .catalogue_options import Config, Data, Json, plain_console

NAME = "catalogue"

app = typer.Typer(
    name=NAME,
    help="The runs in ICAT: how they stand, what is in the way. The service may be running meanwhile.",
    no_args_is_help=True,
)

for module in (catalogue_check, catalogue_reconcile, catalogue_export, catalogue_owners):
    app.command(module.NAME)(module.command)


@app.command("status")
def status(
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="Id of a run; without it all.")] = "",
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="The newest so many runs.")] = 100,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show how runs stand in the catalogue; exit 1 where something waits for a person."""
    settings = Settings.load(config, {"data": data})
    seen, where, notes = Overview(0, 0, None, ()), settings.catalogue, {}
    if run or registry_file(settings.data).is_file():  # else no service ever ran here, and there is nothing to see
        with open_files(settings) as files:
            if run:
                files.check_run(run)
            seen = overview(files.registry, files.outbox, files.reader, limit, run)
            notes = OwnerNotes(files.registry.path).read()
    owners = {listed.run: notes[listed.run] for listed in seen.runs if listed.run in notes}
    oldest_s = None if seen.oldest_ns is None else max(0.0, (wall_ns() - seen.oldest_ns) / 1e9)
    if as_json:
        say_json(
            {
                "catalogue": {"url": where.url, "facility": where.facility} if where else None,
                "queued": seen.queued,
                "parked": seen.parked,
                "oldest_pending_s": oldest_s,
                "runs": [listed.to_json() for listed in seen.runs],
                "owners": owners,
            }
        )
    else:
        console = plain_console()
        console.print(f"ICAT {where.url}, facility {where.facility}" if where else "local registry only", markup=False)
        for line in status_lines(seen, oldest_s, wall_ns(), told=where is not None):
            console.print(line, markup=False)
        for id_, why in owners.items():
            console.print(f"owners     {id_}  {why} (octostream catalogue owners {id_})", markup=False, style="yellow")
    if seen.parked:
        raise typer.Exit(1)


@app.command("retry")
def retry(
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="Id of a run.")] = "",
    every: Annotated[bool, typer.Option("--all", help="All runs.")] = False,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Have what is parked, or waits for its next try, tried at once."""
    if bool(run) == every:
        raise UsageError("say what is to be tried", "give a run, or --all")
    with open_files(Settings.load(config, {"data": data})) as files:
        if run:
            files.check_run(run)
        tried = files.outbox.retry(run)
    if as_json:
        say_json({"tried_again": tried})
    else:
        plain_console().print(f"{_entries(tried)} tried again" if tried else "nothing waits")


@app.command("park")
def park(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of a run.")],
    why: Annotated[str, typer.Option(metavar="TEXT", help="For whoever finds it parked.")],
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Tell the catalogue nothing more of a run until it is retried; exit 1 where nothing of it waits."""
    if not why.strip():
        raise UsageError("say why", "give a reason to --why")
    with open_files(Settings.load(config, {"data": data})) as files:
        files.check_run(run)
        entries = files.outbox.entries(run)
        for entry in entries:
            files.outbox.park(entry.seq, why, f"octostream catalogue retry {run}")
    if not entries:
        raise OctostreamError(f"nothing of run {run} waits", "there is nothing to park")
    if as_json:
        say_json({"parked": len(entries)})
    else:
        plain_console().print(f"{_entries(len(entries))} parked; octostream catalogue retry {run} goes on with them")


def status_lines(seen: Overview, oldest_s: float | None, now_ns: int, *, told: bool) -> Sequence[str]:
    """Give the lines of the status: what waits, then a line a run.

    Parameters
    ----------
    seen : Overview
    oldest_s : float or None
        Age of the oldest entry that waits.
    now_ns : int
        Wall clock.
    told : bool
        Whether a catalogue is set.
    """
    if not told and not seen.queued and not seen.parked:
        return ()
    oldest = "" if oldest_s is None else f", the oldest for {duration(oldest_s)}"
    width = max((len(listed.name) for listed in seen.runs), default=0)
    return (
        f"{seen.queued} queued, {seen.parked} parked{oldest}",
        *(_line(listed, width, now_ns) for listed in seen.runs),
    )


def _line(listed: Listed, width: int, now_ns: int) -> str:
    stands = listed.standing
    parts = [f"{part} {id_}" for part, id_ in stands.datasets.items()]
    if stands.lag_s is not None:
        parts.append(f"{stands.lag_s:.2f} s after the last frame")
    if stands.why:
        parts.append(stands.why + (f" ({stands.remedy})" if stands.remedy else ""))
    if stands.next_try_ns is not None:
        wait_s = (stands.next_try_ns - now_ns) / 1e9
        parts.append(f"next try in {duration(wait_s)}" if wait_s > 0 else "next try at once")
    line = f"{stands.state.ljust(10)} {listed.run}  {listed.name.ljust(width)}  {'; '.join(parts)}"
    return line.rstrip()


def duration(seconds: float) -> str:
    """Give a duration for people."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _entries(count: int) -> str:
    return f"{count} entr{'y' if count == 1 else 'ies'}"
