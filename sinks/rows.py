"""Rows of tables inside a commit record: exact, NaN and infinities too, which JSON has no numbers for."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..stream.ranges import Ranges
from ..stream.tables import Rows


def rows_to_json(rows: Rows) -> dict[str, dict[str, str]]:
    """Give rows as JSON types: of every column its type, and its little-endian bytes in base 64.

    Raises
    ------
    ValueError
        A column is no list of numbers, or they are not of one length.
    """
    arrays = {name: np.asarray(column) for name, column in rows.items()}
    if any(a.ndim != 1 or a.dtype.kind not in "biuf" for a in arrays.values()):
        raise ValueError("a column of a table is not a list of numbers")
    _check_lengths(arrays)
    return {name: _column_to_json(column) for name, column in arrays.items()}


def rows_from_json(data: Mapping[str, Mapping[str, str]]) -> dict[str, NDArray[Any]]:
    """Read what `rows_to_json` gave.

    Raises
    ------
    ValueError, KeyError, TypeError, AttributeError
        It is something else.
    """
    rows = {
        name: np.frombuffer(base64.b64decode(column["values"], validate=True), _dtype(column["dtype"]))
        for name, column in data.items()
    }
    _check_lengths(rows)
    return rows


def rows_of(rows: Rows, frames: Ranges) -> Rows:
    """Give the rows of some frames, in their order."""
    kept = np.array([int(n) in frames for n in rows["frame"]], bool)
    return {name: np.asarray(column)[kept] for name, column in rows.items()}


def _column_to_json(column: NDArray[Any]) -> dict[str, str]:
    values = np.ascontiguousarray(column, column.dtype.newbyteorder("<"))
    return {"dtype": column.dtype.name, "values": base64.b64encode(values.tobytes()).decode()}


def _dtype(name: str) -> np.dtype[Any]:
    dtype = np.dtype(name)
    if dtype.kind not in "biuf":
        raise ValueError(f"no type of numbers: {name}")
    return dtype.newbyteorder("<")


def _check_lengths(rows: Rows) -> None:
    if len({len(column) for column in rows.values()}) > 1:
        raise ValueError("the columns of a table are not of one length")
