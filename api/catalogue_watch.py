"""What the web process knows of the catalogue: read from the registry's file, so that the head has no work with it."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import structlog

from ..sinks.catalogue.reading import CatalogueReader, Pending
from ..sinks.catalogue.standing import Standing
from ..stream.errors import StoreError
from ..stream.report import Alarm, ServiceReport

#: The file is asked whether something changed this often, seconds.
LOOK_S = 0.5
#: Pause after a failure of the disk, seconds.
DISK_S = 2.0
#: Alarms that the web process raises beside those of the head.
CATALOGUE_ALARMS = ("catalogue_parked", "catalogue_late")
#: What waits for so long is a warning, nanoseconds: ICAT was away for longer than a restart takes.
LATE_NS = 600 * 10**9
#: Bounds of the lag's histogram, seconds: complete within one is what is wanted, a day is an ICAT that was away.
LAGS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0, 86400.0)

log = structlog.get_logger()


@dataclass(frozen=True)
class CatalogueState:
    """The catalogue at the last look.

    Attributes
    ----------
    pending : Pending
        What waits.
    registered : int
        Runs that the catalogue has.
    lags : tuple of int
        How often, since this process started, a run became complete so long after its last frame: within each of
        `LAGS_S` but none before, and later.
    lag_sum_s : float
        All of them together.
    """

    pending: Pending = Pending()
    registered: int = 0
    lags: tuple[int, ...] = (0,) * (len(LAGS_S) + 1)
    lag_sum_s: float = 0.0


class Catalogue(Protocol):
    """How runs stand in the catalogue; exists where one is set."""

    def state(self) -> CatalogueState:
        """Give what the last look saw; returns at once."""
        ...

    def standings(self, investigations: Mapping[str, str]) -> Mapping[str, Standing]:
        """Tell how runs stand, given the investigation of each; reads from disk."""
        ...


class CatalogueWatch:
    """Looks at queue and registrations.

    Parameters
    ----------
    path : Path
        The registry's file.

    Raises
    ------
    StoreError
        It cannot be used; `look` and `standings` raise it, too.
    """

    def __init__(self, path: Path) -> None:
        self._reader = CatalogueReader(path)
        self._version: int | None = None
        self._state = CatalogueState()

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()

    def state(self) -> CatalogueState:
        """Give what the last look saw."""
        return self._state

    def standings(self, investigations: Mapping[str, str]) -> Mapping[str, Standing]:
        """Tell how runs stand."""
        return self._reader.standings(investigations)

    def look(self) -> None:
        """Look again, where somebody changed the file."""
        version = self._reader.version()
        if version == self._version:
            return
        pending = self._reader.pending()
        known = self._state
        first = self._version is None
        if first or pending != known.pending:
            self._state = self._after(known, pending, first=first)
        self._version = version

    def _after(self, known: CatalogueState, pending: Pending, *, first: bool) -> CatalogueState:
        state = replace(known, pending=pending)
        if not first and pending.told == known.pending.told:
            return state
        # What became complete before this process started is not its to count.
        lags = [] if first else self._reader.lags(known.pending.told[1])
        counts = list(known.lags)
        for lag_s in lags:
            counts[bisect_left(LAGS_S, lag_s)] += 1
        total_s = known.lag_sum_s + sum(lags)
        return replace(state, registered=self._reader.registered(), lags=tuple(counts), lag_sum_s=total_s)


def catalogue_alarms(pending: Pending, now_ns: int) -> tuple[Alarm, ...]:
    """Give the warnings about the catalogue; no frame is at stake.

    Parameters
    ----------
    pending : Pending
    now_ns : int
        Wall clock.
    """
    alarms: list[Alarm] = []
    if pending.parked_ns is not None:
        runs = "a run waits" if pending.parked_runs == 1 else f"{pending.parked_runs} runs wait"
        text = f"{runs} for a person before the catalogue learns more: the list of runs says why"
        alarms.append(Alarm("catalogue_parked", "warning", text, pending.parked_ns))
    if pending.waiting_ns is not None and now_ns - pending.waiting_ns > LATE_NS:
        why = f" ({pending.why})" if pending.why else ""
        text = f"the catalogue has not been told of what happened more than {LATE_NS // 60_000_000_000} min ago{why}"
        alarms.append(Alarm("catalogue_late", "warning", text, pending.waiting_ns + LATE_NS))
    return tuple(alarms)


def with_catalogue(report: ServiceReport, catalogue: Catalogue | None) -> ServiceReport:
    """Add the warnings about the catalogue, where there is one, to what the head told."""
    if catalogue is None:
        return report
    alarms = catalogue_alarms(catalogue.state().pending, report.time_ns)
    return replace(report, alarms=(*report.alarms, *alarms)) if alarms else report


class Looking:
    """The thread that looks.

    Parameters
    ----------
    watch : CatalogueWatch
        Closed with the thread.
    """

    def __init__(self, watch: CatalogueWatch) -> None:
        self._watch = watch
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="catalogue", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join()
        self._watch.close()

    def _look(self) -> None:
        pause_s = 0.0
        while not self._stop.wait(pause_s):
            try:
                self._watch.look()
            except StoreError as error:
                log.error("the state of the catalogue cannot be read", why=str(error))
                pause_s = DISK_S
            else:
                pause_s = LOOK_S
