"""What goes wrong while ICAT is asked: its own failures are one line, ours stay what they are."""

import pytest
from octostream.sinks.catalogue.reaching import CatalogueError, reached
from octostream.sinks.catalogue.settings import Credentials
from octostream.tests.icat_server.seed import PASSWORDS


@pytest.fixture
def icat(settings):
    return lambda: reached(settings, Credentials("ingester", PASSWORDS["ingester"]))


@pytest.mark.parametrize("error", [ValueError, BrokenPipeError])
def test_what_the_block_itself_does_wrong_is_not_laid_on_icat(icat, error):
    with pytest.raises(error) as raised, icat():
        raise error("our own")
    assert type(raised.value) is error


def test_what_icat_refuses_within_the_block_is_one_line(icat):
    with pytest.raises(CatalogueError, match="refuses"), icat() as client:
        client.search("SELECT nonsense")
