"""For every test: how long an example takes says nothing on a machine that others use, too."""

from hypothesis import settings
from octostream.tests.icat_server.fixture import (  # noqa: F401 - fixtures of all folders
    icat_client,
    icat_clients,
    icat_listener,
    icat_server,
)

settings.register_profile("octostream", deadline=None)
settings.load_profile("octostream")
