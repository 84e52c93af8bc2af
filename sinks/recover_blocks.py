"""Damaged pixels: made again from level 0 or from the raw frames where they can be, given up frame by frame else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..stream.errors import OctostreamError
from ..stream.model import Block, Commit, Frame, Loss, Product
from ..stream.ranges import Ranges
from ..stream.tools import Reducer
from .arrays import context, open_planned
from .commits import record_file, write_commit
from .durable import make_folders, sync_above
from .failure import refuse_blame
from .folds import merged, read_partial, write_partial
from .layout import (
    array_path,
    by_frame,
    levels,
    merges,
    of_stage,
    part_dtype,
    partial_file,
    placed,
    plane_region,
    region,
    shard_file,
)
from .quarantine import Quarantine
from .recompute import as_text, empty, halve, held_frames, planes, projected, same, stats
from .recover_records import block_files
from .rows import rows_of
from .runfile import StoredRun
from .shard_writer import ShardWriter
from .shards import blank_chunks, gone_frames

Pixels = NDArray[Any]
RAW = "raw/0"


@dataclass(frozen=True)
class _Part:
    """A block's part of a product as it can be read: empty where it cannot."""

    pixels: Pixels
    lost: frozenset[int]
    whole: bool


class BlockMender:
    """Puts the pixels of blocks right.

    What is in the commit record is what a block holds. A frame is kept if its level 0 can be read or made again from
    its raw counts, and its raw counts, where they are kept, are those of the record. All else follows from level 0.

    Parameters
    ----------
    store, stored_run, quarantine : Path, StoredRun, Quarantine
        What to work on.
    reducer : callable
        Gives what reduces raw frames as the run's recipe says, or raises an `OctostreamError` that says why it cannot.
    """

    def __init__(
        self, store: Path, stored_run: StoredRun, quarantine: Quarantine, reducer: Callable[[], Reducer]
    ) -> None:
        self.store = store
        self.plan = stored_run.run.plan
        self._stored_run = stored_run
        self._quarantine = quarantine
        self._reducer = reducer
        products = of_stage(stored_run.products, "block")
        self._own = [p for p in products if not merges(self.plan, p)]
        self._folded = [p for p in products if merges(self.plan, p)]
        self._shared = context(2)
        self._arrays = {p.path: open_planned(store, self.plan, p, self._shared) for p in products}

    def mend(self, block: Block, commit: Commit) -> Iterator[str]:
        """Put a block right; yields one line for each file that changes.

        Each step leaves a store from which the same call comes to the same end: what is lost is noted, then the damaged
        files are kept aside, then the record says less, and only then are shards replaced.

        Raises
        ------
        OSError, ValueError, StoreError
            The store cannot be read or written; the same call may be repeated.
        """
        parts = {p.path: self._read(p, block, commit.left_out.get(p.path, Ranges())) for p in self._own}
        raw_lost = self._raw_lost(block, commit, parts)
        made_again = self._made_again(block, commit, parts, raw_lost)
        first = self._level0(block, commit, parts, made_again)
        lost = {"0": first.lost, RAW: raw_lost}
        dead = first.lost | raw_lost
        held = {frame.number for frame in commit.frames}
        kept = [frame for frame in commit.frames if frame.number not in dead]
        wanted = self._wanted(block, {f.number for f in kept}, first.pixels, parts, made_again)
        told = commit.left_out
        commit = replace(commit, left_out={**told, **self._left_out(block, wanted, told)})
        if len(kept) < len(commit.frames):
            yield self._give_up(block, commit, kept, [path for path in sorted(lost) if lost[path] & held])
        elif commit.left_out != told:
            write_commit(self.store, commit)
        if not kept:
            return
        for product in self._own:
            part = parts[product.path]
            if part.whole and same(part.pixels, wanted[product.path]):
                continue
            file = shard_file(self.store, self.plan, product, block)
            there = file.exists()
            self._quarantine.keep(file)
            self._write(product, block, wanted[product.path])
            gone = product.path != "0" and not product.follows and not part.whole and product.path not in made_again
            yield (
                f"{file.relative_to(self.store)} was {'not right' if there else 'missing'}: "
                f"{'what cannot be read is left empty' if gone else 'written again'}"
            )

    def mend_stack(self, t: int, c: int, committed: Mapping[int, Commit]) -> Iterator[str]:
        """Merge the projections of a stack again from the level 0 of its blocks; yields one line for each change.

        Raises
        ------
        OSError, ValueError, StoreError
            As `mend`.
        """
        numbers = self.plan.blocks.of_stack(t, c)
        for product in self._folded:
            block = self.plan.blocks[numbers[0]]
            file = shard_file(self.store, self.plan, product, block)
            there = file.exists()
            held = [n for n in numbers if n in committed]
            if not held:
                self._quarantine.keep(file)  # sealing removes it
                continue
            part = self._read(product, block, Ranges())
            wanted = part.pixels
            if product.follows == "level 0":
                parts = (self._projected(product, self.plan.blocks[n], committed[n]) for n in held)
                wanted = merged(product, parts, sum(len(committed[n].frames) for n in held))
            if not (part.whole and np.array_equal(part.pixels, wanted)):
                self._quarantine.keep(file)
                self._write(product, block, wanted)
                yield f"{file.relative_to(self.store)} was {'not right' if there else 'missing'}: merged again"

    def mend_parts(self, committed: Mapping[int, Commit]) -> Iterator[str]:
        """Put the parts right that wait for their stacks, and remove those that are merged; call it last.

        A run may be opened again, and what is merged then must be right. What is merged now is right already, and must
        not be merged again from parts that nobody has checked.

        Raises
        ------
        OSError, ValueError, StoreError
            As `mend`.
        """
        for number in sorted(committed) if self._folded else ():
            block = self.plan.blocks[number]
            whole = all(n in committed for n in self.plan.blocks.of_stack(*block.origin[:2]))
            for product in self._folded:
                file = partial_file(self.store, product, number)
                if whole:
                    file.unlink(missing_ok=True)
                    continue
                found = read_partial(self.store, product, number)
                if product.follows == "level 0":
                    wanted = self._projected(product, block, committed[number])
                else:
                    wanted = found if found is not None else self._nothing(product, block)
                if found is None or not np.array_equal(found, wanted):
                    make_folders(file.parent)
                    write_partial(self.store, product, number, wanted)
                    yield f"{file.relative_to(self.store)} was not right: made again"

    def _left_out(self, block: Block, wanted: Mapping[str, Pixels], told: Mapping[str, Ranges]) -> dict[str, Ranges]:
        """Give the chunks of sparse products that may be absent: until its shard is replaced, also those that were."""
        sparse = [p for p in self._own if p.sparse]
        return {p.path: told.get(p.path, Ranges()) | blank_chunks(self.plan, p, wanted[p.path]) for p in sparse}

    def _projected(self, product: Product, block: Block, commit: Commit) -> Pixels:
        level0 = np.asarray(self._arrays["0"][region(self._product("0"), block)].read().result())
        return projected(product, level0, held_frames(block, commit), sums=merges(self.plan, product))

    def _nothing(self, product: Product, block: Block) -> Pixels:
        """Give a block's part of a product that shows nothing."""
        shape = [s.stop - s.start for s in region(product, block)]
        return np.full(shape, empty(product.dtype), part_dtype(self.plan, product))

    def _write(self, product: Product, block: Block, pixels: Pixels) -> None:
        """Put a shard in place, durable at return."""
        file = shard_file(self.store, self.plan, product, block)
        ShardWriter(self.plan, product, self._shared).write(file, pixels)
        sync_above(file, self.store / array_path(product))

    def _product(self, path: str) -> Product:
        return next(p for p in self._stored_run.products if p.path == path)

    def _read(self, product: Product, block: Block, told: Ranges) -> _Part:
        """Read a part at once, or, where that fails, frame by frame; ``told`` are the chunks that were left out."""
        array, where = self._arrays[product.path], region(product, block)
        lost: set[int] = set()
        try:
            lost |= set(gone_frames(self.store, self.plan, product, block, told))
            return _Part(np.asarray(array[where].read().result()), frozenset(lost), whole=not lost)
        except ValueError as cause:
            refuse_blame(cause, f"read {shard_file(self.store, self.plan, product, block)}")
        pixels = np.full([s.stop - s.start for s in where], empty(product.dtype), product.dtype)
        for number, place in planes(block):
            read = array[plane_region(self.plan, product, number)].read()
            if read.exception() is None:
                at = tuple(i for i, axis in zip(place, "tcz", strict=True) if axis in placed(product))
                pixels[at] = read.result()
            else:
                lost.add(number)
        return _Part(pixels, frozenset(lost), whole=False)

    def _raw_lost(self, block: Block, commit: Commit, parts: Mapping[str, _Part]) -> frozenset[int]:
        """Give the frames whose raw counts are not those that came."""
        if RAW not in parts:
            return frozenset()
        places, raw = dict(planes(block)), parts[RAW]

        def right(k: int, frame: Frame) -> bool:
            plane = np.ascontiguousarray(raw.pixels[places[frame.number]])
            return xxhash.xxh3_64_intdigest(plane.data) == frame.checksum and stats(plane) == commit.stats[k]

        wrong = {f.number for k, f in enumerate(commit.frames) if f.number not in raw.lost and not right(k, f)}
        return frozenset(raw.lost | wrong)

    def _made_again(
        self, block: Block, commit: Commit, parts: Mapping[str, _Part], raw_lost: frozenset[int]
    ) -> Mapping[str, Pixels]:
        """Reduce a block's raw frames again where something is damaged that follows from nothing else."""
        good = [frame.number for frame in commit.frames if frame.number not in raw_lost]
        first_bad = parts["0"].lost or self._contradicted(block, parts)
        others = [p for p in self._own if p.path not in ("0", RAW) and not p.follows]
        if RAW not in parts or not good or not (first_bad or any(not parts[p.path].whole for p in others)):
            return {}
        try:
            reducer = self._reducer()
        except OctostreamError:
            return {}  # without its maps or its recipe nobody can say what the run would have made of a frame
        places = dict(planes(block))
        reducer.begin(block)
        for number in good:
            reducer.take(number, np.ascontiguousarray(parts[RAW].pixels[places[number]]))
        return reducer.finish()

    def _level0(
        self, block: Block, commit: Commit, parts: Mapping[str, _Part], made_again: Mapping[str, Pixels]
    ) -> _Part:
        """Give level 0 with all that can be read of it or was made again."""
        part = parts["0"]
        held = {frame.number for frame in commit.frames}
        bad = held & (part.lost | self._contradicted(block, parts))
        if not made_again:
            return replace(part, lost=frozenset(bad))
        pixels, places = part.pixels.copy(), dict(planes(block))
        for number in bad:
            pixels[places[number]] = made_again["0"][places[number]]
        return replace(part, pixels=pixels, lost=frozenset())

    def _contradicted(self, block: Block, parts: Mapping[str, _Part]) -> set[int]:
        """Give the frames whose level 0 can be read, but is denied by everything that was made of it."""
        level0 = parts["0"].pixels
        projections = [p for p in self._own if p.follows == "level 0" and by_frame(p)]
        halved = [p for p in levels(self._own)[1:2] if p.follows == "halved"]
        denied: set[int] = set()
        for number, place in planes(block):
            plane = level0[place]
            alone, there = plane[None, None, None], np.ones((1, 1, 1), bool)
            made: dict[str, Pixels] = {p.path: halve(plane) for p in halved}
            made |= {p.path: projected(p, alone, there, sums=False)[0, 0, 0] for p in projections}
            told = [parts[p] for p in made if number not in parts[p].lost]
            agree = [np.array_equal(parts[p].pixels[place], made[p]) for p in made]
            if len(told) == len(agree) > 0 and not any(agree):
                denied.add(number)
        return denied

    def _wanted(
        self,
        block: Block,
        kept: set[int],
        level0: Pixels,
        parts: Mapping[str, _Part],
        made_again: Mapping[str, Pixels],
    ) -> dict[str, Pixels]:
        """Give what a block that holds some frames has to show."""
        gone = [place for number, place in planes(block) if number not in kept]
        there = np.ones(block.extent, bool)
        for place in gone:
            there[place] = False
        wanted = {
            p.path: (
                parts[p.path].pixels if parts[p.path].whole else made_again.get(p.path, parts[p.path].pixels)
            ).copy()
            for p in self._own
        }
        wanted["0"] = level0.copy()
        for product in self._own:
            for place in gone if by_frame(product) else ():
                wanted[product.path][place] = empty(product.dtype)
        for fine, coarse in pairwise(levels(self._own)):
            for _, place in planes(block) if coarse.follows == "halved" else ():
                wanted[coarse.path][place] = halve(wanted[fine.path][place])
        for product in self._own:
            if product.follows == "level 0":
                wanted[product.path] = projected(product, wanted["0"], there, sums=False)
        return wanted

    def _give_up(self, block: Block, commit: Commit, kept: list[Frame], bad: list[str]) -> str:
        """Note which frames are lost, keep the whole block aside, and let its record say what is left of it."""
        left = {frame.number for frame in kept}
        lost = Ranges.of(f.number for f in commit.frames if f.number not in left)
        why = f"damaged on the disk: {' and '.join(bad)} of block {block.number}"
        self._quarantine.note([Loss(first, last, "store", why) for first, last in lost.spans])
        for file in (*block_files(self.store, self._stored_run, block), record_file(self.store, block.number)):
            self._quarantine.keep(file)
        if kept:
            pairs = [(f, s) for f, s in zip(commit.frames, commit.stats, strict=True) if f.number in left]
            less = replace(
                commit,
                frames=tuple(f for f, _ in pairs),
                stats=tuple(s for _, s in pairs),
                raw_bytes=len(pairs) * self.plan.frame_bytes,
                tables={name: rows_of(rows, Ranges.of(left)) for name, rows in commit.tables.items()},
            )
            write_commit(self.store, less)
        else:
            self._quarantine.take(record_file(self.store, block.number))
        return f"block {block.number} was damaged: {as_text(lost)} lost, what there was is in quarantine"
