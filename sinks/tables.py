"""The tables of a sealed store: what commit records measured, and what was derived from it, as columns."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorstore as ts
from numpy.typing import NDArray

from ..stream.errors import StoreError
from ..stream.model import Commit
from ..stream.tables import Column, Derived, Rows, Table
from .arrays import context, open_array, open_published, write_chunks
from .durable import json_bytes, make_folders, remove_durably, sync, write_durably
from .layout import TABLE_CHUNK, group_metadata, table_metadata
from .recompute import empty

FOLDER: Final = "tables"
#: Where a column comes from.
RECORDED, DERIVED = "commit records", "derived"
#: Columns are written before their length is known.
_ENDLESS: Final = 2**40


class Sheet:
    """Rows of one table on their way to the disk: in frame order, a chunk at a time.

    Parameters
    ----------
    table : Table
    given : mapping
        Columns that do not come with the commits, whole.
    """

    def __init__(self, table: Table, given: Rows) -> None:
        self.table = table
        self.length = 0
        self._given = given
        self._taken = 0
        self._waiting: dict[str, list[NDArray[Any]]] = {column.name: [] for column in table.columns}

    def add(self, rows: Rows) -> None:
        """Take the rows that a commit has; every commit after those of earlier frames."""
        rows = in_order(rows)
        count = len(rows["frame"]) if "frame" in rows else 0
        if count:
            self._put(rows, count)

    def complete(self) -> None:
        """Take what is given, of a table that no commit has rows of."""
        if not self.length and "frame" in self._given:
            self._put({}, len(self._given["frame"]))

    def chunks(self, *, last: bool) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
        """Give the chunks that are full, and at the end what is left: number of the first row, columns."""
        while self.length - self._taken >= TABLE_CHUNK or (last and self.length > self._taken):
            whole = {name: np.concatenate(parts) for name, parts in self._waiting.items()}
            self._waiting = {name: [column[TABLE_CHUNK:]] for name, column in whole.items()}
            first, self._taken = self._taken, min(self._taken + TABLE_CHUNK, self.length)
            yield first, {name: column[:TABLE_CHUNK] for name, column in whole.items()}

    def source(self, column: str) -> str:
        """Give where a column comes from."""
        return DERIVED if column in self._given else RECORDED

    def _put(self, rows: Rows, count: int) -> None:
        for column in self.table.columns:
            if column.name in self._given:
                values = self._given[column.name][self.length : self.length + count]
            else:
                values = rows.get(column.name, np.full(count, empty(column.dtype), column.dtype))
            self._waiting[column.name].append(np.asarray(values, column.dtype))
        self.length += count


def in_order(rows: Rows) -> Rows:
    """Give rows in the order of their frames; those of one frame stay in theirs."""
    if "frame" not in rows:
        return rows
    order = np.argsort(rows["frame"], kind="stable")
    return {name: np.asarray(column)[order] for name, column in rows.items()}


def check_rows(table: Table, count: int, rows: Rows) -> None:
    """See that derived columns make a table, or complete the rows that the commit records have of it.

    Parameters
    ----------
    table : Table
    count : int
        Rows that the commit records have.
    rows : mapping
        By column.

    Raises
    ------
    ValueError
        They do not.
    """
    lengths = {len(column) if column.ndim == 1 else -1 for column in map(np.asarray, rows.values())}
    numbers = all(np.asarray(column).dtype.kind in "biuf" for column in rows.values())
    known = rows.keys() <= {column.name for column in table.columns}
    fits = lengths <= {count} if count or "frame" not in rows else len(lengths) == 1
    if not (known and numbers and fits) or -1 in lengths:
        what = f"{sorted(rows)} with {sorted(lengths)} rows do not complete the {count} rows of table {table.name}"
        raise ValueError(what)


def write_tables(store: Path, tables: Sequence[Table], commits: Callable[[], Iterable[Commit]], given: Derived) -> None:
    """Write every table as the group ``tables/NAME``; values first, then the metadata that make them visible.

    A column that is given is taken as it is, and so is one that was given to an earlier seal; all others come with the
    commits. What is nowhere is 0, in columns of floats NaN. Memory is bounded by two chunks a column.

    Parameters
    ----------
    store, tables : Path, sequence of Table
    commits : callable
        Gives the commits in order of blocks; asked twice.
    given : mapping
        What was derived, by table and column; None where that failed, which the table says from then on.

    Raises
    ------
    ValueError
        What is given has not as many rows as the commits have.
    """
    if not tables:
        return
    counts = _count(tables, commits())
    sheets = [Sheet(table, _given(store, table, counts[table.name], given.get(table.name) or {})) for table in tables]
    failed = {*not_derived(store, tables)} - {*_paths(given)} | {*_paths(n for n in given if given[n] is None)}
    arrays = {table.name: _planned(store, table) for table in tables}
    for commit in commits():
        for sheet in sheets:
            sheet.add(commit.tables.get(sheet.table.name, {}))
            _write(sheet, arrays[sheet.table.name], last=False)
    for sheet in sheets:
        sheet.complete()
        _write(sheet, arrays[sheet.table.name], last=True)
        _describe(store, sheet, failed=f"{FOLDER}/{sheet.table.name}" in failed)
    write_durably(store / FOLDER / "zarr.json", json_bytes(group_metadata({})))
    sync(store)


def not_derived(store: Path, tables: Iterable[Table]) -> list[str]:
    """Give the paths of the tables of a sealed store that say of themselves that they could not be derived."""
    failed = (table for table in tables if _read(store / FOLDER / table.name) == table_group(table, failed=True))
    return _paths(table.name for table in failed)


def described_at(store: Path, table: Table, column: str) -> Path:
    """Give the ``zarr.json`` of a column."""
    return store / FOLDER / table.name / column / "zarr.json"


def column_metadata(column: Column, length: int, source: str) -> dict[str, Any]:
    """Give the ``zarr.json`` of a column."""
    told = {"unit": column.unit, "meaning": column.meaning, "source": source}
    return table_metadata(length, column.dtype, "row", TABLE_CHUNK, told)


def column_files(folder: Path, length: int) -> set[Path]:
    """Give the files of a column."""
    return {folder / "zarr.json", *(folder / "c" / str(k) for k in range(math.ceil(length / TABLE_CHUNK)))}


def length_of(folder: Path) -> int | None:
    """Give how many rows a column shows; None where its metadata are gone or damaged."""
    try:
        (length,) = json.loads((folder / "zarr.json").read_bytes())["shape"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return length if isinstance(length, int) and length >= 0 else None


def columns_from(store: Path, table: Table, source: str) -> list[Column]:
    """Give the columns of a sealed store's table that say where they come from, whether they can be read or not."""
    folders = {column: store / FOLDER / table.name / column.name for column in table.columns}
    return [c for c, at in folders.items() if _read(at) == column_metadata(c, length_of(at) or 0, source)]


def read_columns(store: Path, table: Table, source: str) -> dict[str, NDArray[Any]]:
    """Read the columns of a sealed store's table that come from one source; those that cannot be read are left out."""
    columns: dict[str, NDArray[Any]] = {}
    for column in columns_from(store, table, source):
        with suppress(OSError, ValueError, StoreError):
            folder = store / FOLDER / table.name / column.name
            columns[column.name] = np.asarray(open_published(folder, context(1)).read().result())
    return columns


def _count(tables: Sequence[Table], commits: Iterable[Commit]) -> dict[str, int]:
    """Give how many rows of every table the commits have."""
    counts = {table.name: 0 for table in tables}
    for commit in commits:
        for name, rows in commit.tables.items():
            if name in counts and "frame" in rows:
                counts[name] += len(rows["frame"])
    return counts


def _given(store: Path, table: Table, count: int, given: Rows) -> Rows:
    """Give the columns of a table that do not come with the commits."""
    check_rows(table, count, given)
    if given:
        return given if count else in_order(given)
    earlier = read_columns(store, table, DERIVED)
    lengths = {len(column) for column in earlier.values()}
    return earlier if lengths == {count} or (len(lengths) == 1 and not count and "frame" in earlier) else {}


def _planned(store: Path, table: Table) -> dict[str, ts.TensorStore]:
    shared = context(1)
    folder = store / FOLDER / table.name
    return {c.name: open_array(folder / c.name, column_metadata(c, _ENDLESS, RECORDED), shared) for c in table.columns}


def _write(sheet: Sheet, arrays: Mapping[str, ts.TensorStore], *, last: bool) -> None:
    for first, columns in sheet.chunks(last=last):
        for name, values in columns.items():
            # A whole chunk always: of one that is there already, and may be damaged, nothing is to be read.
            whole = np.zeros(TABLE_CHUNK, values.dtype)
            whole[: len(values)] = values
            write_chunks(arrays[name], first, whole)


def _describe(store: Path, sheet: Sheet, *, failed: bool) -> None:
    group = store / FOLDER / sheet.table.name
    for column in sheet.table.columns:
        folder = group / column.name
        make_folders(folder)
        metadata = column_metadata(column, sheet.length, sheet.source(column.name))
        write_durably(folder / "zarr.json", json_bytes(metadata))
        for file in set(folder.glob("c/*")) - column_files(folder, sheet.length):
            remove_durably(file)
        if (folder / "c").is_dir():
            sync(folder)
    write_durably(group / "zarr.json", json_bytes(table_group(sheet.table, failed=failed)))


def table_group(table: Table, *, failed: bool) -> dict[str, Any]:
    """Give the ``zarr.json`` of a table's group; one that could not be derived says so."""
    return group_metadata({"meaning": table.meaning, **({"not_derived": True} if failed else {})})


def _paths(names: Iterable[str]) -> list[str]:
    return [f"{FOLDER}/{name}" for name in names]


def _read(folder: Path) -> object:
    try:
        return json.loads((folder / "zarr.json").read_bytes())
    except (OSError, ValueError):
        return None
