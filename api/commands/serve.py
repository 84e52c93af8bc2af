"""``octostream serve``: the tier on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ..logs import configure_logs
from ..output import say_json
from ..service import Service
from ..settings import Settings

NAME = "serve"


def command(
    data: Annotated[Path | None, typer.Option(help="Directory of the stores.", show_default="octostream-data")] = None,
    http: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Address of the page.")] = None,
    ingest: Annotated[str | None, typer.Option(metavar="tcp://HOST:PORT", help="Address for agents.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes.")] = None,
    device: Annotated[str | None, typer.Option(metavar="auto|cpu|gpu", help="What workers reduce on.")] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Settings, TOML.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of text.")] = False,
) -> None:
    """Receive, reduce and store runs; show them on a page. Ctrl-C or SIGTERM drains and stops."""
    configure_logs("service")
    flags = {"data": data, "http": http, "ingest": ingest, "workers": workers, "device": device}
    settings = Settings.load(config, flags)
    service = Service(settings)
    console = Console(highlight=False, soft_wrap=True)

    def tell(event: str) -> None:
        facts: dict[str, Any] = {"dashboard": service.dashboard, "ingest": service.ingest, "data": str(service.data)}
        if as_json:
            say_json({"event": event, **facts})
        elif event == "listening":
            console.print(
                f"dashboard  [bold]{service.dashboard}[/]\nagents     {service.ingest}\ndata       {service.data}"
            )
            console.print(f"record     octostream acquire SOURCE --to {service.ingest}\nstarting …")
        elif event == "ready":
            console.print(f"ready, {settings.workers} worker{'s' if settings.workers > 1 else ''}; Ctrl-C stops")
        else:
            console.print("draining: what was received becomes durable first …")

    service.run(tell)
