"""What the head remembers of a run for people: rates, latencies, bytes; never for a decision about frames."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..stream import messages as m
from ..stream.head_protocol import LiveRun
from ..stream.histogram import Histogram, quantiles_ms
from ..stream.model import Commit, Run
from ..stream.report import RunReport, StageReport

#: Rates are means over this long, seconds.
WINDOW_S = 5.0


@dataclass
class RunAccount:
    """The numbers of one run.

    Attributes
    ----------
    run : Run
        Which.
    received : dict
        Frames reduced, by worker.
    stages : tuple of StageReport
        What the agent said of its own stages.
    late : int
        Frames that the agent started late.
    trouble : str
        Why its store cannot be published or sealed at present; empty where nothing is wrong.
    following : str
        Why the series of its recipe do not follow it at present; empty where they do, or where there are none.
    """

    run: Run
    received: dict[str, int] = field(default_factory=dict)
    stages: tuple[StageReport, ...] = ()
    late: int = 0
    trouble: str = ""
    following: str = ""
    raw_bytes: int = 0
    stored_bytes: int = 0
    reduced: Histogram = field(default_factory=Histogram)
    durable: Histogram = field(default_factory=Histogram)
    last_frame_ns: int = 0
    slow_since: float | None = None
    _history: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def frames(self) -> int:
        """Frames reduced at least once."""
        return min(sum(self.received.values()), self.run.plan.frames)

    def progress(self, worker: str, received: int, now: float, wall_ns: int) -> None:
        """Take a worker's count of frames reduced."""
        before = self.frames
        self.received[worker] = max(received, self.received.get(worker, 0))
        if self.frames > before:
            self.last_frame_ns = wall_ns
        self._history.append((now, self.frames))
        while len(self._history) > 2 and self._history[0][0] < now - WINDOW_S:
            self._history.popleft()

    def block(self, done: m.BlockDone) -> None:
        """Take a durable block."""
        self.raw_bytes += done.raw_bytes
        self.stored_bytes += done.stored_bytes
        self.reduced.merge(*done.reduced)
        self.durable.merge(*done.durable)

    @property
    def rate_hz(self) -> float | None:
        """Frames reduced a second, over the last seconds."""
        if len(self._history) < 2 or self._history[-1][0] - self._history[0][0] < 0.5:
            return None
        (t0, n0), (t1, n1) = self._history[0], self._history[-1]
        return round((n1 - n0) / (t1 - t0), 2)

    def report(self, live: LiveRun | None, status: str, rate_hz: float | None, sealed_ns: int = 0) -> RunReport:
        """Give what is shown of the run."""
        run, ledger = self.run, live.ledger if live else None
        stored = len(ledger.stored) if ledger else 0
        return RunReport(
            id=run.id,
            name=run.name,
            investigation=run.investigation,
            store=run.store,
            source=run.plan.source,
            recipe=str(run.recipe.get("name", "")),
            status=status,
            shape=run.plan.shape,
            expected=run.plan.frames,
            received=max(self.frames, stored),
            stored=stored,
            lost=len(ledger.lost) if ledger else 0,
            rate_hz=rate_hz,
            target_hz=run.plan.rate_hz,
            late=self.late,
            raw_bytes=self.raw_bytes,
            stored_bytes=self.stored_bytes,
            reduced_ms=quantiles_ms(self.reduced),
            durable_ms=quantiles_ms(self.durable),
            last_frame_ns=self.last_frame_ns,
            opened_ns=run.opened_ns,
            sealed_ns=sealed_ns,
            reason=ledger.losses[0].why if ledger and ledger.losses else "",
            instrument=run.instrument,
            visit=run.visit,
            technique=run.technique,
        )


def sustained_hz(commits: Iterable[Commit]) -> float | None:
    """Give the mean rate of the stored frames by the agent's own stamps.

    Parameters
    ----------
    commits : iterable of Commit
        All of a run, one at a time.
    """
    count, first, last = 0, math.inf, -math.inf
    for commit in commits:
        stamps = [f.timestamp_ns for f in commit.frames]
        if stamps:
            count, first, last = count + len(stamps), min(first, *stamps), max(last, *stamps)
    return round((count - 1) * 1e9 / (last - first), 3) if count > 1 and last > first else None


def summary(report: RunReport) -> Mapping[str, Any]:
    """Give what the agent is told at the end."""
    return {
        "name": report.name,
        "store": report.store,
        "rate_hz": report.rate_hz,
        "latency_ms": {"reduced": dict(report.reduced_ms), "durable": dict(report.durable_ms)},
        "raw_bytes": report.raw_bytes,
        "stored_bytes": report.stored_bytes,
        "late": report.late,
    }
