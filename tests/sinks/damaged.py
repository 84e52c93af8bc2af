"""Stores to damage, and what must hold once they are recovered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr
from octostream.sinks.frames_table import STORED, read_frames_table
from octostream.sinks.layout import array_path, shard_file
from octostream.sinks.reading import read_ledger
from octostream.sinks.recompute import planes
from octostream.sinks.recover import recover
from octostream.sinks.verify import verify
from octostream.stream.errors import RecipeError
from octostream.stream.model import FrameStats
from octostream.stream.ranges import Ranges

from .conftest import mean_2x2

#: Shape and rate of runs whose blocks are: a stack each, two blocks a stack, several stacks each with a short last one.
PLANS = {"stacks": ((3, 2, 3, 10, 14), 3.0), "split": ((2, 1, 5, 9, 9), 3.0), "grouped": ((5, 1, 2, 10, 6), 4.0)}


@dataclass
class PlainReduction:
    """What the runs of these tests make of raw frames, in plain NumPy."""

    products: tuple
    tables: tuple = ()
    block = None

    def reducer(self):
        return self

    def begin(self, block):
        self.block, self.planes = block, {}

    def take(self, number, pixels):
        assert number in self.block.frames
        self.planes[number] = mean_2x2(pixels)
        return FrameStats(0, 0, 0.0, 0)

    def finish(self):
        whole = np.zeros((*self.block.extent, *next(iter(self.planes.values())).shape), np.uint16)
        for number, place in planes(self.block):
            whole[place] = self.planes.get(number, 0)
        return {"0": whole}


def no_reduction(run, maps):
    raise RecipeError("these frames are not to be reduced again")


def tree(store: Path) -> dict[str, bytes]:
    return {f.relative_to(store).as_posix(): f.read_bytes() for f in store.rglob("*") if f.is_file()}


def record_all(made, blocks=None, seal=True):
    keeper, worker = made.keeper(), made.writer()
    for block in made.plan.blocks:
        if blocks is None or block.number in blocks:
            made.record(worker, block.number)
            keeper.publish([block.number])
    if seal:
        keeper.seal([])
    return keeper


def product(made, path):
    return next(p for p in made.products if p.path == path)


def shard(made, store, path, block=1):
    return shard_file(store, made.plan, product(made, path), made.plan.blocks[block])


def flip(file, at=None):
    bad = bytearray(file.read_bytes())
    bad[len(bad) // 3 if at is None else at] ^= 0x20
    file.write_bytes(bad)


def holds(made, store, stored):
    """Check that a recovered store shows exactly some frames, and accounts for them in every way."""
    there = np.zeros(made.plan.shape[:3], bool)
    for number in stored:
        there[made.plan.index(number)] = True
    shown = {
        p.path: np.where(there[..., None, None], made.arrays[p.path], 0) for p in made.products if len(p.axes) == 5
    }
    shown |= {f"projections/{p}": shown["0"].max(axis) for p, axis in (("xy", 2), ("xz", 3), ("yz", 4))}
    for p in made.products:
        seen = zarr.open_array(store / array_path(p), mode="r")[...]
        whole = np.zeros(p.shape, p.dtype)
        whole[tuple(slice(0, n) for n in seen.shape)] = seen
        np.testing.assert_array_equal(whole, shown[p.path])
    assert list(read_frames_table(store)["state"] == STORED) == [n in stored for n in range(made.plan.frames)]
    ledger = read_ledger(store)
    assert ledger.stored == Ranges.of(stored)
    assert ledger.lost == Ranges.of(set(range(made.plan.frames)) - set(stored))
    report = verify(store)
    assert report.ok, report.problems


def again(store, reduce=no_reduction):
    """Check that a second recovery finds nothing to do."""
    before = tree(store)
    report = recover(store, reduce)
    assert report.changes == ()
    assert tree(store) == before
    return report


def shard_name(made, product, block):
    return shard_file(Path(), made.plan, product, block).as_posix()
