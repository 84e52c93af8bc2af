"""Waiting until the catalogue has a run: a demonstration shows it, a recording never does it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from ..sinks.catalogue.reading import CatalogueReader
from ..sinks.catalogue.standing import Standing
from ..sinks.registry import Registry
from ..stream.clock import monotonic_s
from .stored_runs import registry_file

#: Longest wait, seconds; and how often is looked.
WAIT_S, LOOK_S = 30.0, 0.1


def await_catalogue(data: Path, run: str, wait_s: float = WAIT_S) -> Standing:
    """Wait until nothing of a run is on its way to the catalogue, or somebody must see to it; not for ever.

    Parameters
    ----------
    data : Path
        Of the service.
    run : str
        That is over.
    wait_s : float

    Raises
    ------
    StoreError
        The registry cannot be read.
    """
    file, end, pause = registry_file(data), monotonic_s() + wait_s, threading.Event()
    with closing(Registry(file)) as registry, closing(CatalogueReader(file)) as reader:
        report = registry.get(run)
        while True:
            stands = reader.standings({run: report.investigation if report else ""})[run]
            if not stands.waiting or stands.state == "parked" or monotonic_s() > end:
                return stands
            pause.wait(LOOK_S)


def catalogue_line(stands: Mapping[str, Any]) -> str:
    """Give one line on how a run stands, of the JSON of a Standing."""
    ids = ", ".join(f"{part} {id_}" for part, id_ in stands["datasets"].items())
    lag = "" if stands["lag_s"] is None else f", {stands['lag_s']:.2f} s after the last frame"
    why = f": {stands['why']}" if stands["why"] else ""
    return f"{stands['state']}{lag}{f' ({ids})' if ids else ''}{why}"
