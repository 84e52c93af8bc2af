"""Shards of sparse products: which chunks they leave out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorstore as ts
from numpy.typing import NDArray

from ..stream.model import Block, Plan, Product
from ..stream.ranges import Ranges
from .layout import INDEX_CODECS, cut, placed, shard_file
from .recompute import blank, planes


def left_out(file: Path, plan: Plan, product: Product) -> Ranges:
    """Give the chunks that a shard does not have, numbered in C order from 0.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        There is no shard.
    ValueError
        Its index is damaged, or the system does not let it be read.
    """
    file.stat()  # of a file that is not there, tensorstore would list no chunks
    grid = _grid(plan, product)
    spec = {
        "driver": "zarr3_sharding_indexed",
        "base": {"driver": "file", "path": str(file)},
        "grid_shape": list(grid),
        "index_location": "end",
        "index_codecs": INDEX_CODECS,
    }
    there = np.zeros(grid, bool)
    for key in ts.KvStore.open(spec).result().list().result():
        there[tuple(np.frombuffer(key, ">u4"))] = True
    return _numbers(~there)


def blank_chunks(plan: Plan, product: Product, part: NDArray[np.generic]) -> Ranges:
    """Give the chunks of a shard that leaves out all in which a block's part shows nothing; see `left_out`."""
    _, chunk = cut(plan, product)
    grid = _grid(plan, product)
    place = (tuple(slice(k * n, (k + 1) * n) for k, n in zip(at, chunk, strict=True)) for at in np.ndindex(grid))
    return _numbers(np.array([blank(part[where]) for where in place]))


def gone_frames(store: Path, plan: Plan, product: Product, block: Block, told: Ranges) -> Ranges:
    """Give the frames of which something is gone that reads as if nothing had been there.

    Parameters
    ----------
    store, plan, product, block : Path, Plan, Product, Block
        Whose shard to look at. Of a product that is not sparse nothing is ever gone unseen.
    told : Ranges
        Chunks that the block's commit record says are left out.

    Raises
    ------
    ValueError
        The index is damaged, or the system does not let it be read.
    """
    if not product.sparse:
        return Ranges()
    try:
        gone = left_out(shard_file(store, plan, product, block), plan, product) - told
    except (FileNotFoundError, NotADirectoryError):
        return Ranges.of(block.frames)
    grid, (_, chunk) = _grid(plan, product), cut(plan, product)
    bad = {np.unravel_index(n, grid)[: len(placed(product))] for n in gone}
    return Ranges.of(n for n, at in planes(block) if tuple(k // s for k, s in zip(at, chunk, strict=False)) in bad)


def _grid(plan: Plan, product: Product) -> tuple[int, ...]:
    shard, chunk = cut(plan, product)
    return tuple(whole // part for whole, part in zip(shard, chunk, strict=True))


def _numbers(chosen: NDArray[np.bool_]) -> Ranges:
    return Ranges.of(int(n) for n in np.flatnonzero(chosen))
