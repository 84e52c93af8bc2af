"""Steps made of plain functions, at work on the blocks of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..stream.model import Block, Plan, Product
from ..stream.tables import Rows, Table
from .guarded import Guarded, blank, fitting
from .row_buffer import RowBuffer
from .step import Arrays


class FrameReducer:
    """A row of numbers of every frame.

    Parameters
    ----------
    function : Guarded
        Frame to numbers.
    table : Table
    plan : Plan
    raw : bool
        Whether it takes the raw frame, else level 0.
    """

    def __init__(self, function: Guarded, table: Table, plan: Plan, *, raw: bool) -> None:
        self._function, self._table, self._raw = function, table, raw
        self._rows = RowBuffer(table, math.prod(plan.blocks.step))
        self._dtypes = [column.dtype for column in table.columns[1:]]
        self._blank = [blank(dtype) for dtype in self._dtypes]
        self._block = plan.blocks[0]

    def begin(self, block: Block) -> None:
        """Start a block."""
        self._block = block

    def add(self, at: int, raw: NDArray[np.uint16], level0: NDArray[np.uint16]) -> None:
        """Measure a frame."""
        values = self._function(raw if self._raw else level0, self._numbers)
        self._rows.put(at, *(self._blank if values is None else values))

    def finish(self, arrays: Arrays, present: NDArray[np.bool_]) -> Mapping[str, Rows]:
        """Give the rows of the frames that came."""
        return {self._table.name: self._rows.take(self._block.first, 1, present.reshape(-1))}

    def _numbers(self, result: Any) -> list[Any]:
        several = isinstance(result, list | tuple) or (isinstance(result, np.ndarray) and result.ndim > 0)
        numbers = list(result) if several else [result]
        if len(numbers) != len(self._dtypes):
            raise ValueError(f"gave {len(numbers)} numbers, and {len(self._dtypes)} were announced")
        return [fitting(number, (), dtype)[()] for number, dtype in zip(numbers, self._dtypes, strict=True)]


class ImageReducer:
    """An image of every frame.

    Parameters
    ----------
    function : Guarded
        Level 0 of a frame to an image of the same size.
    product : Product
    plan : Plan
    """

    def __init__(self, function: Guarded, product: Product, plan: Plan) -> None:
        self._function, self._product = function, product
        self._blank = blank(product.dtype)
        # Filled, not only asked for: the system hands a page out when it is first written to.
        self._images = np.full((math.prod(plan.blocks.step), *product.shape[3:]), self._blank, product.dtype)

    def begin(self, block: Block) -> None:
        """Start a block; every frame fills its own place, and `finish` those that never came."""

    def add(self, at: int, raw: NDArray[np.uint16], level0: NDArray[np.uint16]) -> None:
        """Make the image of a frame."""
        image = self._function(level0, lambda result: fitting(result, self._images.shape[1:], self._product.dtype))
        self._images[at] = self._blank if image is None else image

    def finish(self, arrays: Arrays, present: NDArray[np.bool_]) -> Mapping[str, Rows]:
        """Give the images; blank where a frame never came."""
        images = self._images[: present.size]
        images[~present.reshape(-1)] = self._blank
        arrays[self._product.path] = images.reshape(*present.shape, *images.shape[1:])
        return {}


class StackReducer:
    """An array of every stack.

    Parameters
    ----------
    function : Guarded
        Stack of level 0 to an array of three dimensions.
    product : Product
    plan : Plan
    """

    def __init__(self, function: Guarded, product: Product, plan: Plan) -> None:
        self._function, self._product = function, product
        stacks = plan.blocks.step[0] * plan.blocks.step[1]
        self._blank = blank(product.dtype)
        self._made = np.full((stacks, *product.shape[2:]), self._blank, product.dtype)

    def begin(self, block: Block) -> None:
        """Start a block; `finish` fills the place of every stack."""

    def add(self, at: int, raw: NDArray[np.uint16], level0: NDArray[np.uint16]) -> None:
        """Wait for the rest of the stack."""

    def finish(self, arrays: Arrays, present: NDArray[np.bool_]) -> Mapping[str, Rows]:
        """Make the arrays; a plane that never came is 0, a stack without any is blank."""
        stacks = arrays["0"].reshape(-1, *arrays["0"].shape[2:])
        shape, dtype = self._made.shape[1:], self._product.dtype
        for k, there in enumerate(_came(present, len(stacks))):
            made = self._function(stacks[k], lambda result: fitting(result, shape, dtype)) if there else None
            self._made[k] = self._blank if made is None else made
        arrays[self._product.path] = self._made[: len(stacks)].reshape(*present.shape[:2], *shape)
        return {}


class RowsReducer:
    """Any number of rows of every stack.

    Parameters
    ----------
    function : Guarded
        Stack of level 0 to columns.
    table : Table
    plan : Plan
    """

    def __init__(self, function: Guarded, table: Table, plan: Plan) -> None:
        self._function, self._table = function, table
        self._block = plan.blocks[0]

    def begin(self, block: Block) -> None:
        """Start a block."""
        self._block = block

    def add(self, at: int, raw: NDArray[np.uint16], level0: NDArray[np.uint16]) -> None:
        """Wait for the rest of the stack."""

    def finish(self, arrays: Arrays, present: NDArray[np.bool_]) -> Mapping[str, Rows]:
        """Measure the stacks of which a plane came; planes that never came are 0."""
        stacks = arrays["0"].reshape(-1, *arrays["0"].shape[2:])
        planes = stacks.shape[1]
        parts: list[Rows] = []
        for k, there in enumerate(_came(present, len(stacks))):
            first = self._block.first + k * planes
            columns = _Columns(self._table, first, planes)
            found = self._function(stacks[k], columns.check) if there else None
            parts += [] if found is None else [found]
        empty = {column.name: np.empty(0, column.dtype) for column in self._table.columns}
        return {self._table.name: {name: np.concatenate([e, *(p[name] for p in parts)]) for name, e in empty.items()}}


def _came(present: NDArray[np.bool_], stacks: int) -> list[bool]:
    """Tell of which stacks of a block a plane came."""
    return np.logical_or.reduce(present.reshape(stacks, -1), axis=1).tolist()


@dataclass(frozen=True, slots=True)
class _Columns:
    table: Table
    first: int
    planes: int

    def check(self, result: Any) -> Rows:
        """Bring what a function found in a stack to the table's types, in frame order."""
        names = [column.name for column in self.table.columns[1:]]
        if not isinstance(result, Mapping) or set(result) != set(names):
            told = sorted(map(str, result)) if isinstance(result, Mapping) else type(result).__name__
            raise ValueError(f"gave {told}, and columns {sorted(names)} were announced")
        count = np.size(result[names[0]])
        rows: dict[str, NDArray[Any]] = {}
        for column in self.table.columns[1:]:
            rows[column.name] = fitting(result[column.name], (count,), column.dtype).astype(column.dtype)
        z = rows["z"] if "z" in rows else np.zeros(count, np.int64)
        if count and not (z.min() >= 0 and z.max() < self.planes and (z == np.floor(z)).all()):
            raise ValueError(f"gave planes z from {z.min()} to {z.max()} of a stack of {self.planes}")
        order = np.argsort(z, kind="stable")
        frame = self.first + z.astype(np.int64)
        return {name: values[order] for name, values in {"frame": frame, **rows}.items()}
