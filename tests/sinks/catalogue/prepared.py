"""An ICAT that has what octostream needs."""

from octostream.sinks.catalogue.lookup import Lookup
from octostream.sinks.catalogue.settings import CatalogueSettings
from octostream.sinks.catalogue.vocabulary import needed
from octostream.tests.icat_server.seed import FACILITY


def prepare(client, url, software="0.1.0"):
    """Create what is missing; the client may do everything."""
    lookup = Lookup(client, FACILITY)
    for thing in needed(CatalogueSettings(url=url, facility=FACILITY), software):
        if lookup.find(thing) is None:
            lookup.create(thing)
