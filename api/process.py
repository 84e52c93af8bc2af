"""Entry of the service's child processes: ``python -m octostream.api.process ROLE READY_FD SETTINGS_JSON``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ..stream.errors import OctostreamError
from .child import allow_many_files, die_with_parent, on_signals, say
from .logs import configure_logs


def head(ready_fd: int, settings: dict[str, Any]) -> None:
    """Run the head."""
    from .head import Head, HeadSettings

    made = Head(HeadSettings(**settings))
    on_signals(made.stop, made.drain)
    say(ready_fd, ingest=made.ingest)
    made.run()


def worker(ready_fd: int, settings: dict[str, Any]) -> None:
    """Run a worker; it is ready when every kernel is compiled."""
    from ..kernels.reduction import warm_up
    from ..stream.worker import Worker, WorkerSettings
    from .worker_process import PrepareOnDisk, device_of

    reserve = settings.pop("reserve_bytes")
    device, told = device_of(settings.pop("device"), had_gpu=settings.pop("had_gpu"))
    warm_up()
    made = Worker(WorkerSettings(**settings), PrepareOnDisk(reserve, device), told)
    on_signals(made.stop)
    say(ready_fd, endpoint=made.endpoint, device="gpu" if device else "cpu")
    made.run()


def web(ready_fd: int, settings: dict[str, Any]) -> None:
    """Run the page and the HTTP interface on a socket that the parent listens on."""
    from .web import serve_web

    serve_web(ready_fd, **settings)


def catalogue(ready_fd: int, settings: dict[str, Any]) -> None:
    """Tell ICAT of the runs; it is ready before ICAT has answered, for nobody waits for that."""
    from ..sinks.catalogue.installed import require_icat
    from ..sinks.catalogue.settings import CatalogueSettings, read_credentials

    require_icat()
    from ..sinks.catalogue.delivery import Delivery
    from .stored_runs import registry_file

    chosen = CatalogueSettings(**settings["catalogue"])
    made = Delivery(registry_file(Path(settings["data"])), chosen, read_credentials(chosen))
    on_signals(made.stop)
    say(ready_fd)
    made.run()


ROLES = {"head": head, "worker": worker, "web": web, "catalogue": catalogue}


def main(arguments: list[str]) -> int:
    """Run one role; errors go to the parent as one line."""
    role, ready_fd, settings = arguments[0], int(arguments[1]), json.loads(arguments[2])
    die_with_parent()
    allow_many_files()
    configure_logs(role)
    try:
        ROLES[role](ready_fd, settings)
    except OctostreamError as error:
        say(ready_fd, error=str(error), code=error.exit_code)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
