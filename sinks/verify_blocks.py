"""Checking the pixels of a store block by block: every chunk decodes, and products follow from level 0."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
import xxhash
from numpy.typing import NDArray

from ..stream.model import Block, Commit, Plan, Product
from ..stream.ranges import Ranges
from .arrays import open_planned
from .layout import array_path, levels, merges, region, shard_file
from .recompute import PROJECTED, as_text, differing_frames, halve, planes, stats

Parts = dict[str, NDArray[Any]]


class BlockVerifier:
    """Reads blocks and recomputes what follows from level 0 and from the raw frames.

    Memory is bounded by two blocks of products: the one that is compared and the one that is read meanwhile.

    Parameters
    ----------
    store, plan, products : Path, Plan, tuple of Product
        What to check.
    shared : tensorstore.Context
        Resources for reading.
    pool : ThreadPoolExecutor
        Threads for recomputing.
    """

    def __init__(
        self, store: Path, plan: Plan, products: tuple[Product, ...], shared: ts.Context, pool: ThreadPoolExecutor
    ) -> None:
        self.store = store
        self.plan = plan
        self.products = products
        self._pool = pool
        self._arrays = {p.path: open_planned(store, plan, p, shared) for p in products}
        self._whole = [p for p in products if not merges(plan, p)]
        self._folded = [p for p in products if merges(plan, p)]
        self._pyramid = levels(products)
        self._running: Parts = {}
        self._incomparable = False

    def request(self, block: Block) -> dict[str, ts.Future[Any]]:
        """Begin to read a block's products."""
        return {p.path: self._arrays[p.path][region(p, block)].read() for p in self._whole}

    def check(self, block: Block, commit: Commit, requests: dict[str, ts.Future[Any]]) -> Iterator[str]:
        """Compare a block; yields one line a problem."""
        parts: Parts = {}
        for product in self._whole:
            try:
                parts[product.path] = np.asarray(requests[product.path].result())
            except ValueError as cause:
                yield self._unreadable(product, block, cause)
        yield from self._check_pyramid(block, parts)
        yield from self._check_projections(block, parts)
        if "raw/0" in parts:
            yield from self._check_raw(block, commit, parts["raw/0"])

    def check_stack(self, block: Block, *, required: bool) -> Iterator[str]:
        """Compare the merged projections of the stack that ends with this block.

        Parameters
        ----------
        block : Block
            The last committed block of the stack.
        required : bool
            Whether they must be there: not before the stack is published.
        """
        for product in self._folded:
            if not required and not shard_file(self.store, self.plan, product, block).exists():
                continue
            running = self._running.pop(product.path, None)
            try:
                found = np.asarray(self._arrays[product.path][region(product, block)].read().result())
            except ValueError as cause:
                yield self._unreadable(product, block, cause)
                continue
            if running is not None and not self._incomparable and not np.array_equal(found, running):
                t, c = block.origin[:2]
                yield f"{product.path}: not the maximum of level 0 in stack t={t}, c={c}"
        self._running.clear()
        self._incomparable = False

    def _check_pyramid(self, block: Block, parts: Parts) -> Iterator[str]:
        for fine, coarse in zip(self._pyramid, self._pyramid[1:], strict=False):
            if fine.path not in parts or coarse.path not in parts:
                continue
            expected = np.empty_like(parts[coarse.path])
            source = parts[fine.path]

            def fill(place: tuple[int, int, int], to: NDArray[Any] = expected, of: NDArray[Any] = source) -> None:
                to[place] = halve(of[place])

            list(self._pool.map(fill, (place for _, place in planes(block))))
            bad = differing_frames(coarse, block, expected, parts[coarse.path])
            if bad.spans:
                yield f"{coarse.path}: not the 2x2 mean of level {fine.path} in {as_text(bad)}"

    def _check_projections(self, block: Block, parts: Parts) -> Iterator[str]:
        if "0" not in parts:
            self._incomparable = True
            return
        wanted = [p for p in self.products if p.path in PROJECTED]
        computed = self._pool.map(lambda p: parts["0"].max(axis=PROJECTED[p.path]), wanted)
        for product, expected in zip(wanted, computed, strict=True):
            if product in self._folded:
                before = self._running.get(product.path)
                self._running[product.path] = expected if before is None else np.maximum(before, expected)
            elif product.path in parts:
                bad = differing_frames(product, block, expected, parts[product.path])
                if bad.spans:
                    yield f"{product.path}: not the maximum of level 0 in {as_text(bad)}"

    def _check_raw(self, block: Block, commit: Commit, raw: NDArray[Any]) -> Iterator[str]:
        places = dict(planes(block))

        def right(k: int) -> bool:
            frame, counted = commit.frames[k], commit.stats[k]
            plane = raw[places[frame.number]]
            return (
                xxhash.xxh3_64_intdigest(np.ascontiguousarray(plane).data) == frame.checksum and stats(plane) == counted
            )

        held = [k for k, frame in enumerate(commit.frames) if frame.number in places]
        good = list(self._pool.map(right, held))
        bad = Ranges.of(commit.frames[k].number for k, fine in zip(held, good, strict=True) if not fine)
        if bad.spans:
            yield f"raw/0: not the checksum or the counts of the commit record in {as_text(bad)}"

    def _unreadable(self, product: Product, block: Block, cause: Exception) -> str:
        """Name the file that cannot be read, and the frames that are hit."""
        shard = shard_file(self.store, self.plan, product, block)
        place = shard.relative_to(self.store)
        if not shard.exists():
            return f"{place} is missing: {array_path(product)} of {as_text(Ranges.of(block.frames))}"
        array = self._arrays[product.path]
        bad = []
        for number in block.frames:
            index = dict(zip("tcz", self.plan.index(number), strict=True))
            where = tuple(index[a] if a in index else slice(None) for a in product.axes)
            error = array[where].read().exception()
            if error is not None:
                bad.append(number)
                cause = error
        why = str(cause).rsplit(": ", 1)[-1]
        return f"{place} is damaged: {array_path(product)} of {as_text(Ranges.of(bad or block.frames))} ({why})"
