"""Made-up runs for the contract of steps, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..stream.model import Block, Plan, Product
from ..stream.tables import Rows, Table
from .reduction import BlockReducer, Reduction

#: What frames hold: anything, nothing, all there is, falling counts (differences wrap), little light, both ends.
CONTENTS: Final = ("any", "dark", "full", "falling", "low", "ends")


@dataclass(frozen=True)
class Case:
    """A run.

    Attributes
    ----------
    raw : uint16 (t, c, z, y, x), raw counts
    present : bool (t, c, z)
        Which frames come.
    limit : int
        Frames of a block at most.
    seed : int
        Of the order of arrival; negative: in order.
    """

    raw: NDArray[np.uint16]
    present: NDArray[np.bool_]
    limit: int
    seed: int

    @property
    def plan(self) -> Plan:
        """Its plan; a block lasts a second, so the rate is the limit."""
        t, c, z, y, x = self.raw.shape
        return Plan((t, c, z, y, x), rate_hz=float(self.limit))

    @property
    def raw_present(self) -> NDArray[np.uint16]:
        """The frames that come, others 0."""
        return self.raw * self.present[..., None, None].astype(np.uint16)

    def arrivals(self, block: Block) -> list[int]:
        """Give the numbers of the frames of a block that come, as they come."""
        numbers = [n for n in block.frames if self.present.reshape(-1)[n]]
        return numbers if self.seed < 0 else np.random.default_rng(self.seed).permutation(numbers).tolist()

    def in_order(self) -> Case:
        """Give the same run with frames in their order."""
        return replace(self, seed=-1)

    def in_one_block(self) -> Case:
        """Give the same run in one block."""
        return replace(self, limit=self.present.size)

    def complete(self) -> Case:
        """Give the same run with all frames."""
        return replace(self, present=np.ones_like(self.present))

    def inverted(self) -> Case:
        """Give a run with quite other frames, all there."""
        return replace(self, raw=np.uint16(65535) - self.raw).complete()


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes
    ----------
    arrays : dict
        Whole arrays by product path.
    tables : dict
        All rows by table.
    summaries : dict
        Rows of the tables that need those of the whole run.
    """

    arrays: dict[str, NDArray[Any]]
    tables: dict[str, Rows]
    summaries: dict[str, Rows]


def cases(smallest: tuple[int, int, int], *, whole_stacks: bool) -> Any:
    """Give a Hypothesis strategy for runs.

    Parameters
    ----------
    smallest : tuple of int
        Least (z, y, x).
    whole_stacks : bool
        Whether stacks must lie whole in a block.

    Returns
    -------
    SearchStrategy
        Of `Case`: odd sizes, one pixel, one row, one plane, missing frames, any cut.
    """
    from hypothesis import strategies as st

    z, y, x = smallest

    def make(sizes: tuple[int, ...], content: str, seed: int, few: int, missing: float) -> Case:
        rng = np.random.default_rng(seed)
        present = rng.random(sizes[:3]) >= missing
        limit = max(few, sizes[2]) if whole_stacks else few
        return Case(counts(sizes, content, rng), present, limit, seed)

    def span(least: int, extra: int) -> st.SearchStrategy[int]:
        return st.integers(least, least + extra)

    sizes = st.tuples(span(1, 2), span(1, 1), span(z, 3), span(y, 12) | st.just(y), span(x, 20) | st.just(x))
    contents, seeds = st.sampled_from(CONTENTS), st.integers(0, 2**32 - 1)
    return st.builds(make, sizes, contents, seeds, span(1, 12), st.sampled_from([0.0, 0.3, 1.0]))


def counts(shape: tuple[int, ...], content: str, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Make up counts.

    Parameters
    ----------
    shape : tuple of int
    content : str
        One of `CONTENTS`.
    rng : Generator

    Returns
    -------
    uint16 (shape)
    """
    made: dict[str, Callable[[], NDArray[np.uint16]]] = {
        "dark": lambda: np.zeros(shape, np.uint16),
        "full": lambda: np.full(shape, 65535, np.uint16),
        "falling": lambda: (65535 - np.arange(np.prod(shape)) % 65536).astype(np.uint16).reshape(shape),
        "low": lambda: rng.integers(90, 200, shape, dtype=np.uint16),
        "ends": lambda: rng.choice(np.array([0, 1, 65534, 65535], np.uint16), shape),
    }
    return made[content]() if content in made else rng.integers(0, 65536, shape, dtype=np.uint16)


def run(reduction: Reduction, case: Case, reducer: BlockReducer | None = None) -> Outcome:
    """Reduce a run, block by block, and put the parts together as a store does.

    Parameters
    ----------
    reduction : Reduction
    case : Case
    reducer : BlockReducer, optional
        One that was used before.

    Returns
    -------
    Outcome

    Raises
    ------
    AssertionError
        If arrays or tables are not what was announced, completing a block twice gives something else, or a frame was
        written to.
    """
    reducer = reducer or reduction.reducer()
    products = [product for product in reduction.products if product.stage == "block"]
    parts: list[tuple[Block, dict[str, NDArray[Any]]]] = []
    rows: dict[str, list[Rows]] = {}
    frames = case.raw.reshape(-1, *case.raw.shape[3:])
    for block in reduction.plan.blocks:
        reducer.begin(block)
        for number in case.arrivals(block):
            frame = frames[number].copy()
            frame.flags.writeable = False
            reducer.add(number, frame)
            assert np.array_equal(frame, frames[number]), "a frame was written to"
        made = reducer.finish()
        _check_arrays(products, block, made)
        copies = {path: array.copy() for path, array in made.items()}
        again = reducer.finish()
        assert all(np.array_equal(again[p], a, equal_nan=a.dtype.kind == "f") for p, a in copies.items()), "not twice"
        tables = reducer.tables()
        _check_tables(reduction, block, tables)
        for name, columns in tables.items():
            rows.setdefault(name, []).append({column: values.copy() for column, values in columns.items()})
        parts.append((block, copies))
    whole = {product.path: _whole(product, parts, case.present) for product in products}
    tables = {name: _joined(found) for name, found in rows.items()}
    summaries: dict[str, Rows] = {}
    for step in reduction.steps:
        summaries.update(step.sum_up(tables))
    announced = {table.name: table for table in reduction.tables}
    assert not set(summaries) & set(tables), f"rows of {sorted(set(summaries) & set(tables))} come twice"
    for name, columns in summaries.items():
        check_columns(announced, name, columns)
    return Outcome(whole, tables, summaries)


def _check_arrays(products: list[Product], block: Block, made: Any) -> None:
    assert set(made) == {p.path for p in products}, f"made {sorted(made)}, announced {sorted(p.path for p in products)}"
    for product in products:
        array, size = made[product.path], _size(product, block)
        assert array.shape == size, f"{product.path} has the shape {array.shape}, and {size} was announced"
        dtypes = {product.dtype, "uint32"} if product.fold == "mean" else {product.dtype}
        assert array.dtype.name in dtypes, f"{product.path} is {array.dtype}, and {product.dtype} was announced"
        assert array.flags.c_contiguous, f"{product.path} is not contiguous"


def _check_tables(reduction: Reduction, block: Block, tables: Any) -> None:
    announced = {table.name: table for table in reduction.tables}
    for name, rows in tables.items():
        check_columns(announced, name, rows)
        frame = rows["frame"]
        inside = frame.size == 0 or (frame.min() >= block.first and frame.max() <= block.last)
        assert inside, f"table {name} has frames outside of its block"


def check_columns(announced: Mapping[str, Table], name: str, rows: Rows) -> None:
    """See that rows have the columns and types that their table was announced with, and lie in the order of frames."""
    assert name in announced, f"rows of {name}, announced {sorted(announced)}"
    columns = {column.name: column.dtype for column in announced[name].columns}
    made = {column: values.dtype.name for column, values in rows.items()}
    assert made == columns, f"table {name} has the columns {made}, and {columns} were announced"
    assert next(iter(columns)) == "frame", f"the first column of table {name} is not frame"
    assert len({values.shape for values in rows.values()}) == 1, f"columns of table {name} differ in length"
    assert (np.diff(rows["frame"]) >= 0).all(), f"rows of table {name} are not in frame order"


def _joined(parts: list[Rows]) -> Rows:
    return {column: np.concatenate([rows[column] for rows in parts]) for column in parts[0]}


def _size(product: Product, block: Block) -> tuple[int, ...]:
    extent = {a: n for a, n in zip("tcz", block.extent, strict=True) if a not in product.own}
    return tuple(extent.get(a, n) for a, n in zip(product.axes, product.shape, strict=True))


def _whole(product: Product, parts: list[tuple[Block, dict[str, NDArray[Any]]]], present: Any) -> NDArray[Any]:
    low = np.iinfo(product.dtype).max if product.fold == "min" else 0
    merged = parts[0][1][product.path].dtype
    whole = np.full(product.shape, low, merged)
    merge = {"max": np.maximum, "min": np.minimum, "mean": np.add}.get(product.fold)
    for block, arrays in parts:
        place = {a: slice(o, o + n) for a, o, n in zip("tcz", block.origin, block.extent, strict=True)}
        at = tuple(place[a] if a in place and a not in product.own else slice(None) for a in product.axes)
        whole[at] = merge(whole[at], arrays[product.path]) if merge else arrays[product.path]
    count = present.sum(axis=2)[..., None, None]
    if product.fold == "min":
        return np.where(count, whole, 0).astype(product.dtype)  # a stack of which nothing came shows nothing
    if merged.name == product.dtype:
        return whole
    return np.rint(whole / np.maximum(count, 1)).astype(product.dtype)
