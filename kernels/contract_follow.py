"""Made-up runs for the contract of steps that follow one, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..stream.model import Plan, Product
from ..stream.tables import Rows
from .contract_runs import CONTENTS, Outcome, check_columns, counts
from .following import Follower
from .reduction import Reduction


@dataclass(frozen=True)
class Run:
    """The images of a level, as they are read back one time point after another.

    Attributes
    ----------
    plan : Plan
    images : uint16 (t, c, z, y, x), counts with the pedestal
        0 where a frame was lost. Fewer time points than planned: the run ended early.
    present : bool (t, c, z)
    """

    plan: Plan
    images: NDArray[np.uint16]
    present: NDArray[np.bool_]

    def until(self, t: int) -> Run:
        """Give the same run, ended before time point t."""
        return replace(self, images=self.images[:t], present=self.present[:t])

    def inverted(self) -> Run:
        """Give a run with quite other images, all there."""
        return replace(self, images=np.uint16(65535) - self.images, present=np.ones_like(self.present))


def runs(smallest: tuple[int, int, int], planned: Callable[[Plan], Reduction]) -> Any:
    """Give a Hypothesis strategy for runs.

    Parameters
    ----------
    smallest : tuple of int
        Least raw (z, y, x).
    planned : callable
        Makes a reduction ready for a plan; its last series says what level is looked at.

    Returns
    -------
    SearchStrategy
        Of `Run`: odd sizes, one pixel, one row, one plane, one time point, lost frames.
    """
    from hypothesis import strategies as st

    z, y, x = smallest

    def make(sizes: tuple[int, ...], content: str, seed: int, lost: float) -> Run:
        t, c, planes, height, width = sizes
        plan = Plan((t, c, planes, height, width))
        level = planned(plan).series[-1].level
        shape = next(p.shape for p in planned(plan).products if p.path == level)
        rng = np.random.default_rng(seed)
        present = rng.random(shape[:3]) >= lost
        return Run(plan, counts(shape, content, rng) * present[..., None, None].astype(np.uint16), present)

    def span(least: int, extra: int) -> st.SearchStrategy[int]:
        return st.integers(least, least + extra)

    sizes = st.tuples(span(1, 6), span(1, 1), span(z, 2), span(y, 12) | st.just(y), span(x, 20) | st.just(x))
    contents, seeds = st.sampled_from(CONTENTS), st.integers(0, 2**32 - 1)
    return st.builds(make, sizes, contents, seeds, st.sampled_from([0.0, 0.3, 1.0]))


def follow(reduction: Reduction, run: Run) -> Outcome:
    """Follow a run, time point by time point, and put together what comes of it.

    Parameters
    ----------
    reduction : Reduction
        With one step that follows.
    run : Run

    Returns
    -------
    Outcome
        Arrays of stage ``series`` over the time points that were taken.

    Raises
    ------
    AssertionError
        If arrays or tables are not what was announced, a table has more rows than were, or an image was written to.
    """
    follower = Follower(reduction)
    step = reduction.series[-1]
    tables = {table.name: table for table in step.tables}
    series = {product.path: product for product in step.products if product.stage == "series"}
    nothing = {path: np.zeros((0, *product.shape[1:]), product.dtype) for path, product in series.items()}
    parts: dict[str, list[NDArray[Any]]] = {path: [array] for path, array in nothing.items()}
    empty = {t.name: {c.name: np.zeros(0, c.dtype) for c in t.columns} for t in step.tables}
    rows: dict[str, list[Rows]] = {name: [columns] for name, columns in empty.items()}
    for t, (images, present) in enumerate(zip(run.images, run.present, strict=True)):
        taken = images.copy()
        arrays, made = follower.take(t, taken, present)
        assert np.array_equal(taken, images), "an image was written to"
        _check_arrays(series, arrays, without="t")
        for name, columns in made.items():
            check_columns(tables, name, columns)
            frame, last = columns["frame"], rows[name][-1]["frame"]
            if not frame.size:
                continue
            assert frame[-1] < (t + 1) * present.size, f"table {name} has frames after time point {t}"
            assert not last.size or frame[0] >= last[-1], f"table {name} has rows before those of earlier time points"
            rows[name].append({column: values.copy() for column, values in columns.items()})
            made_so_far, images_so_far = sum(part["frame"].size for part in rows[name]), (t + 1) * present.size
            most = step.rows_per_image * images_so_far
            assert made_so_far <= most, (
                f"table {name} has {made_so_far} rows after {images_so_far} images, {most} at most"
            )
        for path, array in arrays.items():
            parts[path].append(array[None].copy())
    end = follower.finish()
    _check_arrays({p.path: p for p in step.products if p.stage == "run"}, end, without="")
    joined: dict[str, Rows] = {
        name: {column: np.concatenate([part[column] for part in found]) for column in found[0]}
        for name, found in rows.items()
    }
    return Outcome({path: np.concatenate(found) for path, found in parts.items()} | end, joined, {})


def _check_arrays(announced: Mapping[str, Product], made: Mapping[str, NDArray[Any]], *, without: str) -> None:
    assert set(made) == set(announced), f"made {sorted(made)}, announced {sorted(announced)}"
    for path, product in announced.items():
        size = tuple(n for axis, n in zip(product.axes, product.shape, strict=True) if axis != without)
        found = made[path]
        assert found.shape == size, f"{path} has the shape {found.shape}, and {size} was announced"
        assert found.dtype.name == product.dtype, f"{path} is {found.dtype}, and {product.dtype} was announced"
