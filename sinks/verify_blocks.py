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
from .failure import refuse_blame
from .folds import merged, read_partial
from .layout import array_path, by_frame, levels, merges, of_stage, plane_region, region, run_shards, shard_file
from .problem import Problem
from .recompute import (
    MERGED,
    MODES,
    as_text,
    blank,
    differing_frames,
    halve,
    held_frames,
    mode_of,
    planes,
    projected,
    same,
    stats,
)
from .shards import gone_frames

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
        of_blocks = of_stage(products, "block")
        self._whole = [p for p in of_blocks if not merges(plan, p)]
        self._folded = [p for p in of_blocks if merges(plan, p)]
        self._projected = [p for p in of_blocks if p.follows == "level 0"]
        self._series = of_stage(products, "series")
        self._pyramid = levels(products)
        self._running: Parts = {}
        self._parts: Parts = {}
        self._frames = 0
        self._incomparable = False

    def request(self, block: Block) -> dict[str, ts.Future[Any]]:
        """Begin to read a block's products, of series what there is."""
        there = (p for p in self._series if shard_file(self.store, self.plan, p, block).exists())
        return {p.path: self._arrays[p.path][region(p, block)].read() for p in (*self._whole, *there)}

    def check(
        self, block: Block, commit: Commit, requests: dict[str, ts.Future[Any]], *, waits: bool
    ) -> Iterator[Problem]:
        """Compare a block.

        Parameters
        ----------
        block, commit, requests : Block, Commit, dict
            Which, what it holds, and what `request` gave.
        waits : bool
            Whether its parts of merged projections must still be there, for the rest of its stack.
        """
        yield from (Problem(text, block.number) for text in self._check(block, commit, requests, waits))
        for product in self._series:
            try:
                if product.path in requests:
                    requests[product.path].result()
            except ValueError as cause:
                file = shard_file(self.store, self.plan, product, block).relative_to(self.store).as_posix()
                yield Problem(self._unreadable(product, block, cause), file=file)

    def check_run(self) -> Iterator[Problem]:
        """See that what there is of the products of stage ``run`` can be read."""
        for product in of_stage(self.products, "run"):
            for file, where in run_shards(self.store, self.plan, product):
                try:
                    if file.exists():
                        self._arrays[product.path][where].read().result()
                except ValueError as cause:
                    refuse_blame(cause, f"read {file}")
                    name = file.relative_to(self.store).as_posix()
                    yield Problem(f"{name} is damaged ({str(cause).rsplit(': ', 1)[-1]})", file=name)

    def check_stack(self, block: Block, *, required: bool) -> Iterator[Problem]:
        """Compare the merged projections of the stack that ends with this block.

        Parameters
        ----------
        block : Block
            The last committed block of the stack.
        required : bool
            Whether they must be there: not before the stack is published.
        """
        return (Problem(text, block.number) for text in self._check_stack(block, required))

    def _check(self, block: Block, commit: Commit, requests: dict[str, ts.Future[Any]], waits: bool) -> Iterator[str]:
        parts: Parts = {}
        for product in self._whole:
            try:
                part = np.asarray(requests[product.path].result())
                gone = gone_frames(self.store, self.plan, product, block, commit.left_out.get(product.path, Ranges()))
            except ValueError as cause:
                yield self._unreadable(product, block, cause)
                continue
            if gone.spans:
                yield self._gone(product, block, gone)
            else:
                parts[product.path] = part
        yield from self._check_lost(block, commit, parts)
        yield from self._check_pyramid(block, parts)
        yield from self._check_projections(block, commit, parts)
        yield from self._check_waiting(block) if waits else ()
        if "raw/0" in parts:
            yield from self._check_raw(block, commit, parts["raw/0"])

    def _check_stack(self, block: Block, required: bool) -> Iterator[str]:
        running, frames, comparable = self._running, self._frames, not self._incomparable
        self._running, self._frames, self._incomparable = {}, 0, False
        for product in self._folded:
            if not required and not shard_file(self.store, self.plan, product, block).exists():
                continue
            try:
                found = np.asarray(self._arrays[product.path][region(product, block)].read().result())
            except ValueError as cause:
                yield self._unreadable(product, block, cause)
                continue
            joined = running.get(product.path) if comparable else None
            if joined is not None and not same(found, merged(product, [joined], frames)):
                t, c = block.origin[:2]
                yield f"{product.path}: not the {MODES[mode_of(product)]} of level 0 in stack t={t}, c={c}"

    def _check_lost(self, block: Block, commit: Commit, parts: Parts) -> Iterator[str]:
        """See that nothing is shown where the block holds no frame."""
        held = {frame.number for frame in commit.frames}
        missing = [(number, place) for number, place in planes(block) if number not in held]
        for product in self._whole if missing else ():
            if by_frame(product) and product.path in parts:
                part = parts[product.path]
                bad = Ranges.of(number for number, place in missing if not blank(part[place]))
                if bad.spans:
                    yield f"{product.path}: shows what no commit record holds in {as_text(bad)}"

    def _check_pyramid(self, block: Block, parts: Parts) -> Iterator[str]:
        for fine, coarse in zip(self._pyramid, self._pyramid[1:], strict=False):
            if coarse.follows != "halved" or fine.path not in parts or coarse.path not in parts:
                continue
            expected = np.empty_like(parts[coarse.path])
            source = parts[fine.path]

            def fill(place: tuple[int, int, int], to: NDArray[Any] = expected, of: NDArray[Any] = source) -> None:
                to[place] = halve(of[place])

            list(self._pool.map(fill, (place for _, place in planes(block))))
            bad = differing_frames(coarse, block, expected, parts[coarse.path])
            if bad.spans:
                yield f"{coarse.path}: not the 2x2 mean of level {fine.path} in {as_text(bad)}"

    def _check_projections(self, block: Block, commit: Commit, parts: Parts) -> Iterator[str]:
        self._parts.clear()
        if "0" not in parts:
            self._incomparable = True
            return
        there = held_frames(block, commit)
        self._frames += int(there.sum())
        first = parts["0"]
        computed = self._pool.map(lambda p: projected(p, first, there, sums=merges(self.plan, p)), self._projected)
        for product, expected in zip(self._projected, computed, strict=True):
            if product in self._folded:
                self._parts[product.path] = expected
                before = self._running.get(product.path)
                self._running[product.path] = expected if before is None else MERGED[product.fold](before, expected)
            elif product.path in parts:
                bad = differing_frames(product, block, expected, parts[product.path])
                if bad.spans:
                    yield f"{product.path}: not the {MODES[mode_of(product)]} of level 0 in {as_text(bad)}"

    def _check_waiting(self, block: Block) -> Iterator[str]:
        """Compare the parts that wait for the rest of their stack."""
        for product in self._folded:
            waiting = read_partial(self.store, product, block.number)
            expected = self._parts.pop(product.path, waiting)
            if waiting is None or (expected is not None and not same(waiting, expected)):
                yield f"{product.path}: the part of block {block.number} that waits for its stack is not right"

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

    def _gone(self, product: Product, block: Block, frames: Ranges) -> str:
        shard = shard_file(self.store, self.plan, product, block)
        place, what = shard.relative_to(self.store), f"{array_path(product)} of {as_text(frames)}"
        if not shard.exists():
            return f"{place} is missing: {what}"
        return f"{place} is damaged: {what} (chunks are gone that the commit record does not call left out)"

    def _unreadable(self, product: Product, block: Block, cause: Exception) -> str:
        """Name the file that cannot be read, and the frames that are hit.

        Raises
        ------
        StoreError
            The system refuses to read it, which says nothing about what is in it.
        """
        refuse_blame(cause, f"read {shard_file(self.store, self.plan, product, block)}")
        shard = shard_file(self.store, self.plan, product, block)
        place = shard.relative_to(self.store)
        if not shard.exists():
            return f"{place} is missing: {array_path(product)} of {as_text(Ranges.of(block.frames))}"
        array = self._arrays[product.path]
        bad = []
        for number in block.frames:
            error = array[plane_region(self.plan, product, number)].read().exception()
            if error is not None:
                bad.append(number)
                cause = error
        why = str(cause).rsplit(": ", 1)[-1]
        return f"{place} is damaged: {array_path(product)} of {as_text(Ranges.of(bad or block.frames))} ({why})"
