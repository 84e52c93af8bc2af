"""Who is logged in, and for how long."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping

from octostream.tests.icat_server.faults import SESSION, IcatFault
from octostream.tests.icat_server.store import Store

MNEMONIC = "simple"
LIFETIME_MINUTES = 120.0


class Sessions:
    """Sessions, kept beside the objects so that they outlive a restart.

    Parameters
    ----------
    passwords
        Password by user name without the authenticator's mnemonic.
    now
        Gives seconds; a test may let a day pass.
    """

    def __init__(
        self,
        store: Store,
        passwords: Mapping[str, str],
        lifetime_minutes: float = LIFETIME_MINUTES,
        now: Callable[[], float] = time.time,
    ):
        self._store, self._passwords, self._now = store, dict(passwords), now
        self._lifetime_s = lifetime_minutes * 60

    def login(self, plugin: str, credentials: Mapping[str, str]) -> str:
        """Open a session; gives its id.

        Raises
        ------
        IcatFault
            SESSION: an unknown authenticator, or name and password do not fit.
        """
        if plugin != MNEMONIC:
            raise IcatFault(SESSION, f"Authenticator mnemonic {plugin} not recognised")
        name, password = credentials.get("username", ""), credentials.get("password", "")
        if not name:
            raise IcatFault(SESSION, "username cannot be null or empty.")
        if self._passwords.get(name) != password:
            raise IcatFault(SESSION, "The username and password do not match ")
        session = str(uuid.uuid4())
        expires = self._now() + self._lifetime_s
        self._store.rows("INSERT INTO _session VALUES (?, ?, ?)", [session, f"{MNEMONIC}/{name}", expires])
        return session

    def _find(self, session: str | None) -> tuple[str, float]:
        if not session:
            raise IcatFault(SESSION, "Session Id cannot be null or empty.")
        found = self._store.rows("SELECT user, expires FROM _session WHERE id = ?", [session])
        if not found:
            raise IcatFault(SESSION, f"Unable to find user by sessionid: {session}")
        user, expires = found[0]
        if expires <= self._now():
            raise IcatFault(SESSION, f"Session id:{session} has expired")
        return user, expires

    def user(self, session: str | None) -> str:
        """Give the name of a session's user, with the mnemonic.

        Raises
        ------
        IcatFault
            SESSION: there is no such session, or it has expired.
        """
        return self._find(session)[0]

    def remaining_minutes(self, session: str | None) -> float:
        """Give the minutes that a session has left."""
        return (self._find(session)[1] - self._now()) / 60

    def refresh(self, session: str | None) -> None:
        """Give a session its whole life again."""
        self._find(session)
        self._store.rows("UPDATE _session SET expires = ? WHERE id = ?", [self._now() + self._lifetime_s, session])

    def logout(self, session: str | None) -> None:
        """End a session."""
        self._find(session)
        self._store.rows("DELETE FROM _session WHERE id = ?", [session])

    def expire_all(self) -> None:
        """End the life of all sessions now."""
        self._store.rows("UPDATE _session SET expires = 0")
