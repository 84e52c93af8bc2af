"""Reading stores for people who watch: published data only, cheap enough to ask once a second."""

from __future__ import annotations

import math
import os
import threading
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import tensorstore as ts
from numpy.typing import NDArray

from ..stream.errors import StoreError
from ..stream.ledger import Ledger
from ..stream.ranges import Ranges
from .account import frames_of, projection_only
from .arrays import context, open_published
from .commits import DamagedRecordError, read_commit
from .failure import said
from .layout import commits_folder
from .runfile import read_run, run_file
from .sealfile import read_sealed_ledger

Which = Literal["xy", "xz", "yz"]


def latest_projection(store: Path, which: Which, c: int, max_size: int = 512) -> tuple[int, NDArray[np.uint16]] | None:
    """Read the newest published projection of a channel, small enough to show.

    Parameters
    ----------
    store : Path
        Of a run, recording or sealed.
    which : str
        ``"xy"``, ``"xz"`` or ``"yz"``.
    c : int
        Channel number.
    max_size : int
        Neither side of the result is longer, pixels.

    Returns
    -------
    t : int
        Its time point.
    image : uint16 (rows, columns), counts
        Down-sampled by the maximum of whole cells. None where nothing is published yet or the run does not make it.

    Raises
    ------
    StoreError
        It cannot be read.
    """
    folder = store / "projections" / which / "0"
    if not (folder / "zarr.json").exists():
        return None
    array = open_published(folder, _reading())
    if not all(array.shape) or not 0 <= c < array.shape[1]:
        return None
    t = array.shape[0] - 1
    with said(f"read {folder}"):
        image = np.asarray(array[t, c].read().result())
    return t, shrink(image, max_size)


def shrink(image: NDArray[np.uint16], max_size: int) -> NDArray[np.uint16]:
    """Down-sample an image by the maximum of whole cells so that neither side is longer than ``max_size``."""
    rows, columns = (math.ceil(n / max_size) for n in image.shape)
    image = np.maximum.reduceat(image, np.arange(0, image.shape[0], rows), axis=0)
    return np.maximum.reduceat(image, np.arange(0, image.shape[1], columns), axis=1)


def read_ledger(store: Path) -> Ledger:
    """Read the account of a store: the sealed ledger, or what the commit records say so far.

    Only records that changed since this process last asked are read again.

    Parameters
    ----------
    store : Path
        Of a run, recording or sealed.

    Raises
    ------
    StoreError
        There is no octostream store, or its ledger is damaged.
    """
    sealed = read_sealed_ledger(store)
    if sealed is not None:
        return sealed
    with said(f"read the commit records of {store}"):
        try:
            made = run_file(store).stat()
        except (FileNotFoundError, NotADirectoryError):
            raise StoreError(f"{store} is not an octostream store", "give the path of a folder *.ome.zarr") from None
        return _records(store, made.st_ino, made.st_mtime_ns).ledger()


class _Records:
    """The commit records of a store that is being recorded, as last seen."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._seen: dict[int, tuple[tuple[int, int], Ranges, Ranges]] = {}
        self._stored_run = read_run(store)
        self._ledger = Ledger(self._stored_run.run.plan.frames)

    def ledger(self) -> Ledger:
        with self._lock:
            changed = False
            for entry in os.scandir(commits_folder(self._store)):
                stem, suffix = os.path.splitext(entry.name)
                if suffix != ".json" or not stem.isdigit():
                    continue
                # A record is replaced, never changed in place: another content is another file.
                status = entry.stat()
                version = (status.st_ino, status.st_mtime_ns)
                if self._seen.get(int(stem), (None,))[0] != version:
                    self._seen[int(stem)] = (version, *self._frames(int(stem)))
                    changed = True
            if changed:
                stored = Ranges.join(span for _, frames, _ in self._seen.values() for span in frames.spans)
                skipped = Ranges.join(span for _, _, frames in self._seen.values() for span in frames.spans)
                self._ledger = replace(self._ledger, stored=stored, projection_only=skipped)
            return self._ledger

    def _frames(self, block: int) -> tuple[Ranges, Ranges]:
        """Give the frames that a block holds, and those of them of which only projections were kept."""
        try:
            commit = read_commit(self._store, block)
        except DamagedRecordError:
            return Ranges(), Ranges()
        run, tables = self._stored_run.run, self._stored_run.tables
        return frames_of([commit]), projection_only(run.plan, tables, [commit])


@lru_cache(maxsize=16)
def _records(store: Path, inode: int, made_ns: int) -> _Records:
    """Keep what was read of a store; another store at the same path is another one."""
    return _Records(store)


@lru_cache(maxsize=1)
def _reading() -> ts.Context:
    return context(1)
