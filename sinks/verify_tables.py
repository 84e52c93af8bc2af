"""Checking the tables of a sealed store against the commit records that they come from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorstore as ts

from ..stream.model import Commit
from ..stream.ranges import Ranges
from ..stream.tables import Column, Table
from .arrays import context, open_published
from .failure import refuse_blame
from .layout import TABLE_CHUNK, group_metadata
from .problem import Problem
from .recompute import same
from .tables import DERIVED, FOLDER, RECORDED, Sheet, column_metadata, length_of, table_group


def check_tables(store: Path, tables: Iterable[Table], commits: Mapping[int, Commit]) -> Iterator[Problem]:
    """Compare every table: its metadata, and what of it comes from the commit records; all else can be read."""
    tables = tuple(tables)
    groups = {f"{FOLDER}/{t.name}": [table_group(t, failed=failed) for failed in (False, True)] for t in tables}
    for name, possible in ({FOLDER: [group_metadata({})]} | groups).items() if tables else ():
        if _read(store / name / "zarr.json") not in possible:
            yield Problem(f"{name}/zarr.json is not what octostream wrote", file=f"{name}/zarr.json")
    for table in tables:
        columns: dict[str, ts.TensorStore] = {}
        derived: set[str] = set()
        for column in table.columns:
            folder = store / FOLDER / table.name / column.name
            name = (folder / "zarr.json").relative_to(store).as_posix()
            found = _read(folder / "zarr.json")
            sources = [s for s in (RECORDED, DERIVED) if found == column_metadata(column, length_of(folder) or 0, s)]
            if not sources:
                yield Problem(f"{name} is not what octostream wrote", file=name)
                continue
            columns[column.name] = open_published(folder, context(1))
            derived |= {column.name} if DERIVED in sources else set()
        if len(columns) == len(table.columns):
            yield from _check_rows(store, table, columns, derived, commits)


def _check_rows(
    store: Path, table: Table, columns: Mapping[str, ts.TensorStore], derived: set[str], commits: Mapping[int, Commit]
) -> Iterator[Problem]:
    lengths = {array.shape[0] for array in columns.values()}
    sheet = Sheet(table, {})
    bad: dict[str, list[int]] = {column.name: [] for column in table.columns}
    for number in [*sorted(commits), None]:
        if number is not None:
            sheet.add(commits[number].tables.get(table.name, {}))
        for first, chunk in sheet.chunks(last=number is None):
            for column in table.columns:
                file = _file(store, table, column, first)
                known = column.name not in derived and file.exists()  # what is not there reads as zeros
                found = _chunk(columns[column.name], first) if known else None
                if found is not None:
                    bad[column.name] += _differing(first, found, chunk[column.name])
    for column in table.columns:
        yield from _unreadable(store, table, column, columns[column.name])
        if bad[column.name]:
            text = f"not what the commit records say in {_rows(bad[column.name])}"
            yield Problem(f"{FOLDER}/{table.name}/{column.name}: {text}")
    all_derived = "frame" in derived and not sheet.length
    if len(lengths) > 1 or (lengths != {sheet.length} and not all_derived):
        yield Problem(f"{FOLDER}/{table.name} has {sorted(lengths)} rows, the commit records {sheet.length}")


def _differing(first: int, found: np.ndarray, expected: np.ndarray) -> list[int]:
    count = min(len(found), len(expected))
    a, b = found[:count], expected[:count]
    if same(a, b):
        return []
    differs = (a != b) & ~((a != a) & (b != b))
    return [first + int(k) for k in np.flatnonzero(differs)]


def _chunk(array: ts.TensorStore, first: int) -> np.ndarray | None:
    end = min(first + TABLE_CHUNK, array.shape[0])
    read = array[first : max(first, end)].read() if first < end else None
    return None if read is None or read.exception() else np.asarray(read.result())


def _unreadable(store: Path, table: Table, column: Column, array: ts.TensorStore) -> Iterator[Problem]:
    """Name the chunks that cannot be read, or are not there."""
    for first in range(0, array.shape[0], TABLE_CHUNK):
        file = _file(store, table, column, first)
        name = file.relative_to(store).as_posix()
        if not file.exists():
            yield Problem(f"{name} is missing")
            continue
        cause = array[first : min(first + TABLE_CHUNK, array.shape[0])].read().exception()
        if cause is not None:
            refuse_blame(cause, f"read {file}")
            yield Problem(f"{name} is damaged ({str(cause).rsplit(': ', 1)[-1]})", file=name)


def _file(store: Path, table: Table, column: Column, first: int) -> Path:
    return store / FOLDER / table.name / column.name / "c" / str(first // TABLE_CHUNK)


def _rows(numbers: list[int]) -> str:
    spans = Ranges.of(numbers).spans
    text = ", ".join(f"{a}-{b}" if b > a else f"{a}" for a, b in spans[:8])
    return f"rows {text}" + (f" and {len(spans) - 8} more ranges" if len(spans) > 8 else "")


def _read(file: Path) -> object:
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError) as cause:
        refuse_blame(cause, f"read {file}")
        return None
