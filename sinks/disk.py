"""Free space on the disk under a folder."""

from __future__ import annotations

import os
from pathlib import Path

from ..stream.errors import NoSpaceError
from .failure import said

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def free_bytes(path: Path) -> tuple[int, int]:
    """Give what an ordinary user may still write, and the size of the file system.

    Parameters
    ----------
    path : Path
        Any existing file or folder on it.

    Returns
    -------
    free, total : int
        Bytes.
    """
    with said(f"find the free space at {path}"):
        disk = os.statvfs(path)
    return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize


def reserve_of(disk_bytes: int, wanted: int) -> int:
    """Give the part of a disk that is never filled, bytes: what is wanted, but at most 2 % of a small disk."""
    return min(wanted, disk_bytes // 50)


def check_space(path: Path, need: int, reserve: int) -> None:
    """Refuse a run that cannot fit.

    Parameters
    ----------
    path : Path
        Data folder.
    need, reserve : int
        Bytes that the run may write, and bytes that must stay free after it.

    Raises
    ------
    NoSpaceError
        Naming need and free.
    """
    free, _ = free_bytes(path)
    if free < need + reserve:
        raise NoSpaceError(
            f"the disk at {path} has {readable(free)} free, the run needs {readable(need)}"
            f" and {readable(reserve)} stay in reserve",
            "free some space or choose another data folder",
        )


def readable(count: int) -> str:
    """Give a count of bytes in decimal units, as disks are sold: ``1.5 GB``."""
    value = float(count)
    for unit in _UNITS[:-1]:
        if abs(value) < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} {_UNITS[-1]}"
