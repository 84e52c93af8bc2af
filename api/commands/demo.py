"""``octostream demo``: the whole system on this machine, on a real recording."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ...sinks.catalogue.investigations import LOCAL
from ...stream.errors import UsageError
from ...stream.key_files import in_use
from ..catalogue_wait import await_catalogue, catalogue_line
from ..demonstration import RATE_HZ, RunningService, record
from ..output import say_json
from ..progress import check_progress
from ..sample import fetch_sample
from ..sample_progress import sample_progress
from ..service import prepare_data
from ..settings import Settings, keys_of

if TYPE_CHECKING:
    from ...sinks.verify import VerifyReport

NAME = "demo"
HTTP = "127.0.0.1:8642"


def command(
    seconds: Annotated[float, typer.Option(min=0.1, help="About how long to record.")] = 20.0,
    data: Annotated[Path, typer.Option(help="Directory of the stores.")] = Path("octostream-data"),
    http: Annotated[str, typer.Option(metavar="HOST:PORT", help="Address of the page; a free port if taken.")] = HTTP,
    investigation: Annotated[str, typer.Option(metavar="NAME", help="Of the run, in ICAT.")] = LOCAL,
    visit: Annotated[str, typer.Option(metavar="VISIT", help="Of the investigation.")] = "",
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Settings of the service, TOML.")] = None,
    hold: Annotated[bool, typer.Option("--hold", help="Keep the service up afterwards, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Stream a lattice light-sheet recording as 2048x2048 at 100 Hz; exit 0 only when complete and verified."""
    from ...sinks.verify import verify  # late: the other commands need not load what reads stores

    if in_use(keys_of(data)):
        raise UsageError(f"keys are in use in {data}, the demonstration has none", "give another folder to --data")
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    with sample_progress(Console(stderr=True), "lattice") as show:
        sample = fetch_sample("lattice", progress=show)
    folder = prepare_data(data)
    named = ("--investigation", investigation, *(("--visit", visit) if visit else ()))
    with RunningService(folder, folder / ".octostream" / "service.log", free_or(http), config) as service:
        console.print(f"dashboard  [bold]{service.wait('listening').dashboard}[/]")
        console.print("starting the service (the first start compiles its kernels) …")
        addresses = service.wait("ready")
        result = record(sample, addresses.ingest, seconds, console.print, named)
        with check_progress(Console(stderr=True)) as show_check:
            report = verify(Path(result["store"]), show_check)
        if investigation != LOCAL and Settings.load(config, {"data": folder}).catalogue:
            result = {**result, "catalogue": await_catalogue(folder, result["run"]).to_json()}
        facts = {**result, "dashboard": addresses.dashboard, "verified": report.ok and report.status == "complete"}
        _print_verdict(console, facts, report)
        if as_json:
            say_json(facts)
        if hold:
            console.print(f"the service stays up at {addresses.dashboard}; Ctrl-C ends it")
            _hold(service)
    if not (facts["status"] == "complete" and facts["verified"]):
        raise typer.Exit(1)


def _hold(service: RunningService) -> None:
    try:
        service.hold()
    except KeyboardInterrupt:
        return


def free_or(http: str) -> str:
    """Give the address if it is free, else any free port of its host: a demonstration must not fail on a taken port."""
    host, _, port = http.rpartition(":")
    try:
        with socket.create_server((host, int(port))):
            return http
    except OSError:
        return f"{host}:0"


def _print_verdict(console: Console, facts: Mapping[str, Any], report: VerifyReport) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for row in verdict_rows(facts, report):
        table.add_row(*row)
    console.print(table)
    for problem in report.problems:
        console.print(f"problem  {problem}", style="red", markup=False)


def verdict_rows(facts: Mapping[str, Any], report: VerifyReport) -> list[tuple[str, str]]:
    """Give the lines of the verdict: what, and how much."""
    latency = facts["latency_ms"]
    ratio = facts["raw_bytes"] / facts["stored_bytes"] if facts["stored_bytes"] else 0.0
    return [
        ("run", f"{facts['name']}, {facts['status']}"),
        ("frames", f"{facts['frames_sent']} sent, {facts['frames_stored']} stored, {facts['frames_lost']} lost"),
        ("rate", f"{facts['rate_hz']} Hz sustained of {RATE_HZ:g}, {facts['frames_late']} frames late"),
        ("camera → reduced", _milliseconds(latency["reduced"])),
        ("camera → durable", _milliseconds(latency["durable"])),
        ("size", f"{facts['raw_bytes'] / 1e9:.2f} GB raw → {facts['stored_bytes'] / 1e9:.2f} GB stored ({ratio:.1f}×)"),
        ("store", str(facts["store"])),
        *((("catalogue", catalogue_line(facts["catalogue"])),) if "catalogue" in facts else ()),
        ("verify", "every frame present and right" if facts["verified"] else f"{len(report.problems)} problems"),
    ]


def _milliseconds(quantiles: Mapping[str, float | None]) -> str:
    return f"p50 {quantiles['p50']} ms, p99 {quantiles['p99']} ms"
