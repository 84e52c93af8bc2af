"""Fixtures: a stand-in ICAT for a test, and python-icat clients of it.

The server keeps its port for the whole session and forgets everything between tests, so that a client, whose start-up
is most of what a test would wait for, can be used again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from functools import partial
from typing import Any

import pytest
from octostream.tests.icat_server.seed import PASSWORDS
from octostream.tests.icat_server.server import IcatServer

TIMEOUT_S = 20


@pytest.fixture(scope="session")
def icat_listener() -> Iterator[IcatServer]:
    """The server of this session; tests take ``icat_server``."""
    server = IcatServer(seeded=True)
    server.start()
    yield server
    server.close()


@pytest.fixture
def icat_server(icat_listener: IcatServer) -> Iterator[IcatServer]:
    """A stand-in ICAT with the small facility of ``seed.py`` and nothing else; its ``url`` is for ``icat.Client``."""
    icat_listener.reset()
    yield icat_listener
    icat_listener.recover()


@pytest.fixture(scope="session")
def icat_clients() -> dict[str, Any]:
    """Clients by user."""
    return {}


def logged_in(server: IcatServer, clients: dict[str, Any], user: str) -> Any:
    """Give a python-icat client of a user with a new session; only the first one of all has had to start up."""
    import icat

    if not clients:
        clients[user] = icat.Client(server.url, cache=None)
        clients[user].set_options(timeout=TIMEOUT_S)
        # It may be forgotten after its server has gone.
        clients[user].autoLogout = False
    if user not in clients:
        clients[user] = copy(next(iter(clients.values())))
    client = clients[user]
    client.sessionId = None
    client.login("simple", {"username": user, "password": PASSWORDS[user]})
    return client


@pytest.fixture
def icat_client(icat_server: IcatServer, icat_clients: dict[str, Any]) -> Callable[[str], Any]:
    """Gives a logged-in python-icat client of a user: root, ingester, alice or bob; their options are shared."""
    return partial(logged_in, icat_server, icat_clients)
