"""What the web process knows: the latest report and preview of the head, and the finished runs, all read-only."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..stream.ledger import Ledger
from ..stream.report import PreviewFrame, RunReport, ServiceReport

#: A preview of which nothing new came for this long is forgotten, so that memory does not grow with the runs seen.
FORGET_S = 60.0


class Feed(Protocol):
    """The newest of what the head tells; every call returns at once, ``changed`` excepted."""

    def report(self) -> ServiceReport | None:
        """Give the latest report; None if the head was never heard."""
        ...

    def preview(self, run: str) -> PreviewFrame | None:
        """Give the latest preview of a run; None if there is none."""
        ...

    async def changed(self, after: int, timeout_s: float) -> int:
        """Wait until something newer than version ``after`` came, or the time is over.

        Parameters
        ----------
        after : int
            Version that the caller has seen; -1 for none.
        timeout_s : float
            Longest wait, seconds.

        Returns
        -------
        int
            Version of what ``report`` and ``preview`` give now; ``after`` itself when the time was over.
        """
        ...


class Runs(Protocol):
    """The run registry, ledgers and projections; calls may read from disk and run in a thread of the pool."""

    def list(self, limit: int, before: str | None) -> Sequence[RunReport]:
        """Give up to ``limit`` runs, newest first, of those opened before run ``before`` (None: of all)."""
        ...

    def get(self, run_id: str) -> RunReport | None:
        """Give a run; None if there is no such run."""
        ...

    def ledger(self, run_id: str) -> Ledger | None:
        """Give the ledger of a run; None if there is no such run."""
        ...

    def recipe(self, run_id: str) -> Mapping[str, Any] | None:
        """Give the recipe of a run as its store has it; None if there is no such run, or its store is gone."""
        ...

    def metadata(self, run_id: str) -> Mapping[str, str | float | int | bool] | None:
        """Give what the operator said of a run; None if there is no such run, or its store is gone."""
        ...

    def projection(self, run_id: str, which: str, c: int) -> tuple[int, NDArray[np.uint16]] | None:
        """Give the latest projection of a run, made small for a screen.

        Parameters
        ----------
        run_id : str
            Run.
        which : str
            ``"xy"``, ``"xz"`` or ``"yz"``.
        c : int
            Channel.

        Returns
        -------
        (int, uint16 array) or None
            Time point and image (y, x), (z, x) or (z, y); None where nothing is committed yet.
        """
        ...


class LatestFeed:
    """Holder of the newest report and the newest preview of each run; one thread puts, an event loop waits.

    Latest wins: nothing queues, however slow the readers are.

    Parameters
    ----------
    clock : callable
        Monotonic time, seconds; tells when a preview is forgotten.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._version = 0
        self._report: ServiceReport | None = None
        self._previews: dict[str, tuple[PreviewFrame, float]] = {}
        self._waiters: set[asyncio.Future[None]] = set()

    def report(self) -> ServiceReport | None:
        """Give the latest report; None if the head was never heard."""
        with self._lock:
            return self._report

    def preview(self, run: str) -> PreviewFrame | None:
        """Give the latest preview of a run; None if there is none or it was forgotten."""
        with self._lock:
            self._forget()
            held = self._previews.get(run)
        return held[0] if held else None

    def put_report(self, report: ServiceReport) -> None:
        """Replace the report. Safe from any thread."""
        with self._lock:
            self._report = report
            self._wake()

    def put_preview(self, frame: PreviewFrame) -> None:
        """Replace the preview of its run. Safe from any thread."""
        with self._lock:
            self._previews[frame.run] = (frame, self._clock())
            self._forget()
            self._wake()

    async def changed(self, after: int, timeout_s: float) -> int:
        """Wait until something newer than version ``after`` came, or the time is over."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._version > after:
                return self._version
            self._waiters.add(future)
        try:
            await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            return after
        finally:
            with self._lock:
                self._waiters.discard(future)
        with self._lock:
            return self._version

    def _forget(self) -> None:
        limit = self._clock() - FORGET_S
        for run in [run for run, (_, seen) in self._previews.items() if seen < limit]:
            del self._previews[run]

    def _wake(self) -> None:
        self._version += 1
        waiters, self._waiters = self._waiters, set()
        for future in waiters:
            # A loop that has closed has nobody left who waits.
            with contextlib.suppress(RuntimeError):
                future.get_loop().call_soon_threadsafe(_settle, future)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
