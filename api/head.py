"""The head process: keeps runs, opens, publishes and seals stores, tells the tier what to do. No frame passes here."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from hmac import compare_digest
from pathlib import Path

import structlog

from ..sinks.catalogue.template_file import FREE
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
from ..stream.link import MAX_MESSAGE_BYTES, Poll, Publisher, Router, Waker, context
from ..stream.preview import publish_report
from ..stream.report import RunReport
from ..stream.wire import decode, encode
from .cataloguing import Cataloguing
from .described import Techniques
from .head_need import check_memory, head_need
from .keeping import Delayed, Keeping, Sealed, Unsealable, is_there, taken_up
from .new_run import HALF_MADE, create_run, remove_run
from .opening import Request, check_opening
from .picture import Disk, Picture
from .planned import reduction_without_maps
from .run_account import RunAccount, summary
from .stored_runs import registry_file
from .tokens import read_token

REPORT_S = 0.5
LINGER_MS = 500
#: A seal that is under way when the head is stopped may end within this time; else the next start seals again.
SEAL_STOP_S = 3.0

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
    memory_bytes : int
        What the head may use; runs that would take more are refused.
    keys : str
        Folder of the tier's keys; empty: agents need none.
    catalogue_s : float
        How often the catalogue is told of a run that grows, seconds; 0: there is none.
    technique, techniques : str
        Technique of runs that name none, and folder of the tier's own; empty: there are none.
    """

    data: str
    ingest: str
    tier: str
    copies: str
    dashboard: str
    reserve_bytes: int
    agent_timeout_s: float
    memory_bytes: int
    keys: str = ""
    catalogue_s: float = 0.0
    technique: str = FREE
    techniques: str = ""


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
        self._waker = Waker(self._context)
        self._poll = Poll()
        for link in (self._agents, self._tier, self._waker):
            self._poll.add(link)
        own = Path(settings.techniques) if settings.techniques else None
        self._techniques = Techniques(own, settings.technique)
        self._registry = Registry(registry_file(self._data))
        timing = hp.HeadTiming(agent_s=settings.agent_timeout_s)
        self._protocol = hp.HeadProtocol(settings.dashboard, timing)
        self._picture = Picture(self._protocol, self._disk, settings.memory_bytes)
        self._keeping = Keeping(self._waker.wake)
        self._cataloguing = Cataloguing(self._data, settings.catalogue_s, self._techniques)
        self._idle_bytes = self._picture.resident()
        self._malformed = 0
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
                self._turn()
            self._keeping.close(SEAL_STOP_S)
            self._take_kept(monotonic_s())
        finally:
            self._agents.close(LINGER_MS)  # an agent may just be told how its run ended
            for link in (self._tier, self._copies, self._waker):
                link.close()
            self._context.term()
            self._registry.close()
            self._cataloguing.close()

    def _turn(self) -> None:
        self._poll.wait(0.1)
        self._waker.clear()
        # Before the messages are read: after a long turn they wait, and nobody was silent but this loop.
        looked = monotonic_s()
        self._take_tier()
        self._take_agents()
        now = monotonic_s()
        self._take_kept(now)
        self._keeping.turn(now, {run: live.committed for run, live in self._protocol.runs.items() if not live.sealing})
        if self._drain_asked and not self._protocol.draining:
            self._act(self._protocol.handle(hp.Drain(), now))
        self._act(self._protocol.handle(hp.Tick(), looked))
        self._tell_catalogue(now)
        if now >= self._next_report:
            self._next_report = now + REPORT_S
            self._look_for_stores(now)
            publish_report(self._copies, self._picture.report(now, self._agents.refused, self._malformed))

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
            if isinstance(message, m.Ping):
                live = self._protocol.runs.get(message.run)
                if live is not None and live.address == address and permit.owns(live.run.instrument):
                    self._picture.count_ping(message)
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
                self._picture.count_block(message, monotonic_s())
            elif isinstance(message, m.Stats):
                self._picture.count_stats(message, monotonic_s())
            self._act(self._protocol.handle(hp.FromWorker(address, message), monotonic_s()))

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
                    self._keeping.show(run)
                case hp.Seal(run, losses):
                    self._keeping.seal(run, losses)
                case hp.Remove(run):
                    self._remove(run)

    def _create(self, address: bytes, opening: m.Open, instrument: str) -> None:
        try:
            reserve = reserve_of(free_bytes(self._data)[1], self.settings.reserve_bytes)
            request = check_opening(opening, self._data, reserve, instrument, self._techniques)
            self._cataloguing.check(request.run)
            self._check_memory(request)
            followed = reduction_without_maps(request.run)  # maps are megabytes, and nothing here needs them any more
            keeper = create_run(self._registry, request, opening.token, self._cataloguing)
        except OctostreamError as error:
            self._protocol.refused(opening.token)
            log.info("run refused", why=str(error))
            self._agents.send(address, encode(m.Refuse(error.what, error.remedy)))
            return
        self._keeping.add(keeper, followed)
        self._picture.accounts[request.run.id] = RunAccount(request.run)
        log.info("run opened", run=request.run.id, store=request.run.store, instrument=instrument)
        self._act(self._protocol.handle(hp.RunCreated(request.run, opening.token, address), monotonic_s()))

    def _check_memory(self, request: Request) -> None:
        need, resident = head_need(request.run.plan, request.reduction), self._picture.resident()
        check_memory(need, self._keeping.needs, resident, self._idle_bytes, self.settings.memory_bytes)

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
                if row.reason == HALF_MADE and remove_run(self._registry, row):
                    log.info("run removed, the service was killed while it made it", run=row.id)
                    continue
                self._take_up(row, read_token(Path(row.store)), None)
            except OctostreamError as error:
                log.error("run cannot be taken up again", run=row.id, why=str(error))
                self._end(replace(row, status="incomplete", reason=str(error), sealed_ns=wall_ns()))

    def _reopen(self, address: bytes, opening: m.Open, permit: Permit) -> None:
        """Take up a run again that was sealed because its agent was silent."""
        try:
            row = self._registry.get(opening.resume)
            if row is None or not compare_digest(read_token(Path(row.store)), opening.token):
                what = f"the service does not know the run {opening.resume} of this agent"
                raise RefusedError(what, "see with `octostream verify` what its store holds")
            if not permit.owns(row.instrument):
                raise RefusedError(m.NOT_YOURS.what, m.NOT_YOURS.remedy)
            self._take_up(row, opening.token, address)
        except OctostreamError as error:
            self._protocol.refused(opening.token)
            log.info("run not opened again", run=opening.resume, why=str(error))
            self._agents.send(address, encode(m.Refuse(error.what, error.remedy)))

    def _take_up(self, row: RunReport, token: str, address: bytes | None) -> None:
        keeper = StoreKeeper.reopen(Path(row.store))
        reduction = reduction_without_maps(keeper.run)  # before anything is undone: a step may be gone meanwhile
        if row.status != "recording":
            # The registry first: a head that dies in between takes the run up when it comes back.
            opened = replace(row, status="recording", reason="", sealed_ns=0)
            self._registry.update(opened, self._cataloguing.grown(keeper.run, opened))
        keeper.unseal()
        held = taken_up(keeper)
        account = self._picture.accounts[row.id] = RunAccount(keeper.run)
        account.raw_bytes, account.stored_bytes = held.raw_bytes, held.stored_bytes
        self._keeping.add(keeper, reduction)
        self._keeping.show(row.id)
        log.info("run taken up again", run=row.id, blocks=len(held.blocks))
        event = hp.RunCreated(keeper.run, token, address, held.blocks, held.frames, found=True)
        self._act(self._protocol.handle(event, monotonic_s()))

    # --- what was done beside the loop ---

    def _take_kept(self, now: float) -> None:
        self._keeping.take_derived(now)
        for shown in self._keeping.take_shown(now):
            account = self._picture.accounts[shown.run]
            account.trouble, account.following = shown.trouble, shown.following
            if shown.frames:
                self._picture.publish.observe(now, shown.seconds, shown.frames)
        for end in self._keeping.take_sealed(now):
            match end:
                case Sealed():
                    self._close(end, now)
                case Delayed(run, why):
                    self._picture.accounts[run].trouble = why
                case Unsealable(run, why):
                    refusal = m.Refuse(
                        f"the run could not be sealed ({why[:200]})", "see with `octostream verify` what it holds"
                    )
                    self._give_up(run, f"could not be sealed: {why}", refusal)

    def _close(self, sealed: Sealed, now: float) -> None:
        """Enter how a run ended and tell it; while the registry's disk refuses, the run stays open."""
        run, ledger = sealed.run, sealed.ledger
        live, account = self._protocol.runs[run], self._picture.accounts[run]
        live.ledger = ledger
        report = account.report(live, ledger.status, sealed.rate_hz, wall_ns())
        try:
            self._registry.update(report, self._cataloguing.ended(live.run, report))
        except StoreError as error:
            log.warning("run cannot be sealed yet", run=run, why=str(error))
            account.trouble = str(error)
            self._keeping.seal_again(run, now)
            return
        self._show_end(run, report)
        log.info("run sealed", run=run, status=ledger.status, stored=report.stored, lost=report.lost)
        self._act(self._protocol.handle(hp.RunSealed(run, ledger, summary(report)), monotonic_s()))

    def _show_end(self, run: str, report: RunReport) -> None:
        """Let go of a run that is over, and tell at once how it ended."""
        self._keeping.forget(run)
        self._picture.close_account(run)
        self._picture.count_sealed(report, monotonic_s())
        self._next_report = 0.0

    def _look_for_stores(self, now: float) -> None:
        """Give up runs whose store was removed; where the whole data directory is away, it may come back."""
        if not is_there(registry_file(self._data)):
            return
        for run in self._keeping.removed(now):
            why = f"its store {self._protocol.runs[run].run.store} was removed"
            self._give_up(run, why, m.Refuse(f"the run has ended: {why}", "check who removed it, and open a new run"))

    def _tell_catalogue(self, now: float) -> None:
        """Write down for the catalogue how far the open runs are, each now and then."""
        growing = ((live.run, live.committed) for live in self._protocol.runs.values() if not live.sealing)
        for run in self._cataloguing.due(now, growing):
            live, account = self._protocol.runs[run], self._picture.accounts[run]
            report = account.report(live, "recording", account.rate_hz)
            try:
                self._registry.update(report, self._cataloguing.grown(live.run, report))
            except StoreError as error:  # the next time tells it all; a disk that fails shows elsewhere
                log.warning("the catalogue is not told how far a run is", run=run, why=str(error))

    def _give_up(self, run: str, why: str, refusal: m.Refuse) -> None:
        """End a run that can neither go on nor be sealed; what its store holds stays as it is."""
        log.error("run is given up", run=run, why=why)
        live = self._protocol.runs.pop(run)
        report = replace(self._picture.accounts[run].report(live, "incomplete", None, wall_ns()), reason=why)
        if not is_there(run_file(Path(live.run.store))):
            report = replace(report, stored=0, lost=report.expected)
        try:
            self._registry.update(report, self._cataloguing.ended(live.run, report))
        except StoreError as error:  # it is still open there: the next life of the head comes to the same end
            log.error("the registry does not know", run=run, why=str(error))
        self._show_end(run, report)
        if live.address:
            self._agents.send(live.address, encode(refusal))

    def _end(self, report: RunReport) -> None:
        try:
            self._registry.end(report)
        except StoreError as error:  # as in _give_up: the next life of the head comes to the same end
            log.error("the registry does not know", run=report.id, why=str(error))

    def _remove(self, run: str) -> None:
        """Leave nothing of a run that never began."""
        self._keeping.forget(run)
        account = self._picture.close_account(run)
        try:
            if remove_run(self._registry, account.report(None, "recording", None)):
                log.info("run removed, it never began", run=run)
                return
            why = "it holds blocks"
        except StoreError as error:
            why = str(error)
        log.warning("run that never began cannot be removed", run=run, why=why)
        report = account.report(None, "incomplete", None, wall_ns())
        self._end(replace(report, reason=f"it never began, but its store cannot be removed: {why}"))

    def _disk(self) -> Disk:
        try:
            free, total = free_bytes(self._data)
        except StoreError:
            free, total = 0, 0
        return Disk(free, total, reserve_of(total, self.settings.reserve_bytes))
