"""A recipe run over frames block by block, as workers do it: what becomes of arrays and tables in the end."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.stream import model
from octostream.stream.model import Plan


class Made(NamedTuple):
    """Whole arrays by path, whole columns by table and name, and the reduction that made them."""

    arrays: dict
    tables: dict
    reduction: object


def run(overrides, frames, *, lost=(), seed=None, block_frames=None, plan=None, base="lightsheet", keep_raw=False):
    """Reduce frames (t, c, z, y, x) by a recipe; those in ``lost`` never come, a seed shuffles the others."""
    plan = plan or Plan(frames.shape)
    recipe = Recipe.load(base, overrides)
    flat = frames.reshape(-1, *plan.frame_shape)
    with pytest.MonkeyPatch.context() as patch:
        if block_frames is not None:
            patch.setattr(model, "BLOCK_FRAMES", block_frames)
        reduction = plan_reduction(recipe, plan, keep_raw=keep_raw)
        reducer = reduction.reducer()
        arrays = {p.path: np.full(p.shape, 7, p.dtype) for p in reduction.products}
        parts = {table.name: [] for table in reduction.tables}
        for block in plan.blocks:
            reducer.begin(block)
            order = list(block.frames)
            for number in order if seed is None else np.random.default_rng(seed).permutation(order).tolist():
                if number not in lost:
                    reducer.add(number, flat[number])
            _merge(reduction, reducer, block, arrays)
            for name, rows in reducer.tables().items():
                parts[name].append({column: values.copy() for column, values in rows.items()})
    return Made(arrays, {t.name: _joined(t, parts[t.name]) for t in reduction.tables}, reduction)


def _merge(reduction, reducer, block, arrays):
    made = reducer.finish()
    before = {path: part.copy() for path, part in made.items()}
    assert reducer.finish() is made
    assert made.keys() == arrays.keys()
    at = dict(zip("tcz", zip(block.origin, block.extent, strict=True), strict=True))
    for product in reduction.products:
        part = made[product.path]
        assert (part == before[product.path]).all()
        assert part.dtype == product.dtype, product.path
        assert part.flags.c_contiguous
        where = tuple(
            slice(at[a][0], sum(at[a])) if a in at else slice(0, size)
            for a, size in zip(product.axes, product.shape, strict=True)
        )
        target = arrays[product.path][where]
        assert part.shape == target.shape, product.path
        first = not product.fold or block.origin[2] == 0
        target[...] = part if first else np.maximum(target, part)


def _joined(table, parts):
    names = [column.name for column in table.columns]
    for rows in parts:
        assert list(rows) == names
        assert [rows[c.name].dtype for c in table.columns] == [np.dtype(c.dtype) for c in table.columns]
        assert len({len(values) for values in rows.values()}) == 1
    return {name: np.concatenate([rows[name] for rows in parts]) if parts else np.zeros(0) for name in names}


def same(one, other):
    """Tell whether two runs made the same, bit for bit."""
    pairs = [(one.arrays[path], other.arrays[path]) for path in one.arrays]
    pairs += [(one.tables[t][c], other.tables[t][c]) for t in one.tables for c in one.tables[t]]
    return one.arrays.keys() == other.arrays.keys() and all(a.tobytes() == b.tobytes() for a, b in pairs)
