"""What the head remembers for people and tells twice a second: stages, workers, runs, alarms."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psutil

from ..stream import messages as m
from ..stream.clock import wall_ns
from ..stream.head_protocol import REMEMBERED_RUNS, HeadProtocol
from ..stream.report import IN_PLACE_OF_GPU, STAGES, RunReport, ServiceReport, StageReport, WorkerReport
from ..stream.telemetry import StageMeter, add_stages, checked_stage, only_totals
from .alarms import ALARM, QUEUES, Facts, Raised, follow, shown
from .run_account import RunAccount
from .verdict import SLOW_S, LiveRun, Situation, decide, slow_since

#: Runs stay in the report for so long after they are sealed, so that nobody misses how one ended.
SHOW_SEALED_S = 60.0
#: Bytes written a second are a mean over this long, seconds.
WRITTEN_S = 10
#: A worker that says nothing for so long is no longer shown, seconds.
WORKER_S = 3.0
#: Of so many workers that say nothing it is known what they counted, for each may still go on counting.
SILENT_WORKERS = 64


@dataclass(frozen=True)
class Counted:
    """What a worker counted since it began, and when it said so.

    Attributes
    ----------
    stages : tuple of StageReport
    refused, malformed : int
        Connections that it did not let in, and messages that made no sense to it.
    heard : float
        Monotonic seconds.
    """

    stages: tuple[StageReport, ...]
    refused: int
    malformed: int
    heard: float


@dataclass(frozen=True)
class Disk:
    """The disk of the stores.

    Attributes
    ----------
    free, total, reserve : int
        Bytes; below the reserve nothing is committed.
    """

    free: int
    total: int
    reserve: int


class Picture:
    """The numbers of a service.

    Parameters
    ----------
    protocol : HeadProtocol
        Knows runs and workers.
    disk : callable
        Tells how full the disk is.
    memory_bytes : int
        What the head may use.

    Attributes
    ----------
    accounts : dict
        Of every open run, by id.
    publish : StageMeter
        Of the stage that the head itself is.
    """

    def __init__(self, protocol: HeadProtocol, disk: Callable[[], Disk], memory_bytes: int) -> None:
        self.accounts: dict[str, RunAccount] = {}
        self.publish = StageMeter("publish")
        self._protocol = protocol
        self._disk = disk
        self._memory_bytes = memory_bytes
        self._process = psutil.Process()
        self._workers: dict[str, WorkerReport] = {}
        self._counted: dict[str, Counted] = {}
        self._retired: dict[str, StageReport] = {}
        self._turned_away = (0, 0)
        self._sealed: deque[tuple[float, RunReport]] = deque(maxlen=REMEMBERED_RUNS)
        self._written: deque[tuple[int, int]] = deque(maxlen=WRITTEN_S + 1)
        self._raised: dict[str, Raised] = {}

    # --- what is said ---

    def count_ping(self, ping: m.Ping) -> None:
        """Take what an agent says of its own stages."""
        account = self.accounts[ping.run]
        planned = account.run.plan.rate_hz is not None
        account.stages = tuple(_filled(stage, planned) for stage in _read_stages(ping.stages))
        account.late = ping.late

    def count_block(self, done: m.BlockDone, now: float) -> None:
        """Take a durable block."""
        second = int(now)
        before = self._written.pop()[1] if self._written and self._written[-1][0] == second else 0
        self._written.append((second, before + done.stored_bytes))
        if done.run in self.accounts:
            self.accounts[done.run].block(done)

    def count_stats(self, stats: m.Stats, now: float) -> None:
        """Take what a worker says of itself."""
        known = (worker.device for worker in self._protocol.workers.values() if worker.name == stats.worker)
        device = next(known, "cpu")
        report = WorkerReport(stats.worker, True, device, stats.rss_bytes, stats.trouble, stats.memory_bytes)
        self._workers[stats.worker] = report
        self._counted[stats.worker] = Counted(tuple(_read_stages(stats.stages)), stats.refused, stats.malformed, now)
        for run, received in stats.received.items():
            if run in self.accounts:
                self.accounts[run].progress(stats.worker, received, now, wall_ns())

    def close_account(self, run: str) -> RunAccount:
        """Take a run out that is over; the totals of its agent's stages stay, so that counters never fall."""
        account = self.accounts.pop(run)
        self._retire(account.stages)
        return account

    def count_sealed(self, report: RunReport, now: float) -> None:
        """Show how a run ended."""
        self._sealed.append((now, report))

    # --- the report ---

    def resident(self) -> int:
        """Give the resident bytes of the head."""
        return self._process.memory_info().rss

    def report(self, now: float, refused: int, malformed: int) -> ServiceReport:
        """Give the picture as of now.

        Parameters
        ----------
        now : float
            Monotonic seconds.
        refused, malformed : int
            Connections that the head itself did not let in, and messages that made no sense to it.
        """
        self._forget(now)
        disk, protocol, resident = self._disk(), self._protocol, self.resident()
        runs = [self._run(run) for run in self.accounts if run in protocol.runs]
        live = tuple(self._live_run(report, now) for report in reversed(runs))
        stages = self._stages(now)
        workers = tuple(self._workers.values())
        counted = self._counted.values()
        not_ready = () if protocol.workers else ("no worker is ready yet",)
        waits = tuple(f"{report.name} {why}" for report in runs if (why := protocol.waits(report.id)))
        reasons = {
            **_reasons(live, self.accounts.values(), workers, stages, disk),
            "memory_over": _over(workers, resident, self._memory_bytes),
            "memory_wait": waits[0] if waits else "",
        }
        self._raised = follow(self._raised, Facts(stages, reasons), now, wall_ns())
        situation = Situation(
            runs=live,
            troubles=tuple(worker.trouble for worker in workers if worker.trouble),
            not_ready=not_ready,
            disk_free_bytes=disk.free,
            disk_reserve_bytes=disk.reserve,
            draining=protocol.draining,
            full_queues=tuple(s.text for name, s in self._raised.items() if name in QUEUES and s.level == ALARM),
        )
        verdict, reason = decide(situation)
        return ServiceReport(
            time_ns=wall_ns(),
            verdict=verdict,
            reason=reason,
            runs=(*reversed(runs), *(r for _, r in reversed(self._sealed))),
            stages=stages,
            workers=workers,
            not_ready=not_ready,
            disk_free_bytes=disk.free,
            disk_total_bytes=disk.total,
            disk_reserve_bytes=disk.reserve,
            write_bytes_per_s=self._write_rate(now),
            draining=protocol.draining,
            refused_connections=refused + self._turned_away[0] + sum(c.refused for c in counted),
            malformed_messages=malformed + self._turned_away[1] + sum(c.malformed for c in counted),
            alarms=shown(self._raised),
            head_rss_bytes=resident,
        )

    def _run(self, run: str) -> RunReport:
        account = self.accounts[run]
        report = account.report(self._protocol.runs[run], "recording", account.rate_hz)
        reason = self._protocol.waits(run) or account.trouble or account.following or report.reason
        return replace(report, reason=reason)

    def _live_run(self, report: RunReport, now: float) -> LiveRun:
        account = self.accounts[report.id]
        account.slow_since = slow_since(account.slow_since, report, now)
        slow_for = 0.0 if account.slow_since is None else now - account.slow_since
        trouble = self._protocol.waits(report.id) or account.trouble
        return LiveRun(report.name, report.rate_hz, report.target_hz, slow_for, report.lost, trouble)

    def _write_rate(self, now: float) -> float:
        if not self._written:
            return 0.0
        span = min(float(WRITTEN_S), max(1.0, now - self._written[0][0]))
        return sum(n for _, n in self._written) / span

    def _forget(self, now: float) -> None:
        while self._sealed and now - self._sealed[0][0] > SHOW_SEALED_S:
            self._sealed.popleft()
        while self._written and now - self._written[0][0] > WRITTEN_S:
            self._written.popleft()
        for worker in [w for w in self._workers if now - self._counted[w].heard > WORKER_S]:
            del self._workers[worker]
        # Only of those that have been silent for longest the totals are folded: one that comes back says its own again.
        silent = sorted(set(self._counted) - set(self._workers), key=lambda worker: self._counted[worker].heard)
        for worker in silent[: max(0, len(silent) - SILENT_WORKERS)]:
            gone = self._counted.pop(worker)
            self._retire(gone.stages)
            self._turned_away = (self._turned_away[0] + gone.refused, self._turned_away[1] + gone.malformed)

    def _retire(self, stages: Iterable[StageReport]) -> None:
        for stage in stages:
            past = self._retired.get(stage.name)
            self._retired[stage.name] = only_totals(add_stages([stage, past] if past else [stage]))

    def _stages(self, now: float) -> tuple[StageReport, ...]:
        """Add up what everybody says; the spool is shown only where somebody has one."""
        said = [s for a in self.accounts.values() for s in a.stages]
        for worker, counted in self._counted.items():
            said += counted.stages if worker in self._workers else map(only_totals, counted.stages)
        said += [*self._retired.values(), self.publish.report(now)]
        by_name = {name: [s for s in said if s.name == name] for name in STAGES}
        return tuple(
            add_stages(reports or [StageMeter(name).report(now)])
            for name, reports in by_name.items()
            if reports or name != "spool"
        )


def _reasons(
    runs: Sequence[LiveRun],
    accounts: Iterable[RunAccount],
    workers: Sequence[WorkerReport],
    stages: Sequence[StageReport],
    disk: Disk,
) -> dict[str, str]:
    """Give the texts of the alarms that are not about how full a queue is."""
    lost = [run.name for run in runs if run.lost]
    accounts = list(accounts)
    troubles = [f"{account.run.name}: {account.trouble}" for account in accounts if account.trouble]
    following = [f"{account.run.name}: {account.following}" for account in accounts if account.following]
    slow = [run.name for run in runs if run.target_hz is not None and run.slow_for_s >= SLOW_S]
    without = [worker for worker in workers if worker.device.startswith(IN_PLACE_OF_GPU)]
    spooled = any(stage.name == "spool" and stage.queue for stage in stages)
    return {
        "frames_lost": f"frames of {_names(lost)} were lost: the ledger names each one" if lost else "",
        "disk_full": "the disk is full to its reserve" if disk.free < disk.reserve else "",
        "store_trouble": troubles[0] if troubles else "",
        "series_trouble": following[0] if following else "",
        "worker_trouble": next((worker.trouble for worker in workers if worker.trouble), ""),
        "gpu_lost": f"{without[0].id} works on the {without[0].device}" if without else "",
        "run_slow": f"{_names(slow)} below the planned rate" if slow else "",
        "spool_in_use": "frames wait on an instrument's disk: the tier is away or too slow" if spooled else "",
    }


def _over(workers: Sequence[WorkerReport], head_bytes: int, head_may_bytes: int) -> str:
    over = [worker.id for worker in workers if worker.memory_bytes and worker.rss_bytes > worker.memory_bytes]
    over += ["the head"] if head_bytes > head_may_bytes else []
    return f"{over[0]} uses more memory than it may" if over else ""


def _names(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} runs"


def _filled(stage: StageReport, planned: bool) -> StageReport:
    """Tell how full an agent's queue is; of a source that goes as fast as it can only the spool should not be full."""
    watched = stage.queue_capacity and (planned or stage.name == "spool")
    return replace(stage, fill=stage.queue / stage.queue_capacity if watched else 0.0)


def _read_stages(plain: tuple[Mapping[str, Any], ...]) -> list[StageReport]:
    """Read stage reports; what is not one is left out, for the page is not worth a run."""
    read: list[StageReport] = []
    for stage in plain[:16]:
        try:
            read.append(checked_stage(stage))
        except (TypeError, ValueError, AttributeError):
            continue
    return [s for s in read if s.name in STAGES]
