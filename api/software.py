"""Which programs make the data of a run."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType

from .. import __version__
from ..kernels.offers import offered

#: Whose version may make a difference to bytes or numbers.
PACKAGES = ("numpy", "numba", "scipy", "tensorstore", "zarr", "pyzmq", "msgpack", "xxhash")
#: Likewise, where it is installed: what a GPU is used with.
GPU_PACKAGES = ("cupy-cuda12x", "cupy-cuda13x")


@cache
def software_versions() -> Mapping[str, str]:
    """Give the versions of what makes the data of runs here, by name; looked up once: a process keeps what it loaded.

    Packages that offer steps are among them, whether the recipe of a run names one or not.
    """
    steps = {offer.entry.dist.name: offer.entry.dist.version for offer in offered() if offer.entry.dist is not None}
    return MappingProxyType(
        {
            **steps,
            "octostream": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
            **{name: found for name in GPU_PACKAGES if (found := _version_if_installed(name))},
        }
    )


def _version_if_installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
