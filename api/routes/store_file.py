"""Files of the stores, opened so that no name, link or trick leads outside."""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from ...sinks.names import DEPTHS, SUFFIX

SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
METADATA = "zarr.json"
#: Largest root metadata that is read to learn whether a run is sealed, bytes.
MAX_METADATA = 4 * 2**20

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without NONBLOCK opening a named pipe would wait for its other end for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class StoreFile:
    """An open file of a store; whoever has it closes ``fd``.

    Attributes
    ----------
    fd : int
        Open file descriptor.
    size : int
        Bytes.
    etag : str
        Changes whenever the file is replaced.
    """

    fd: int
    size: int
    etag: str


def segments_of(raw_path: str) -> tuple[str, ...] | None:
    """Split the path below ``/data/`` as it came, undecoded.

    Returns
    -------
    tuple of str or None
        ``(investigation, store, …)`` or ``(investigation, visit, store, …)``; None for everything that no store has:
        dot-folders, ``..``, encoded characters, empty parts, names outside a store.
    """
    parts = tuple(raw_path.split("/"))
    if not all(SEGMENT.fullmatch(part) for part in parts) or len(store_of(parts)) in (0, len(parts)):
        return None
    return parts


def store_of(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Give the parts that lead to the store; none where the path leads to no store."""
    ends = (depth for depth in DEPTHS if parts[:depth][-1].endswith(SUFFIX) and len(parts) >= depth)
    return parts[: next(ends, 0)]


def open_below(root: Path, parts: tuple[str, ...]) -> StoreFile | None:
    """Open a regular file below a directory, following no symbolic link on the way.

    Each part is opened relative to the one before, so a folder that is swapped for a link meanwhile is refused too.

    Parameters
    ----------
    root : Path
        Directory of the stores; may itself be a link.
    parts : tuple of str
        As from ``segments_of``.

    Returns
    -------
    StoreFile or None
        None if there is no such file.
    """
    opened: list[int] = []
    try:
        opened.append(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        for part in parts[:-1]:
            opened.append(os.open(part, _DIRECTORY, dir_fd=opened[-1]))
        fd = os.open(parts[-1], _FILE, dir_fd=opened[-1])
    except OSError:
        # Missing, a link, not readable: for a reader of the store there is no such chunk.
        return None
    finally:
        for folder in opened:
            os.close(folder)
    state = os.fstat(fd)
    if not stat.S_ISREG(state.st_mode):
        os.close(fd)
        return None
    return StoreFile(fd, state.st_size, f'"{state.st_ino:x}-{state.st_mtime_ns:x}-{state.st_size:x}"')


class Seals:
    """Whether stores are sealed, read from their root metadata and remembered once they are.

    Parameters
    ----------
    root : Path
        Directory of the stores.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[tuple[str, ...], tuple[str, bool]] = {}

    def sealed(self, store: tuple[str, ...]) -> bool:
        """Tell whether a store will never change; it is read again only when its metadata was replaced."""
        file = open_below(self._root, (*store, METADATA))
        if file is None:
            return False
        try:
            known = self._known.get(store)
            if known is None or known[0] != file.etag:
                if len(self._known) >= 1000:
                    self._known.clear()
                known = (file.etag, _sealed(file))
                self._known[store] = known
            return known[1]
        finally:
            os.close(file.fd)


def _sealed(file: StoreFile) -> bool:
    if file.size > MAX_METADATA:
        return False
    try:
        status = json.loads(os.pread(file.fd, file.size, 0))["attributes"]["octostream"]["status"]
    except (ValueError, KeyError, TypeError):
        return False  # not one of our stores: nothing is known about it
    return status in ("complete", "incomplete")
