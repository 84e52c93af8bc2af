"""What processes use while time passes, and whether it grows: memory, file descriptors, threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import psutil

#: More points than this are thinned out: the slope takes all pairs of them.
MOST_POINTS = 1000
#: What may come and go without being a leak, over the whole time: megabytes (or a share of all), files, threads.
SLACK_MB, SLACK_SHARE, SLACK_FILES, SLACK_THREADS = 20.0, 0.02, 2.0, 2.0


@dataclass(frozen=True, slots=True)
class Use:
    """What a process uses at one moment.

    Attributes
    ----------
    at_s : float
        Since the watch began.
    rss_bytes, files, threads : int
        Resident memory, open file descriptors, threads.
    """

    at_s: float
    rss_bytes: int
    files: int
    threads: int


@dataclass(frozen=True, slots=True)
class Trend:
    """How one number of one process developed.

    Attributes
    ----------
    process, what : str
        Which number of which process.
    first, last : float
        Medians of the first and the last tenth.
    per_hour : float
        Slope by Theil and Sen: the median of the slopes between all pairs of points, deaf to peaks.
    grew : float
        What that slope makes over the time that was watched.
    allowed : float
        Growth that is no leak.
    """

    process: str
    what: str
    first: float
    last: float
    per_hour: float
    grew: float
    allowed: float

    @property
    def leaks(self) -> bool:
        """Whether it grew more than it may."""
        return self.grew > self.allowed


class Watch(threading.Thread):
    """Looks at processes once a period, until stopped.

    Parameters
    ----------
    processes : mapping
        Process ids by name.
    period_s : float
        Between two looks.

    Attributes
    ----------
    uses : dict
        By the names of the processes; one that has ended gives no more.
    """

    def __init__(self, processes: Mapping[str, int], period_s: float = 1.0) -> None:
        super().__init__(name="watch", daemon=True)
        self.uses: dict[str, list[Use]] = {name: [] for name in processes}
        self._processes = {name: psutil.Process(pid) for name, pid in processes.items()}
        self._period_s = period_s
        self._over = threading.Event()

    def run(self) -> None:
        """Look until stopped."""
        began = time.monotonic()
        while not self._over.wait(self._period_s):
            for name, process in self._processes.items():
                with suppress(psutil.NoSuchProcess), process.oneshot():
                    now = time.monotonic() - began
                    found = process.memory_info().rss, process.num_fds(), process.num_threads()
                    self.uses[name].append(Use(now, *found))

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self.join()


def slope(seconds: Sequence[float], values: Sequence[float]) -> float:
    """Give the slope by Theil and Sen, per second; 0 for fewer than two points."""
    step = max(1, -(-len(seconds) // MOST_POINTS))
    t, v = np.asarray(seconds[::step], float), np.asarray(values[::step], float)
    a, b = np.triu_indices(len(t), 1)
    apart = t[b] > t[a]
    return float(np.median((v[b] - v[a])[apart] / (t[b] - t[a])[apart])) if apart.any() else 0.0


def trends(uses: Mapping[str, Sequence[Use]], settled_s: float) -> list[Trend]:
    """Judge what was watched.

    Parameters
    ----------
    uses : mapping
        By the names of the processes.
    settled_s : float
        What came before does not count: buffers fill for the first time.
    """
    found: list[Trend] = []
    for process, all_of_it in uses.items():
        settled = [use for use in all_of_it if use.at_s >= settled_s]
        if len(settled) < 3:
            continue
        seconds = [use.at_s for use in settled]
        memory = [use.rss_bytes / 1e6 for use in settled]
        share = SLACK_SHARE * float(np.median(memory))
        found += [
            _trend(process, "memory, MB", seconds, memory, max(SLACK_MB, share)),
            _trend(process, "files", seconds, [use.files for use in settled], SLACK_FILES),
            _trend(process, "threads", seconds, [use.threads for use in settled], SLACK_THREADS),
        ]
    return found


def _trend(process: str, what: str, seconds: list[float], values: Sequence[float], allowed: float) -> Trend:
    tenth = max(1, len(values) // 10)
    per_s = slope(seconds, values)
    first, last = float(np.median(values[:tenth])), float(np.median(values[-tenth:]))
    return Trend(process, what, first, last, per_s * 3600, per_s * (seconds[-1] - seconds[0]), allowed)
