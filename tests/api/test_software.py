import numpy as np
from octostream import __version__
from octostream.api.software import software_versions


def test_every_program_has_the_version_that_it_gives_itself():
    versions = software_versions()
    assert (versions["octostream"], versions["numpy"]) == (__version__, np.__version__)
    assert all(text and text[0].isdigit() for text in versions.values())
