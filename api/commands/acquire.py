"""``octostream acquire``: send a source's frames to a tier."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from ...acquire.overrun import Overrun
from ...acquire.pacing import Pacer
from ...acquire.recording import Recording, open_run
from ...acquire.ring import RING_BYTES
from ...acquire.source import Source, SourceOptions
from ...acquire.sources.frame_size import parse_size
from ...acquire.sources.opening import open_source
from ...acquire.spool_folder import FOLDER_VARIABLE
from ...stream.clock import monotonic_s
from ...stream.errors import OctostreamError, SourceError
from ...stream.messages import Sealed
from ..given_metadata import given_metadata
from ..outcome import only_projections
from ..output import say_json
from ..progress import Show, frame_progress

NAME = "acquire"
STOPPED = "stopped by the operator"
#: A wait for the service is explained this often, seconds.
WAITING_S = 10.0


def command(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A TIFF file, a folder of TIFFs, a Zarr, or simulated:…")
    ],
    to: Annotated[
        str, typer.Option(metavar="tcp://HOST:PORT", envvar="OCTOSTREAM_TO", help="Address of the tier.")
    ] = "tcp://127.0.0.1:5642",
    name: Annotated[str, typer.Option(help="Name of the run; made up if not given.")] = "",
    investigation: Annotated[str, typer.Option(help="Folder that the store lies in.")] = "local",
    visit: Annotated[
        str, typer.Option(help="Visit of the investigation, where it has visits: a folder in its own.")
    ] = "",
    technique: Annotated[
        str, typer.Option(metavar="NAME", help="Says which metadata are asked for; the tier's choice if not given.")
    ] = "",
    meta: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE|FILE", help="Metadata of the run, or a TOML or JSON file of them."),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(metavar="HZ", help="Frames a second; as fast as possible if not given.")
    ] = None,
    loop: Annotated[int, typer.Option(metavar="N", help="Repeat the recording N times along t.")] = 1,
    tile: Annotated[str | None, typer.Option(metavar="HxW", help="Fill a sensor of this size with the field.")] = None,
    axes: Annotated[str | None, typer.Option(help="What the planes of a recording are, e.g. t or t=10,z=50.")] = None,
    recipe: Annotated[str, typer.Option(metavar="NAME|FILE", help="Reductions.")] = "lightsheet",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="STEP.PARAM=VALUE", help="Change a parameter of the recipe.")
    ] = None,
    keep_raw: Annotated[bool, typer.Option("--keep-raw", help="Store the frames as they came, too.")] = False,
    overrun: Annotated[
        Overrun, typer.Option(help="While the tier is behind: the source waits, or frames are spooled or dropped.")
    ] = "block",
    spool: Annotated[
        Path | None, typer.Option(metavar="DIR", envvar=FOLDER_VARIABLE, help="Folder of the spools.")
    ] = None,
    spool_gib: Annotated[float, typer.Option(metavar="N", min=0, help="Disk that the spool may take.")] = 64.0,
    memory_mib: Annotated[
        int, typer.Option(metavar="N", min=1, help="Memory that frames may take which are not durable yet.")
    ] = RING_BYTES // 2**20,
    key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", envvar="OCTOSTREAM_KEY", help="This instrument's key, made by the tier."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Record a source; exit 0 only when the run is sealed complete. Ctrl-C stops and seals with an exact ledger."""
    from ...kernels.recipe import Recipe  # late: the other commands need not load recipes

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    options = SourceOptions(tile=parse_size(tile) if tile else None, loop=loop, rate_hz=rate, axes=axes)
    given = given_metadata(meta or ())
    frames = open_source(source, options)
    try:
        chosen, maps = Recipe.load(recipe, set_ or ()).resolve(frames.plan.frame_shape)
        with open_run(
            to,
            chosen.suited(replace(frames.plan, metadata={**frames.plan.metadata, **given})),
            name=name,
            investigation=investigation,
            visit=visit,
            technique=technique,
            recipe=chosen.to_json(),
            maps=maps,
            keep_raw=keep_raw,
            overrun=overrun,
            spool=spool,
            spool_bytes=int(spool_gib * 2**30),
            memory_bytes=memory_mib * 2**20,
            key=key,
        ) as run:
            facts = _record(frames, run, as_json)
    finally:
        frames.close()
    if not _good(facts):
        raise typer.Exit(1)


def _good(facts: dict[str, Any]) -> bool:
    return facts["status"] == "complete"


def _record(frames: Source, run: Recording, as_json: bool) -> dict[str, Any]:
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    console.print(f"run        {run.run}\nstore      {run.store}\ndashboard  {run.dashboard}", markup=False)
    try:
        sealed = _finish(run, _send(frames, run, console), console)
    except OctostreamError:
        if run.overrun == "spool" and run.held:
            console.print(f"spool      {run.held} frames wait in it: `octostream spool resume` sends them")
        raise
    facts = result(run, sealed)
    if as_json:
        say_json(facts)
    else:
        _print_result(console, facts)
    return facts


def _send(frames: Source, run: Recording, console: Console) -> str:
    """Send everything; gives why not, where the operator stops it."""
    try:
        with frame_progress(console, frames.plan.frames) as show:
            send_all(frames, run, _with_alarm(show, run, console))
    except KeyboardInterrupt:
        console.print("stopping: what was sent becomes durable, then the run is sealed …")
        return STOPPED
    return ""


def _with_alarm(show: Show, run: Recording, console: Console) -> Show:
    """Say at once when frames are lost on this side, and why; again only after a while, or for another reason."""
    said = ("", 0.0)

    def both(sent: int, held: int, late: int) -> None:
        nonlocal said
        show(sent, held, late)
        if run.trouble and (run.trouble != said[0] or monotonic_s() - said[1] >= WAITING_S):
            said = (run.trouble, monotonic_s())
            console.print(f"alarm      {run.lost} frames lost here so far: {run.trouble}", markup=False)

    return both


def _finish(run: Recording, why: str, console: Console) -> Sealed:
    """Wait for the end, saying every ten seconds for what; a second Ctrl-C gives up what is not durable yet."""
    said_s = monotonic_s()

    def waiting(held: int) -> None:
        nonlocal said_s
        if monotonic_s() - said_s >= WAITING_S:
            said_s = monotonic_s()
            console.print(
                f"waiting    {held} frames are not durable yet; the agent holds them until the service takes them"
            )

    try:
        return run.finish(why, waiting)
    except KeyboardInterrupt:
        run.give_up()
        raise OctostreamError(
            f"given up with {run.held} frames not durable", "the service seals the run as incomplete"
        ) from None


def interrupt(*_: object) -> None:
    """Treat SIGTERM and a closed terminal like Ctrl-C: the run is sealed, not dropped."""
    raise KeyboardInterrupt


def send_all(frames: Source, run: Recording, show: Show) -> None:
    """Send every frame of a source, each when it is due; a frame that cannot be read is lost, by name, alone.

    Parameters
    ----------
    frames : Source
        Where they come from.
    run : Recording
        Where they go to.
    show : callable
        Called with (frames sent, frames held, frames late) after each.
    """
    pacer = Pacer(frames.plan.rate_hz)
    for number in range(frames.plan.frames):
        buffer: np.ndarray[Any, np.dtype[np.uint16]] = run.buffer()
        try:
            frames.fill(number, buffer)
        except SourceError as error:
            run.miss(str(error))
            continue
        filled_s = monotonic_s()
        pacer.wait(number)
        run.late(pacer.late)
        run.commit(waited_s=monotonic_s() - filled_s)
        show(number + 1, run.held, pacer.late)


def result(run: Recording, sealed: Sealed) -> dict[str, Any]:
    """Give how a run ended, as JSON types."""
    ledger, summary = sealed.ledger, sealed.summary
    return {
        "run": run.run,
        "name": run.name,
        "store": run.store,
        "status": sealed.status,
        "frames_expected": ledger["frames_expected"],
        "frames_sent": run.sent,
        "frames_stored": ledger["frames_stored"],
        "frames_lost": ledger["frames_lost"],
        "frames_projection_only": ledger["frames_projection_only"],
        "frames_late": summary["late"],
        "lost": ledger["lost"],
        "rate_hz": summary["rate_hz"],
        "latency_ms": summary["latency_ms"],
        "raw_bytes": summary["raw_bytes"],
        "stored_bytes": summary["stored_bytes"],
    }


def _print_result(console: Console, facts: dict[str, Any]) -> None:
    style = "green" if _good(facts) else "red"
    console.print(
        f"[{style}]{facts['status']}[/]: {facts['frames_stored']} of {facts['frames_expected']} frames stored, "
        f"{facts['frames_lost']} lost, {facts['rate_hz']} Hz{only_projections(facts['frames_projection_only'])}"
    )
    for loss in facts["lost"][:10]:
        console.print(f"lost       {loss['first']}–{loss['last']} at {loss['where']}: {loss['why']}", markup=False)
