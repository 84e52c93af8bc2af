"""Delivering the outbox to ICAT: one entry after the other, each until it is there or a person must see to it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from ...stream.clock import monotonic_s, wall_ns
from .failures import Failure, judge
from .intent import Intent
from .lookup import Lookup
from .outbox import Entry, Outbox, Registered
from .registration import Registration
from .settings import CatalogueSettings
from .weather import LONGEST_ENTRY_S, Weather, pause_s

#: Whoever holds an entry for so long is taken for gone, nanoseconds; far above what all calls for one take.
LEASE_NS = 600 * 10**9
#: Entries become due with time, too: where none is, the outbox is asked again after this, seconds.
IDLE_S = 1.0

log = structlog.get_logger()


class Connected(Protocol):
    """Gives a client of ICAT, as `Connection`."""

    def client(self) -> Any:
        """Give a client that is logged in."""

    def login(self) -> None:
        """Begin a new session."""

    def keep_alive(self) -> None:
        """Keep the session."""


@dataclass(frozen=True)
class Turn:
    """What came of one turn.

    Attributes
    ----------
    worked : bool
        Whether there was an entry to deliver.
    wait_s : float
        Before this nothing need be tried.
    idle : bool
        Whether nothing is due, so that a change of the outbox is worth a look at once.
    """

    worked: bool
    wait_s: float = 0.0
    idle: bool = False


@dataclass
class Deliverer:
    """Takes entries out of an outbox and lets ICAT have them.

    Attributes
    ----------
    outbox : Outbox
    connection : Connected
    settings : CatalogueSettings
    now_ns, now_s : callable
        Wall clock, and a clock that only goes forward.
    chance : random.Random
        Of the pauses.
    delivered : callable
        Called with each intent that ICAT has, before it is struck off and perhaps more than once; it must not wait.
    """

    outbox: Outbox
    connection: Connected
    settings: CatalogueSettings
    now_ns: Callable[[], int] = wall_ns
    now_s: Callable[[], float] = monotonic_s
    chance: random.Random = field(default_factory=random.Random)
    delivered: Callable[[Intent], None] = lambda _: None

    def __post_init__(self) -> None:
        self._weather = Weather(self.chance)
        self._registration: Registration | None = None

    def turn(self) -> Turn:
        """Deliver one entry, if one is due and the server is thought to be there.

        Raises
        ------
        StoreError
            The outbox cannot be read or written; the same turn may be repeated.
        """
        if (wait_s := self._weather.until_s - self.now_s()) > 0:
            return Turn(worked=False, wait_s=wait_s)
        entry = self.outbox.claim(self.now_ns(), LEASE_NS)
        if entry is None:
            return Turn(worked=False, wait_s=IDLE_S, idle=True)
        try:
            registered = self._deliver(entry)
        except Exception as error:  # noqa: BLE001 - whatever happens belongs to this entry: it is judged, and kept
            self._failed(entry, judge(error, entry.attempts))
        else:
            self._settle(entry, registered)
        return Turn(worked=True)

    def connect(self) -> bool:
        """Make the connection ahead, or keep it; gives whether the server answers."""
        if self._weather.until_s > self.now_s():
            return False
        try:
            self._registrar()
            self.connection.keep_alive()
        except Exception as error:  # noqa: BLE001 - as above, only that no entry is to blame
            failure = judge(error, 1)
            log.warning("ICAT does not answer", why=failure.reason, remedy=failure.remedy)
            self._weather.away(self.now_s())
            return False
        self._weather.answered()
        return True

    def lookup(self) -> Lookup:
        """Give what finds things in ICAT; after `connect`."""
        return self._registrar().lookup

    def _deliver(self, entry: Entry) -> Registered | None:
        """Deliver; where the session has ended, begin another and do it again: every step may be repeated."""
        try:
            return self._registrar().deliver(entry.intent)
        except Exception as error:
            if judge(error, entry.attempts).kind != "login":
                raise
        self.connection.login()
        return self._registrar().deliver(entry.intent)

    def _registrar(self) -> Registration:
        client = self.connection.client()
        if self._registration is None:
            self._registration = Registration(client, self.settings, self.now_ns)
        return self._registration

    def _settle(self, entry: Entry, registered: Registered | None) -> None:
        self._weather.answered()
        self.delivered(entry.intent)
        self.outbox.delivered(entry, registered)
        log.info("told the catalogue", run=entry.intent.facts.run, what=entry.intent.kind)

    def _failed(self, entry: Entry, failure: Failure) -> None:
        run = entry.intent.facts.run
        if failure.kind == "park":
            self._weather.answered()
            self._forget()
            self.outbox.park(entry.seq, failure.reason, failure.remedy)
            log.error("the catalogue needs a person", run=run, why=failure.reason, remedy=failure.remedy)
            return
        if failure.kind == "again":
            self._weather.answered()
            self._forget()
            pause = pause_s(entry.attempts, LONGEST_ENTRY_S, self.chance)
        else:
            self._weather.away(self.now_s())
            # It is not to blame, most likely: others that are due go first. But a call that was given up may still be
            # at work in the server, and must not meet its own repetition there.
            pause = self.settings.timeout_s
        due_ns = self.now_ns() + int(pause * 1e9)
        self.outbox.again(entry, due_ns, failure.reason, counts=failure.kind == "again")
        log.warning("the catalogue was not told", run=run, what=entry.intent.kind, why=failure.reason)

    def _forget(self) -> None:
        """Look everything up again: what was found earlier may be gone."""
        if self._registration is not None:
            self._registration.lookup.forget()
