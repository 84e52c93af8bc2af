"""Which programs make the data of a run."""

from __future__ import annotations

import platform
from importlib.metadata import version

from .. import __version__

#: Whose version may make a difference to bytes or numbers.
PACKAGES = ("numpy", "numba", "scipy", "tensorstore", "zarr", "pyzmq", "msgpack", "xxhash")


def software_versions() -> dict[str, str]:
    """Give the versions of what makes the data of runs here, by name."""
    return {
        "octostream": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }
