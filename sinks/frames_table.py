"""The table by frame number that a sealed store carries: state, time, checksum and counts of every frame."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..stream.model import Commit
from .arrays import context, open_array, open_published, write_chunks
from .durable import json_bytes, sync, write_durably
from .failure import said
from .layout import group_metadata, table_metadata

FOLDER = "frames"
UNKNOWN, STORED, LOST = 0, 1, 2
COLUMNS = {
    "state": "uint8",
    "timestamp_ns": "int64",
    "checksum": "uint64",
    "min": "uint16",
    "max": "uint16",
    "mean": "float32",
    "saturated": "uint32",
    "committed_ns": "int64",
}

Table = dict[str, NDArray[Any]]


def frames_table(expected: int, commits: Iterable[Commit]) -> Table:
    """Draw up the table of a run that is over.

    Parameters
    ----------
    expected : int
        Frames of the plan.
    commits : iterable of Commit
        What is stored; every other frame is lost.

    Returns
    -------
    dict of str to ndarray
        By column name, each of length ``expected``; zeros where a frame is lost, but for ``state``.
    """
    table: Table = {name: np.zeros(expected, dtype) for name, dtype in COLUMNS.items()}
    table["state"][:] = LOST
    for commit in commits:
        rows = [f.number for f in commit.frames]
        table["state"][rows] = STORED
        table["timestamp_ns"][rows] = [f.timestamp_ns for f in commit.frames]
        table["checksum"][rows] = np.array([f.checksum for f in commit.frames], np.uint64)
        for name in ("min", "max", "mean", "saturated"):
            table[name][rows] = [getattr(s, name) for s in commit.stats]
        table["committed_ns"][rows] = commit.committed_ns
    return table


def write_frames_table(store: Path, table: Table) -> None:
    """Write the table as the group ``frames``; values first, then the metadata that make them visible."""
    folder = store / FOLDER
    shared = context(2)
    with said(f"write the frames table of {store}"):
        folder.mkdir(exist_ok=True)
        metadata = {name: table_metadata(len(column), COLUMNS[name]) for name, column in table.items()}
        arrays = {name: open_array(folder / name, m, shared) for name, m in metadata.items()}
        for name, column in table.items():  # one after the other: a long run's columns are hundreds of megabytes
            write_chunks(arrays[name], 0, column)
        for name, described in metadata.items():
            write_durably(folder / name / "zarr.json", json_bytes(described))
        write_durably(folder / "zarr.json", json_bytes(group_metadata({})))
        sync(store)


def read_frames_table(store: Path) -> Table:
    """Read the table of a sealed store.

    Raises
    ------
    StoreError
        A column is missing or damaged.
    """
    shared = context(2)
    table: Table = {}
    for name in COLUMNS:
        array = open_published(store / FOLDER / name, shared)
        with said(f"read {FOLDER}/{name} of {store}"):
            table[name] = array.read().result()
    return table
