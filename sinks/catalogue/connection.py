"""The connection to ICAT: made once, ahead, for it takes more than fifty calls; logged in again when a session ends."""

from __future__ import annotations

from typing import Any

import icat

from .settings import CatalogueSettings, Credentials

#: A session that has fewer minutes left is refreshed.
REFRESH_MINUTES = 30.0


class Connection:
    """One client of ICAT; not for several threads, for suds is not.

    Parameters
    ----------
    settings : CatalogueSettings
    credentials : Credentials
    """

    def __init__(self, settings: CatalogueSettings, credentials: Credentials) -> None:
        self._settings = settings
        self._credentials = credentials
        self._client: Any = None

    def client(self) -> Any:
        """Give a client that is logged in.

        Raises
        ------
        Exception
            Whatever python-icat, suds or the network raise; see `judge`.
        """
        if self._client is None:
            # No cache of the WSDL: it would outlive a change of the server by a day.
            client = icat.Client(self._settings.url, checkCert=self._settings.check_certificate, cache=None)
            client.set_options(timeout=self._settings.timeout_s)
            client.autoLogout = False  # or the interpreter waits for the server when it ends
            self._client = client
        if self._client.sessionId is None:
            self.login()
        return self._client

    def login(self) -> None:
        """Begin a new session, whatever became of the last one."""
        self._client.sessionId = None
        who = {"username": self._credentials.username, "password": self._credentials.password}
        self._client.login(self._settings.authenticator, who)

    def keep_alive(self) -> None:
        """Keep the session while there is nothing to do; begin another where it has ended."""
        client = self.client()
        try:
            if client.getRemainingMinutes() < REFRESH_MINUTES:
                client.refresh()
        except icat.ICATSessionError:
            self.login()

    def close(self) -> None:
        """End the session, if there is one; no matter whether the server hears of it."""
        client, self._client = self._client, None
        if client is not None and client.sessionId is not None:
            client.logout()
