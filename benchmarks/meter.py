"""Time, processor time and memory of several processes while something is done."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from time import perf_counter
from types import TracebackType

import psutil

from ..stream.errors import OctostreamError

#: Memory is looked at this often, seconds.
SAMPLE_S = 0.05


class Meter(AbstractContextManager["Meter"]):
    """Measures from entering the block to leaving it.

    Parameters
    ----------
    parts : mapping
        Process ids by the name of the part that they make up.

    Attributes
    ----------
    seconds : float
        Wall time.
    cpu_s : dict
        User and system time by part, all threads, seconds.
    peak_bytes : int
        Largest sum of resident memory seen.
    """

    def __init__(self, parts: Mapping[str, Sequence[int]]) -> None:
        self.seconds = 0.0
        self.cpu_s: dict[str, float] = {}
        self.peak_bytes = 0
        self._parts = {name: [psutil.Process(pid) for pid in pids] for name, pids in parts.items()}
        self._over = threading.Event()
        self._sampling = threading.Thread(target=self._sample, name="meter", daemon=True)

    def __enter__(self) -> Meter:
        """Start."""
        self._look()
        self._cpu_before = self._cpu()
        self._sampling.start()
        self._began = perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop.

        Raises
        ------
        OctostreamError
            One of the processes has ended meanwhile.
        """
        self.seconds = perf_counter() - self._began
        self._over.set()
        self._sampling.join()
        if error is not None:
            return
        try:
            self.cpu_s = {part: cpu - self._cpu_before[part] for part, cpu in self._cpu().items()}
            self._look()
        except psutil.NoSuchProcess as gone:
            what = f"process {gone.pid} ended while it was measured"
            raise OctostreamError(what, "see what it said, and run the benchmark again") from gone

    def _cpu(self) -> dict[str, float]:
        return {part: sum(_cpu_s(p) for p in processes) for part, processes in self._parts.items()}

    def _look(self) -> None:
        rss = sum(p.memory_info().rss for processes in self._parts.values() for p in processes)
        self.peak_bytes = max(self.peak_bytes, rss)

    def _sample(self) -> None:
        while not self._over.wait(SAMPLE_S):
            try:
                self._look()
            except psutil.NoSuchProcess:
                return  # leaving the block says so


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
