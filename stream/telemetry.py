"""How a stage is doing: rate, p50 and p99 over the last seconds, totals since the start."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from .histogram import Histogram
from .report import StageReport, stage_report

#: Upper bounds of the exported histogram, seconds.
BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
RATE_WINDOW_S = 5
LATENCY_WINDOW_S = 10
#: No count or number of a stage is larger: sums of them still fit into every format that carries them.
MOST = 2**53


class StageMeter:
    """Counts what one stage does; one thread may observe while another reports.

    Parameters
    ----------
    name : str
        Of the stage.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.queue = 0
        self.queue_capacity = 0
        self.fill = 0.0
        self.lost = 0
        self._frames = 0
        self._bytes = 0
        self._all = Histogram()
        self._seconds: deque[tuple[int, int, Histogram]] = deque()
        self._lock = threading.Lock()

    def observe(self, now: float, seconds: float, frames: int = 1, nbytes: int = 0) -> None:
        """Count frames that passed the stage together and the time that they took.

        Parameters
        ----------
        now : float
            Monotonic seconds.
        seconds : float
            Duration.
        frames, nbytes : int
            How much passed.
        """
        second = int(now)
        with self._lock:
            if not self._seconds or self._seconds[-1][0] != second:
                self._seconds.append((second, 0, Histogram()))
                self._forget(second)
            at, count, histogram = self._seconds[-1]
            histogram.observe(seconds)
            self._seconds[-1] = (at, count + frames, histogram)
            self._all.observe(seconds)
            self._frames += frames
            self._bytes += nbytes

    def waited(self, now: float, seconds: float) -> None:
        """Count time that frames took after they had been counted, if it is time at all.

        Less than the first of `BUCKETS_S` is none: where nobody waits, a sample each time would hide those of frames.

        Parameters
        ----------
        now : float
            Monotonic seconds.
        seconds : float
        """
        if seconds >= BUCKETS_S[0]:
            self.observe(now, seconds, 0)

    def measure(self, queues: Iterable[tuple[int, int, bool]]) -> None:
        """Take how full the queues in front of the stage are: frames, capacity, and whether a full one is bad."""
        self.queue, self.queue_capacity, self.fill = 0, 0, 0.0
        for queue, capacity, watched in queues:
            self.queue += queue
            self.queue_capacity += capacity
            if watched and capacity:
                self.fill = max(self.fill, queue / capacity)

    def _forget(self, second: int) -> None:
        while self._seconds and self._seconds[0][0] <= second - LATENCY_WINDOW_S - 1:
            self._seconds.popleft()

    def report(self, now: float) -> StageReport:
        """Give the numbers as of now."""
        with self._lock:
            return self._report(int(now))

    def _report(self, second: int) -> StageReport:
        self._forget(second)
        recent = Histogram()
        for _, _, histogram in self._seconds:
            recent.merge(histogram.counts, histogram.total_s)
        whole = [count for at, count, _ in self._seconds if second - RATE_WINDOW_S <= at < second]
        return StageReport(
            name=self.name,
            rate_hz=sum(whole) / RATE_WINDOW_S if len(whole) >= RATE_WINDOW_S else _mean(whole),
            queue=self.queue,
            queue_capacity=self.queue_capacity,
            fill=self.fill,
            p50_ms=_ms(recent.quantile_s(0.5)),
            p99_ms=_ms(recent.quantile_s(0.99)),
            lost=self.lost,
            frames_total=self._frames,
            bytes_total=self._bytes,
            buckets=tuple((bound, self._all.at_most(bound)) for bound in BUCKETS_S),
            duration_sum_s=self._all.total_s,
            durations=self._all.count,
        )


def _mean(counts: list[int]) -> float:
    return sum(counts) / len(counts) if counts else 0.0


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def checked_stage(data: Mapping[str, Any]) -> StageReport:
    """Read a stage report that somebody sent.

    Raises
    ------
    TypeError, ValueError
        It is not one that can be added to others.
    """
    stage = stage_report(data)
    counts = (stage.queue, stage.queue_capacity, stage.lost, stage.frames_total, stage.bytes_total, stage.durations)
    numbers = (stage.rate_hz, stage.fill, stage.duration_sum_s, stage.p50_ms or 0.0, stage.p99_ms or 0.0)
    if not isinstance(stage.name, str) or any(type(n) is not int for n in (*counts, *(n for _, n in stage.buckets))):
        raise TypeError("a stage has a name and whole counts")
    if any(type(n) not in (int, float) or not math.isfinite(n) for n in numbers):
        raise TypeError("a stage's rates and times are finite numbers")
    if any(not 0 <= n <= MOST for n in (*counts, *numbers, *(n for _, n in stage.buckets))):
        raise ValueError(f"a stage's numbers are from 0 to {MOST}")
    if tuple(bound for bound, _ in stage.buckets) != BUCKETS_S:
        raise ValueError("a stage has other buckets")
    return stage


def add_stages(reports: Iterable[StageReport]) -> StageReport:
    """Add the reports of one stage from several processes; of latencies the worst is kept.

    Raises
    ------
    ValueError
        There is no report.
    """
    total: StageReport | None = None
    for report in reports:
        total = report if total is None else _add(total, report)
    if total is None:
        raise ValueError("no report to add")
    return total


def _add(a: StageReport, b: StageReport) -> StageReport:
    return replace(
        a,
        rate_hz=a.rate_hz + b.rate_hz,
        queue=_sum(a.queue, b.queue),
        queue_capacity=_sum(a.queue_capacity, b.queue_capacity),
        fill=max(a.fill, b.fill),
        p50_ms=_worst(a.p50_ms, b.p50_ms),
        p99_ms=_worst(a.p99_ms, b.p99_ms),
        lost=_sum(a.lost, b.lost),
        frames_total=_sum(a.frames_total, b.frames_total),
        bytes_total=_sum(a.bytes_total, b.bytes_total),
        buckets=tuple((bound, _sum(n, k)) for (bound, n), (_, k) in zip(a.buckets, b.buckets, strict=True))
        if a.buckets and b.buckets
        else a.buckets or b.buckets,
        duration_sum_s=a.duration_sum_s + b.duration_sum_s,
        durations=_sum(a.durations, b.durations),
    )


def _sum(a: int, b: int) -> int:
    return min(a + b, MOST)


def _worst(a: float | None, b: float | None) -> float | None:
    return max((v for v in (a, b) if v is not None), default=None)


def only_totals(report: StageReport) -> StageReport:
    """Give what remains of a process that is gone: its totals, no longer a rate or a queue."""
    return replace(report, rate_hz=0.0, queue=0, queue_capacity=0, fill=0.0, p50_ms=None, p99_ms=None)
