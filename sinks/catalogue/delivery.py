"""The deliverer's loop: entries as they come, the connection kept warm, the list of investigations fresh."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import structlog

from ...stream.errors import StoreError
from .connection import Connection
from .deliverer import Deliverer
from .failures import judge
from .intent import Intent
from .investigations import Investigations, investigations_of
from .outbox import Outbox
from .owner_notes import OwnerNotes
from .owners import Owners
from .settings import CatalogueSettings, Credentials

#: The outbox is looked at this often, seconds: a run must be complete within a second of its last frame.
LOOK_S = 0.05
#: The session is kept, and the investigations are asked for, this often, seconds.
KEEP_S = 60.0
#: Listing the investigations of a large facility takes a while: it is done so rarely that it takes 1 % of the time.
LIST_SHARE = 100
#: When the owners of the data of a run are set: when it is there, and when it is over.
OWNED_AT = ("opened", "sealed", "failed")
#: Owner commands that wait or are under way when the service ends have so long, seconds.
OWNERS_S = 2.0
#: Pause after a failure of the disk, seconds.
DISK_S = 2.0

log = structlog.get_logger()


class Delivery:
    """Delivers the outbox of one service until stopped.

    Parameters
    ----------
    path : Path
        The registry's file.
    settings : CatalogueSettings
    credentials : Credentials

    Raises
    ------
    StoreError
        The file cannot be used.
    """

    def __init__(self, path: Path, settings: CatalogueSettings, credentials: Credentials) -> None:
        self._outbox = Outbox(path)
        self._investigations = Investigations(path)
        self._connection = Connection(settings, credentials)
        self._settings, self._credentials = settings, credentials
        self._owners: Owners | None = None
        self._deliverer = Deliverer(self._outbox, self._connection, settings, delivered=self._delivered)
        self._stopping = threading.Event()
        self._keep_at = 0.0
        self._path = path
        self._lock: IO[str] | None = None

    def stop(self) -> None:
        """Return from `run` soon; a call that is under way is finished first."""
        self._stopping.set()

    def run(self, tell_connected: Callable[[], None] = lambda: None) -> None:
        """Deliver until stopped.

        Parameters
        ----------
        tell_connected : callable
            Called when ICAT has answered for the first time.
        """
        connected = False
        try:
            if self._alone():
                self._outbox.release()
                self._owners = self._new_owners()
            while not self._stopping.is_set():
                try:
                    if self._keep() and not connected:
                        connected = True
                        tell_connected()
                    self._turn()
                except StoreError as error:
                    log.error("the outbox cannot be used", why=str(error))
                    self._stopping.wait(DISK_S)
        finally:
            if self._owners is not None:
                self._owners.finish(OWNERS_S)
            self._outbox.close()
            self._investigations.close()
            if self._lock is not None:
                self._lock.close()

    def _delivered(self, intent: Intent) -> None:
        if self._owners is not None and intent.kind in OWNED_AT:
            self._owners.look_after(intent.facts.run)

    def _new_owners(self) -> Owners | None:
        if not self._settings.owner_command:
            return None
        connection = Connection(self._settings, self._credentials)
        return Owners(self._settings, connection, OwnerNotes(self._path), self._outbox.facts)

    def _turn(self) -> None:
        version = self._outbox.version()
        turn = self._deliverer.turn()
        if turn.worked:
            return
        end = self._deliverer.now_s() + min(turn.wait_s, 1.0)
        while self._deliverer.now_s() < end and not self._stopping.wait(LOOK_S):
            if turn.idle and self._outbox.version() != version:
                return

    def _keep(self) -> bool:
        """Now and then keep the session and ask for the investigations; gives whether ICAT answered just now."""
        now = self._deliverer.now_s()
        if now < self._keep_at or not self._deliverer.connect():
            return False
        try:
            names = investigations_of(self._deliverer.lookup())
            self._investigations.keep(names, self._deliverer.now_ns())
        except Exception as error:  # noqa: BLE001 - the list is a convenience: runs are delivered without it, too
            log.warning("the investigations cannot be listed", why=judge(error, 1).reason)
        took_s = self._deliverer.now_s() - now
        self._keep_at = now + max(KEEP_S, LIST_SHARE * took_s)
        return True

    def _alone(self) -> bool:
        """Wait until no earlier life of the deliverer is at work; gives False where it was stopped meanwhile."""
        self._lock = self._path.with_name("catalogue.lock").open("w")
        while not self._stopping.is_set():
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._stopping.wait(LOOK_S)
            else:
                return True
        return False
