"""A deliverer of a small outbox before the stand-in ICAT."""

import pytest
from octostream.sinks.catalogue.connection import Connection
from octostream.sinks.catalogue.outbox import Outbox
from octostream.sinks.catalogue.settings import CatalogueSettings, Credentials
from octostream.tests.icat_server.seed import FACILITY, INSTRUMENT, PASSWORDS

from .prepared import prepare


@pytest.fixture
def settings(icat_server):
    return CatalogueSettings(
        url=icat_server.url, facility=FACILITY, authenticator="simple", instrument=INSTRUMENT, timeout_s=2
    )


@pytest.fixture
def outbox(tmp_path):
    made = Outbox(tmp_path / "runs.sqlite")
    yield made
    made.close()


@pytest.fixture
def ready(icat_client, settings):
    """The ICAT has the types that octostream needs; gives a client that sees everything."""
    client = icat_client("root")
    prepare(client, settings.url)
    return client


class Reused(Connection):
    """A connection whose client has started up already: that is most of what a test would wait for."""

    def __init__(self, settings, client):
        super().__init__(settings, Credentials("ingester", PASSWORDS["ingester"]))
        self._client = client


@pytest.fixture
def connection(settings, icat_client):
    return Reused(settings, icat_client("ingester"))
