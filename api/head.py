"""The head process: keeps runs, opens, publishes and seals stores, tells the tier what to do. No frame passes here."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from hmac import compare_digest
from pathlib import Path
from typing import Any

import structlog

from .. import __version__
from ..sinks.disk import free_bytes, reserve_of
from ..sinks.keeper import StoreKeeper
from ..sinks.reading import read_ledger
from ..sinks.registry import Registry
from ..sinks.runfile import run_file
from ..stream import head_protocol as hp
from ..stream import messages as m
from ..stream.clock import monotonic_s, wall_ns
from ..stream.doorkeeper import Doorkeeper
from ..stream.errors import OctostreamError, RefusedError, StoreError, UsageError, WireError
from ..stream.keys import Permit
from ..stream.link import MAX_MESSAGE_BYTES, Poll, Publisher, Router, context
from ..stream.model import Loss
from ..stream.preview import publish_report
from ..stream.ranges import Ranges
from ..stream.report import RunReport, ServiceReport, StageReport, WorkerReport
from ..stream.telemetry import StageMeter, add_stages, checked_stage, only_totals
from ..stream.wire import decode, encode
from .opening import Request, check_opening
from .run_account import RunAccount, summary, sustained_hz
from .stored_runs import registry_file
from .tokens import read_token, write_token
from .verdict import LiveRun, Situation, decide, slow_since

REPORT_S = 0.5
#: Pause before a store that cannot be published or sealed is tried again.
AGAIN_S = 2.0
#: A store that is not there for so long has been removed; network disks may lose sight of one for a moment.
REMOVED_S = 5.0
#: Runs stay in the report for so long after they are sealed, so that nobody misses how one ended.
SHOW_SEALED_S = 60.0
LINGER_MS = 500
STAGES = ("acquire", "send", "receive", "reduce", "write", "publish")

log = structlog.get_logger()


@dataclass(frozen=True)
class HeadSettings:
    """What the head is told; plain values.

    Attributes
    ----------
    data : str
        Directory of the stores.
    ingest : str
        Where agents connect.
    tier : str
        Where workers connect.
    copies : str
        Where reports are sent to.
    dashboard : str
        Address of the page, told to agents.
    reserve_bytes : int
        Disk that is never filled.
    agent_timeout_s : float
        After so much silence of its agent a run is sealed.
    keys : str
        Folder of the tier's keys; empty: agents need none.
    """

    data: str
    ingest: str
    tier: str
    copies: str
    dashboard: str
    reserve_bytes: int
    agent_timeout_s: float
    keys: str = ""


class Head:
    """The head of a tier.

    Parameters
    ----------
    settings : HeadSettings
        Addresses and limits.
    """

    def __init__(self, settings: HeadSettings) -> None:
        self.settings = settings
        self._data = Path(settings.data)
        self._context = context()
        doorkeeper = Doorkeeper(self._context, Path(settings.keys)) if settings.keys else None
        try:  # an OPEN may carry calibration maps
            self._agents = Router(self._context, settings.ingest, MAX_MESSAGE_BYTES, doorkeeper)
        except UsageError as error:
            raise UsageError(error.what, "give another address to --ingest") from error
        self._tier = Router(self._context, settings.tier)
        self._copies = Publisher(self._context, settings.copies)
        self._poll = Poll()
        self._poll.add(self._agents)
        self._poll.add(self._tier)
        self._registry = Registry(registry_file(self._data))
        timing = hp.HeadTiming(agent_s=settings.agent_timeout_s)
        self._protocol = hp.HeadProtocol(settings.dashboard, timing)
        self._keepers: dict[str, StoreKeeper] = {}
        self._accounts: dict[str, RunAccount] = {}
        self._workers: dict[str, tuple[WorkerReport, dict[str, StageReport], float]] = {}
        self._retired: dict[str, StageReport] = {}
        self._publish = StageMeter("publish")
        self._unpublished: dict[str, float] = {}
        self._unsealed: dict[str, tuple[float, tuple[Loss, ...]]] = {}
        self._missing: dict[str, float] = {}
        self._sealed: deque[tuple[float, RunReport]] = deque()
        self._written: deque[tuple[float, int]] = deque()
        self._malformed = 0
        self._turned_away: dict[str, tuple[int, int]] = {}
        self._next_report = 0.0
        self._stopping = False  # a flag, no Event: its lock would deadlock when one signal interrupts another
        self._drain_asked = False

    @property
    def ingest(self) -> str:
        """Address at which agents reach the head."""
        return self._agents.endpoint

    def stop(self) -> None:
        """Return from ``run`` soon."""
        self._stopping = True

    def drain(self) -> None:
        """Take no new runs from now on."""
        self._drain_asked = True

    def run(self) -> None:
        """Serve until stopped."""
        self._remember_sealed()
        self._restore()
        try:
            while not self._stopping:
                self._poll.wait(0.1)
                # Before the messages are read: after a long seal they wait, and nobody was silent but this loop.
                looked = monotonic_s()
                self._take_tier()
                self._take_agents()
                self._publish_all()
                now = monotonic_s()
                for run in [r for r, (again, _) in self._unsealed.items() if now >= again]:
                    self._seal(run, self._unsealed.pop(run)[1])
                if self._drain_asked and not self._protocol.draining:
                    self._act(self._protocol.handle(hp.Drain(), now))
                self._act(self._protocol.handle(hp.Tick(), looked))
                if now >= self._next_report:
                    self._next_report = now + REPORT_S
                    self._look_for_stores(now)
                    publish_report(self._copies, self._report(now))
        finally:
            self._agents.close(LINGER_MS)  # an agent may just be told how its run ended
            self._tier.close()
            self._copies.close()
            self._context.term()
            self._registry.close()

    # --- messages ---

    def _take_agents(self) -> None:
        while (received := self._agents.receive()) is not None:
            address, parts, permit = received
            if permit is None:
                self._agents.send(address, encode(m.NOT_ALLOWED))
                continue
            try:
                message = decode(parts)
            except WireError as error:
                self._malformed += 1
                self._agents.send(address, encode(m.Refuse(error.what[:200], error.remedy)))
                continue
            account = self._accounts.get(getattr(message, "run", ""))
            live = self._protocol.runs.get(getattr(message, "run", ""))
            known = account is not None and live is not None and live.address == address
            if isinstance(message, m.Ping) and account and known and permit.owns(account.run.instrument):
                account.stages = tuple(_stages(message.stages))
                account.late = message.late
            self._act(self._protocol.handle(hp.FromAgent(address, message, permit), monotonic_s()))

    def _take_tier(self) -> None:
        while (received := self._tier.receive()) is not None:
            address, parts, _ = received
            try:
                message = decode(parts)
            except WireError:
                self._malformed += 1
                continue
            if isinstance(message, m.BlockDone):
                self._count_block(message)
            elif isinstance(message, m.Stats):
                self._count_stats(message)
            self._act(self._protocol.handle(hp.FromWorker(address, message), monotonic_s()))

    def _count_block(self, done: m.BlockDone) -> None:
        self._written.append((monotonic_s(), done.stored_bytes))
        if done.run in self._accounts:
            self._accounts[done.run].block(done)

    def _count_stats(self, stats: m.Stats) -> None:
        now = monotonic_s()
        report = WorkerReport(stats.worker, True, "cpu", stats.rss_bytes, stats.trouble)
        self._turned_away[stats.worker] = (stats.malformed, stats.refused)
        self._workers[stats.worker] = (report, {s.name: s for s in _stages(stats.stages)}, now)
        for run, received in stats.received.items():
            if run in self._accounts:
                self._accounts[run].progress(stats.worker, received, now, wall_ns())

    # --- actions ---

    def _act(self, actions: list[hp.Action]) -> None:
        for action in actions:
            match action:
                case hp.ToAgent(address, message):
                    self._agents.send(address, encode(message))
                case hp.ToWorker(address, message):
                    self._tier.send(address, encode(message))
                case hp.Create(address, opening, instrument):
                    self._create(address, opening, instrument)
                case hp.Reopen(address, opening, permit):
                    self._reopen(address, opening, permit)
                case hp.Publish(run):
                    self._unpublished.setdefault(run, 0.0)
                case hp.Seal(run, losses):
                    self._seal(run, losses)

    def _create(self, address: bytes, opening: m.Open, instrument: str) -> None:
        try:
            _, total = free_bytes(self._data)
            reserve = reserve_of(total, self.settings.reserve_bytes)
            request = check_opening(opening, self._data, reserve, instrument)
            keeper = self._create_store(request, opening.token)
        except OctostreamError as error:
            self._protocol.refused(opening.token)
            log.info("run refused", why=str(error))
            self._agents.send(address, encode(m.Refuse(error.what, error.remedy)))
            return
        self._keepers[request.run.id] = keeper
        self._accounts[request.run.id] = RunAccount(request.run)
        log.info("run opened", run=request.run.id, store=request.run.store, instrument=instrument)
        self._act(self._protocol.handle(hp.RunCreated(request.run, opening.token, address), monotonic_s()))

    def _create_store(self, request: Request, token: str) -> StoreKeeper:
        """Create store, token and registry entry, or none of them."""
        keeper = StoreKeeper.create(request.run, request.products, request.maps, {"octostream": __version__})
        try:
            write_token(Path(request.run.store), token)
            self._registry.add(RunAccount(request.run).report(None, "recording", None))
        except OctostreamError as error:
            shutil.rmtree(request.run.store, ignore_errors=True)
            # Refused in its last step, the entry may have been made all the same.
            with suppress(OctostreamError):
                entered = RunAccount(request.run).report(None, "incomplete", None, wall_ns())
                self._registry.update(replace(entered, reason=str(error)))
            raise
        return keeper

    def _remember_sealed(self) -> None:
        """Be able to tell agents how their runs ended, if an earlier life of the head could not any more."""
        for row in reversed(self._registry.list(hp.REMEMBERED_RUNS)):
            if row.status == "recording":
                continue
            with suppress(StoreError):
                token, ledger = read_token(Path(row.store)), read_ledger(Path(row.store))
                self._protocol.remember(row.id, token, ledger, summary(row), row.instrument)

    def _restore(self) -> None:
        """Take up the runs that an earlier life of the head left open."""
        for row in self._registry.open_runs():
            try:
                self._take_up(row, read_token(Path(row.store)), None)
            except OctostreamError as error:
                log.error("run cannot be taken up again", run=row.id, why=str(error))
                self._registry.update(replace(row, status="incomplete", reason=str(error), sealed_ns=wall_ns()))

    def _reopen(self, address: bytes, opening: m.Open, permit: Permit) -> None:
        """Take up a run again that was sealed because its agent was silent."""
        try:
            row = self._registry.get(opening.resume)
            if row is None or not compare_digest(read_token(Path(row.store)), opening.token):
                what = f"the service does not know the run {opening.resume} of this agent"
                raise RefusedError(what, "see with `octostream verify` what its store holds")
            if not permit.owns(row.instrument):
                raise RefusedError(m.NOT_YOURS.what, m.NOT_YOURS.remedy)
            # The registry first: a head that dies in between takes the run up when it comes back.
            self._registry.update(replace(row, status="recording", reason="", sealed_ns=None))
            self._take_up(row, opening.token, address)
        except OctostreamError as error:
            self._protocol.refused(opening.token)
            log.info("run not opened again", run=opening.resume, why=str(error))
            self._agents.send(address, encode(m.Refuse(error.what, error.remedy)))

    def _take_up(self, row: RunReport, token: str, address: bytes | None) -> None:
        keeper = StoreKeeper.reopen(Path(row.store))
        keeper.unseal()
        commits = keeper.committed()
        stored = Ranges.of(f.number for c in commits.values() for f in c.frames)
        self._keepers[row.id] = keeper
        account = self._accounts[row.id] = RunAccount(keeper.run)
        account.raw_bytes = sum(c.raw_bytes for c in commits.values())
        account.stored_bytes = sum(c.stored_bytes for c in commits.values())
        self._unpublished[row.id] = 0.0
        log.info("run taken up again", run=row.id, blocks=len(commits))
        event = hp.RunCreated(keeper.run, token, address, Ranges.of(commits), stored)
        self._act(self._protocol.handle(event, monotonic_s()))

    def _publish_all(self) -> None:
        for run in [r for r, due in self._unpublished.items() if monotonic_s() >= due]:
            live = self._protocol.runs.get(run)
            del self._unpublished[run]
            if live is None or run not in self._keepers:
                continue
            began = monotonic_s()
            try:
                self._keepers[run].publish(live.committed)
            except StoreError as error:
                log.warning("run cannot be published yet", run=run, why=str(error))
                self._accounts[run].trouble = str(error)
                self._unpublished[run] = monotonic_s() + AGAIN_S
                continue
            self._accounts[run].trouble = ""
            now = monotonic_s()
            self._publish.observe(now, now - began, live.run.plan.blocks[0].count)

    def _seal(self, run: str, losses: tuple[Loss, ...]) -> None:
        """Finish a store; while its disk refuses, the run stays open and sealing is tried again."""
        keeper, account = self._keepers[run], self._accounts[run]
        live = self._protocol.runs[run]
        try:
            ledger = live.ledger = keeper.seal(losses)
            report = account.report(live, ledger.status, sustained_hz(keeper.committed().values()), wall_ns())
            self._registry.update(report)
        except StoreError as error:
            log.warning("run cannot be sealed yet", run=run, why=str(error))
            account.trouble = str(error)
            self._unsealed[run] = (monotonic_s() + AGAIN_S, losses)
            return
        except Exception as error:  # noqa: BLE001 - one run must not take the others down, now and at every restart
            self._set_aside(run, repr(error))
            return
        self._show_end(run, report)
        log.info("run sealed", run=run, status=ledger.status, stored=report.stored, lost=report.lost)
        self._act(self._protocol.handle(hp.RunSealed(run, ledger, summary(report)), monotonic_s()))

    def _show_end(self, run: str, report: RunReport) -> None:
        """Let go of a run that is over, and tell at once how it ended."""
        self._retire(self._accounts.pop(run).stages)
        del self._keepers[run]
        self._sealed.append((monotonic_s(), report))
        self._next_report = 0.0

    def _set_aside(self, run: str, why: str) -> None:
        """Give up a run that cannot be sealed for a reason that time does not heal; its store stays as it is."""
        report = self._accounts[run].report(self._protocol.runs[run], "incomplete", None, wall_ns())
        refusal = m.Refuse(f"the run could not be sealed ({why[:200]})", "see with `octostream verify` what it holds")
        self._give_up(run, replace(report, reason=f"could not be sealed: {why}"), refusal)

    def _give_up(self, run: str, report: RunReport, refusal: m.Refuse) -> None:
        log.error("run is given up", run=run, why=report.reason)
        try:
            self._registry.update(report)
        except StoreError as error:  # it is still open there: the next life of the head comes to the same end
            log.error("the registry does not know", run=run, why=str(error))
        live = self._protocol.runs.pop(run)
        self._show_end(run, report)
        self._unsealed.pop(run, None)
        if live.address:
            self._agents.send(live.address, encode(refusal))

    def _look_for_stores(self, now: float) -> None:
        """Give up runs whose store was removed; where the whole data directory is away, it may come back."""
        here = _there(registry_file(self._data))
        for run in list(self._keepers):
            store = Path(self._protocol.runs[run].run.store)
            if not here or _there(run_file(store)):
                self._missing.pop(run, None)
            elif now - self._missing.setdefault(run, now) > REMOVED_S:
                del self._missing[run]
                self._removed(run, f"its store {store} was removed")

    def _removed(self, run: str, why: str) -> None:
        report = self._accounts[run].report(self._protocol.runs[run], "incomplete", None, wall_ns())
        refusal = m.Refuse(f"the run has ended: {why}", "check who removed it, and open a new run")
        self._give_up(run, replace(report, stored=0, lost=report.expected, reason=why), refusal)

    # --- the report ---

    def _report(self, now: float) -> ServiceReport:
        self._forget(now)
        free, total = self._disk()
        reserve = reserve_of(total, self.settings.reserve_bytes)
        live = {run: self._protocol.runs[run] for run in self._accounts if run in self._protocol.runs}
        runs = [
            self._accounts[run].report(state, "recording", self._accounts[run].rate_hz) for run, state in live.items()
        ]
        troubles = tuple(w.trouble for w, _, _ in self._workers.values() if w.trouble)
        not_ready = () if self._protocol.workers else ("no worker is ready yet",)
        situation = Situation(
            runs=tuple(self._live_run(r, now) for r in reversed(runs)),
            troubles=troubles,
            not_ready=not_ready,
            disk_free_bytes=free,
            disk_reserve_bytes=reserve,
            draining=self._protocol.draining,
        )
        verdict, reason = decide(situation)
        span = min(10.0, max(1.0, now - self._written[0][0])) if self._written else 1.0
        return ServiceReport(
            time_ns=wall_ns(),
            verdict=verdict,
            reason=reason,
            runs=(*reversed(runs), *(r for _, r in reversed(self._sealed))),
            stages=self._stages(now),
            workers=tuple(w for w, _, _ in self._workers.values()),
            not_ready=not_ready,
            disk_free_bytes=free,
            disk_total_bytes=total,
            disk_reserve_bytes=reserve,
            write_bytes_per_s=sum(n for _, n in self._written) / span,
            draining=self._protocol.draining,
            refused_connections=self._agents.refused + sum(n for _, n in self._turned_away.values()),
            malformed_messages=self._malformed + sum(n for n, _ in self._turned_away.values()),
        )

    def _live_run(self, report: RunReport, now: float) -> LiveRun:
        account = self._accounts[report.id]
        account.slow_since = slow_since(account.slow_since, report, now)
        slow_for = 0.0 if account.slow_since is None else now - account.slow_since
        return LiveRun(report.name, report.rate_hz, report.target_hz, slow_for, report.lost, account.trouble)

    def _disk(self) -> tuple[int, int]:
        try:
            return free_bytes(self._data)
        except StoreError:
            return 0, 0

    def _forget(self, now: float) -> None:
        while self._sealed and now - self._sealed[0][0] > SHOW_SEALED_S:
            self._sealed.popleft()
        while self._written and now - self._written[0][0] > 10:
            self._written.popleft()
        for worker in [w for w, (_, _, heard) in self._workers.items() if now - heard > 3.0]:
            self._retire(self._workers.pop(worker)[1].values())

    def _retire(self, stages: Iterable[StageReport]) -> None:
        """Keep the totals of a process that is gone, so that counters never fall."""
        for stage in stages:
            past = self._retired.get(stage.name)
            self._retired[stage.name] = only_totals(add_stages([stage, past] if past else [stage]))

    def _stages(self, now: float) -> tuple[StageReport, ...]:
        said = [s for a in self._accounts.values() for s in a.stages]
        said += [s for _, stages, _ in self._workers.values() for s in stages.values()]
        said += [*self._retired.values(), self._publish.report(now)]
        return tuple(
            add_stages([s for s in said if s.name == name] or [StageMeter(name).report(now)]) for name in STAGES
        )


def _there(file: Path) -> bool:
    """Tell whether a file is there; a disk that does not answer has not lost it."""
    try:
        return file.exists()
    except OSError:
        return True


def _stages(plain: tuple[Mapping[str, Any], ...]) -> list[StageReport]:
    """Read stage reports; what is not one is left out, for the page is not worth a run."""
    read: list[StageReport] = []
    for stage in plain[:16]:
        try:
            read.append(checked_stage(stage))
        except (TypeError, ValueError, AttributeError):
            continue
    return [s for s in read if s.name in STAGES]
