"""The thread that writes frames to the spool, so that neither the source nor the network waits for the disk."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..stream.clock import monotonic_s
from ..stream.errors import OctostreamError
from ..stream.model import Frame, Loss
from ..stream.telemetry import StageMeter
from .spool import Spool

#: What was written is made durable after so many bytes, and when nothing more comes for a moment.
SYNC_BYTES = 256 * 2**20
IDLE_S = 0.2

#: Called from the thread with a frame's number, and why it was not spooled: "" where it was.
Told = Callable[[int, str], None]


class Spooling:
    """Feeds one spool; what it is asked to do is done in that order.

    Parameters
    ----------
    spool : Spool
        Of the run. Only this thread writes to it; any thread may read from it.
    told : callable
        Hears what became of each frame.

    Attributes
    ----------
    trouble : str
        What went wrong last with the spool's own files; frames that cannot be written are told one by one.
    """

    def __init__(self, spool: Spool, told: Told) -> None:
        self.spool = spool
        self.meter = StageMeter("spool")
        self.trouble = ""
        self._told = told
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._unsynced = 0
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    def put(self, frame: Frame, pixels: NDArray[np.uint16]) -> None:
        """Write a frame; ``pixels`` must not change until its number is told."""
        self._jobs.put(lambda: self._append(frame, pixels))

    def forget(self, numbers: Iterable[int]) -> None:
        """Give the space of frames back that are durable at the tier."""
        gone = tuple(numbers)
        self._jobs.put(lambda: self.spool.forget(gone))

    def lost(self, losses: Iterable[Loss]) -> None:
        """Write down frames that never will be sent, so that a restarted agent knows why."""
        named = tuple(losses)
        self._jobs.put(lambda: self.spool.lost(named))

    def ended(self, why: str) -> None:
        """Write down that capture has ended."""
        self._jobs.put(lambda: self.spool.ended(why))

    def opened(self, run: str, name: str, store: str) -> None:
        """Write down what the tier calls the run."""
        self._jobs.put(lambda: self.spool.note_run(run, name, store))

    def close(self) -> None:
        """Finish what was asked for, make it durable, end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=IDLE_S if self._unsynced else None)
            except queue.Empty:
                job = self._sync
            self._do(job or self._sync)
            if self._unsynced >= SYNC_BYTES:
                self._do(self._sync)
            if job is None:
                return

    def _do(self, job: Callable[[], None]) -> None:
        try:
            job()
        except OctostreamError as error:  # the run goes on without: its frames are on their way to the tier as well
            self.trouble = str(error)

    def _append(self, frame: Frame, pixels: NDArray[Any]) -> None:
        began = monotonic_s()
        try:
            self.spool.append(frame, pixels)
        except OctostreamError as error:
            self._told(frame.number, str(error))
            return
        self._unsynced += pixels.nbytes
        now = monotonic_s()
        self.meter.observe(now, now - began, 1, pixels.nbytes)
        self._told(frame.number, "")

    def _sync(self) -> None:
        self._unsynced = 0
        self.spool.sync()
