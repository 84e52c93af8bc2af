"""Tables: what reductions measure, as columns of numbers, one row a frame, a stack or an event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The rows of one table by column, all of one length.
Rows = Mapping[str, NDArray[Any]]
#: Rows that were derived from committed blocks, by table; None where that failed.
Derived = Mapping[str, Rows | None]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    name : str
    dtype : str
        NumPy's name, ``"float32"``.
    unit : str
        Empty where there is none.
    meaning : str
        One line.
    """

    name: str
    dtype: str
    unit: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a run, in the store a group with one array a column.

    Attributes
    ----------
    name : str
        Lies at ``tables/<name>``.
    columns : tuple of Column
        The first is ``frame``: the number of the frame that a row belongs to, or of the first frame of its stack. Rows
        are in its order.
    meaning : str
        One line.
    kept : str
        Its column that is 0 where only projections are stored of the pixels of a stack; empty where it says no such
        thing.
    """

    name: str
    columns: tuple[Column, ...]
    meaning: str = ""
    kept: str = ""


def rows_of(table: Table, rows: Sequence[Sequence[Any]]) -> Rows:
    """Make columns of rows.

    Parameters
    ----------
    table : Table
    rows : sequence
        Each with one value for each column; there may be none.

    Returns
    -------
    mapping
        Arrays of the types of the columns.
    """
    return columns_of(table, list(zip(*rows, strict=True)) if rows else [()] * len(table.columns))


def columns_of(table: Table, columns: Sequence[Any]) -> Rows:
    """Give columns the types of their table.

    Parameters
    ----------
    table : Table
    columns : sequence
        Values of each column.

    Returns
    -------
    mapping
    """
    return {c.name: np.array(values, c.dtype) for c, values in zip(table.columns, columns, strict=True)}
