"""What lies on the disk of a run: sizes, counts, the digest of its ledger."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ..failure import said
from ..layout import DOT_FOLDER
from ..sealfile import ledger_file
from .description import Part


@dataclass(frozen=True)
class Shard:
    """A file of frames as they came.

    Attributes
    ----------
    name : str
        Path below the store.
    nbytes : int
    """

    name: str
    nbytes: int


@dataclass(frozen=True)
class Size:
    """How much a dataset has.

    Attributes
    ----------
    nbytes, files : int
    """

    nbytes: int
    files: int


@dataclass(frozen=True)
class Inventory:
    """What lies on the disk of a run at one moment.

    Attributes
    ----------
    sizes : dict
        By part; none of a store that is not there.
    shards : tuple of Shard
        Of the raw frames, in the order of their names.
    ledger_digest : str
        SHA-256 of the ledger; empty where there is none.
    """

    sizes: dict[Part, Size]
    shards: tuple[Shard, ...]
    ledger_digest: str


def take_inventory(store: Path) -> Inventory:
    """Look through a store; nothing is known of one that is not there any more: it may be in an archive.

    Files that come and go meanwhile are counted or not: a run that records is never quite still.

    Raises
    ------
    StoreError
        Its disk does not say.
    """
    with said(f"look through {store}"):
        return _taken(store) if store.is_dir() else Inventory({}, (), "")


def _taken(store: Path) -> Inventory:
    raw_bytes = raw_files = reduced_bytes = reduced_files = 0
    shards = []
    for name, nbytes in _files(store):
        if name.startswith("raw/"):
            raw_bytes, raw_files = raw_bytes + nbytes, raw_files + 1
            if name.startswith("raw/0/c/"):
                shards.append(Shard(name, nbytes))
        elif not name.startswith(DOT_FOLDER + "/"):
            reduced_bytes, reduced_files = reduced_bytes + nbytes, reduced_files + 1
    sizes: dict[Part, Size] = {"raw": Size(raw_bytes, raw_files), "reduced": Size(reduced_bytes, reduced_files)}
    return Inventory(sizes, tuple(sorted(shards, key=lambda shard: shard.name)), ledger_digest(store))


def ledger_digest(store: Path) -> str:
    """Give the SHA-256 of the ledger of a store; empty where there is none.

    Raises
    ------
    StoreError
        Its disk does not say.
    """
    with said(f"read the ledger of {store}"):
        try:
            return sha256(ledger_file(store).read_bytes()).hexdigest()
        except (FileNotFoundError, NotADirectoryError):  # the run is not over, or its store is not there any more
            return ""


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    """Go through the files below a folder: path below it, size."""
    for where, _, names in os.walk(folder, onerror=_raise):
        below = Path(where).relative_to(folder)
        for name in names:
            try:
                yield (below / name).as_posix(), os.stat(os.path.join(where, name)).st_size
            except FileNotFoundError:
                continue


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
