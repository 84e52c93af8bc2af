"""For every test: how long an example takes says nothing on a machine that others use, too."""

from hypothesis import settings

settings.register_profile("octostream", deadline=None)
settings.load_profile("octostream")
