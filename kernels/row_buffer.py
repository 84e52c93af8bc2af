"""Rows of a table while a block is reduced: one for each of its frames, or of its stacks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..stream.tables import Rows, Table


class RowBuffer:
    """Holds a row for each place of a block; used again for every block.

    Parameters
    ----------
    table : Table
    places : int
        Of a full block.
    """

    def __init__(self, table: Table, places: int) -> None:
        self._columns = {column.name: np.zeros(places, column.dtype) for column in table.columns}
        self._values = list(self._columns.values())[1:]

    def put(self, at: int, *values: float) -> None:
        """Fill the row of a place.

        Parameters
        ----------
        at : int
            From 0.
        *values : number
            One for each column but ``frame``.
        """
        for column, value in zip(self._values, values, strict=True):
            column[at] = value

    def take(self, first: int, step: int, there: NDArray[np.bool_]) -> Rows:
        """Give the rows of the places that are there.

        Parameters
        ----------
        first : int
            Number of the frame of the first place.
        step : int
            Frames from one place to the next.
        there : bool (places,)

        Returns
        -------
        mapping
            Copies.
        """
        count = there.size
        rows: dict[str, NDArray[Any]] = {name: column[:count][there] for name, column in self._columns.items()}
        rows["frame"] = (first + step * np.arange(count, dtype=np.int64))[there]
        return rows
