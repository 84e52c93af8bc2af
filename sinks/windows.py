"""The range of counts that viewers show first, from a look at the coarsest level."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
from numpy.typing import NDArray

from ..stream.model import Plan, Product
from .arrays import open_planned
from .growth import Extent, Growth
from .layout import levels, region, shard_file
from .ngff import Window
from .part import DamagedPartError, read_part

#: Fractions of the pixels below and above which the display may saturate.
LOW, HIGH = 0.005, 0.999


def window_of(pixels: NDArray[Any]) -> Window:
    """Give a robust range of uint8 or uint16 pixels: their quantiles at `LOW` and `HIGH`, at least one count apart."""
    cumulative = np.cumsum(np.bincount(pixels.ravel(), minlength=1))
    start, end = (int(np.searchsorted(cumulative, q * cumulative[-1])) for q in (LOW, HIGH))
    start = min(start, int(np.iinfo(pixels.dtype).max) - 1)
    return start, max(end, start + 1)


def read_windows(
    store: Path, plan: Plan, products: tuple[Product, ...], growth: Growth, extent: Extent, shared: ts.Context
) -> dict[int, Window | None]:
    """Look at one committed block of every channel: of its newest time point, or amid what is visible of a stack.

    What is found depends on what is committed and on nothing else, so that a store can be sealed again, or verified.

    Returns
    -------
    dict of int to (int, int) or None
        By channel number; without those of which nothing is stored, None where the block to look at is damaged.

    Raises
    ------
    StoreError
        The disk is away.
    """
    pyramid = [p for p in levels(products) if p.dtype in ("uint8", "uint16")]
    if not pyramid or not extent.length:
        return {}
    coarsest = pyramid[-1]
    array = open_planned(store, plan, coarsest, shared)
    windows: dict[int, Window | None] = {}
    for c in range(plan.shape[1]):
        frames = _look_at(plan, extent, c)
        block = next((b for b in map(plan.blocks.block_of, frames) if b.number in growth), None)
        if block is not None:
            where = list(region(coarsest, block))
            where[1] = slice(c, c + 1)
            shard = shard_file(store, plan, coarsest, block)
            windows[c] = None
            with suppress(DamagedPartError):  # `verify` names it; the other channels are shown as they should be
                part = read_part(store, array, shard, tuple(where), f"level {coarsest.path} of block {block.number}")
                windows[c] = window_of(part)
    return windows


def _look_at(plan: Plan, extent: Extent, c: int) -> Iterator[int]:
    """Give the numbers of the frames in whose blocks to look, the best first."""
    _, c_size, z_size = plan.shape[:3]
    if extent.axis == "t":
        return ((t * c_size + c) * z_size + z_size // 2 for t in range(extent.length - 1, -1, -1))
    middle = (extent.length - 1) // 2
    return (c * z_size + z for z in (*range(middle, -1, -1), *range(middle + 1, extent.length)))
