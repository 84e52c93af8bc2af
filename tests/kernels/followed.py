"""A run that was made up, through the steps that follow it."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from octostream.kernels.following import Follower
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.stream.model import Plan

#: Shapes (t, c, z, y, x) and whether the first frames are lost.
shapes = st.tuples(st.integers(1, 7), st.integers(1, 2), st.integers(1, 3), st.integers(1, 12), st.integers(1, 17))
kinds = st.sampled_from(["any", "ends", "full", "dark", "falling"])


def planned(shape, *overrides):
    """Give a reduction whose only level is that of the raw pixels, with steps that look at it."""
    lane = ["bin=false", "pyramid=false", "projections=false"]
    return plan_reduction(Recipe.load("lightsheet", [*lane, *overrides]), Plan(shape))


def images_of(shape, kind, seed, lost=0.2):
    """Give images (t, c, z, y, x) of counts, and which are there (t, c, z); lost ones are 0."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 65536, shape, dtype=np.uint16)
    if kind == "ends":
        images = rng.choice(np.array([0, 1, 65534, 65535], np.uint16), shape)
    if kind in ("full", "dark"):
        images = np.full(shape, 65535 if kind == "full" else 0, np.uint16)
    if kind == "falling":
        images = (65535 - 37 * np.arange(np.prod(shape)) % 65536).astype(np.uint16).reshape(shape)
    present = rng.random(shape[:3]) >= lost
    images[~present] = 0
    return images, present


def followed(reduction, images, present):
    """Give what following a run makes: arrays (t, ...) of stage series and run by path, and rows by table."""
    follower = Follower(reduction)
    series, tables = {}, {}
    for t, (now, there) in enumerate(zip(images, present, strict=True)):
        arrays, rows = follower.take(t, np.ascontiguousarray(now), there)
        for path, array in arrays.items():
            series.setdefault(path, []).append(array.copy())
        for name, columns in rows.items():
            tables.setdefault(name, []).append(columns)
    made = {path: np.array(parts) for path, parts in series.items()} | follower.finish()
    for product in reduction.products:
        if product.stage != "block":
            assert made[product.path].dtype == product.dtype
            assert made[product.path].shape == product.shape
    assert made.keys() == {product.path for product in reduction.products if product.stage != "block"}
    return made, {table.name: joined(table, tables.get(table.name, [])) for table in reduction.tables}


def joined(table, parts):
    """Give one array a column, with the type that the table promises, in the order of frames."""
    for part in parts:
        assert list(part) == [column.name for column in table.columns]
        assert all(part[column.name].dtype == column.dtype for column in table.columns)
        assert len({len(values) for values in part.values()}) == 1
    nothing = [{column.name: np.empty(0, column.dtype) for column in table.columns}]
    rows = {column.name: np.concatenate([p[column.name] for p in [*nothing, *parts]]) for column in table.columns}
    assert (np.diff(rows["frame"]) >= 0).all()
    return rows


def same(one, other):
    """Whether two results are equal bit for bit."""
    return all(
        a.keys() == b.keys() and all(np.asarray(a[k]).tobytes() == np.asarray(b[k]).tobytes() for k in a)
        for a, b in [(one[0], other[0]), *((one[1][name], other[1][name]) for name in one[1])]
    )
