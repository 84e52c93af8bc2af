from __future__ import annotations

import math
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import xxhash
from octostream.sinks.keeper import StoreKeeper
from octostream.sinks.writer import StoreWriter
from octostream.stream.model import Commit, Frame, FrameStats, Pixel, Plan, Product, Run

BIN = 2
COARSEST = 4


def mean_2x2(planes: np.ndarray) -> np.ndarray:
    """The definition, in float64: rint of the mean of the pixels that a 2x2 cell has."""
    *lead, y, x = planes.shape
    padded = np.full((*lead, y + y % 2, x + x % 2), np.nan)
    padded[..., :y, :x] = planes
    cells = padded.reshape(*lead, padded.shape[-2] // 2, 2, padded.shape[-1] // 2, 2)
    return np.rint(np.nanmean(cells, axis=(-3, -1))).astype(np.uint16)


@dataclass
class Acquisition:
    """A run with random raw frames and all that must be in its store, in plain NumPy."""

    run: Run
    products: tuple[Product, ...]
    raw: np.ndarray
    arrays: dict[str, np.ndarray]

    @property
    def plan(self) -> Plan:
        return self.run.plan

    @property
    def store(self) -> Path:
        return Path(self.run.store)

    def keeper(self) -> StoreKeeper:
        return StoreKeeper.create(self.run, self.products, {"offset": np.full((2, 2), 98.0)}, {"octostream": "0.1.0"})

    def writer(self) -> StoreWriter:
        return StoreWriter(self.store, self.plan, self.products)

    def held(self, number: int, frames=None) -> list[int]:
        block = self.plan.blocks[number]
        return [n for n in block.frames if frames is None or n in frames]

    def parts(self, number: int, frames=None) -> dict[str, np.ndarray]:
        """What a worker hands over for a block of which it holds some frames."""
        block = self.plan.blocks[number]
        there = np.zeros(self.plan.shape[:3], bool)
        for n in self.held(number, frames):
            there[self.plan.index(n)] = True
        place = tuple(slice(o, o + n) for o, n in zip(block.origin, block.extent, strict=True))
        kept = there[place]
        own = {p.path: self.arrays[p.path][place] for p in self.products if p.axes == "tczyx"}
        parts = {path: np.where(kept[..., None, None], a, 0) for path, a in own.items()}
        level = parts["0"]
        parts |= {"projections/xy": level.max(2), "projections/xz": level.max(3), "projections/yz": level.max(4)}
        return {p.path: np.ascontiguousarray(parts[p.path]) for p in self.products}

    def commit(self, number: int, frames=None, stored_bytes: int = 0) -> Commit:
        held = self.held(number, frames)
        planes = [self.raw[self.plan.index(n)] for n in held]
        return Commit(
            block=number,
            frames=tuple(
                Frame(n, 10**18 + n, xxhash.xxh3_64_intdigest(np.ascontiguousarray(p).data))
                for n, p in zip(held, planes, strict=True)
            ),
            stats=tuple(
                FrameStats(int(p.min()), int(p.max()), float(p.sum(dtype=np.uint64)) / p.size, int((p == 65535).sum()))
                for p in planes
            ),
            worker="w1",
            committed_ns=2 * 10**18 + number,
            raw_bytes=len(held) * self.plan.frame_bytes,
            stored_bytes=stored_bytes,
            products=tuple(p.path for p in self.products),
        )

    def record(self, writer: StoreWriter, number: int, frames=None) -> None:
        """Do with a block what a worker does."""
        stored = writer.write(self.plan.blocks[number], self.parts(number, frames))
        writer.commit(self.commit(number, frames, stored))


def acquisition(
    folder: Path,
    shape=(3, 1, 4, 10, 14),
    rate_hz=None,
    keep_raw=False,
    name="run",
    seed=0,
    bits=12,
    channels=(),
    raw=None,
) -> Acquisition:
    plan = Plan(shape, rate_hz=rate_hz, pixel=Pixel(0.3, 0.1, 0.2), channels=channels)
    t, c, z, y, x = shape
    products, factor = [], BIN
    y, x = math.ceil(y / BIN), math.ceil(x / BIN)
    level_y, level_x = y, x
    while True:
        products.append(Product(str(len(products)), "tczyx", (t, c, z, level_y, level_x), "uint16", factor))
        if max(level_y, level_x) <= COARSEST:
            break
        level_y, level_x, factor = math.ceil(level_y / 2), math.ceil(level_x / 2), factor * 2
    products += [
        Product("projections/xy", "tcyx", (t, c, y, x), "uint16", BIN, "max"),
        Product("projections/xz", "tczx", (t, c, z, x), "uint16", BIN),
        Product("projections/yz", "tczy", (t, c, z, y), "uint16", BIN),
    ]
    if keep_raw:
        products.append(Product("raw/0", "tczyx", shape, "uint16", 1))
    if raw is None:
        raw = np.random.default_rng(seed).integers(0, 2**bits, shape, dtype=np.uint16)
    arrays, level = {}, raw
    for product in products:
        if product.path.isdigit():
            arrays[product.path] = level = mean_2x2(level)
    first = arrays["0"]
    arrays |= {"projections/xy": first.max(2), "projections/xz": first.max(3), "projections/yz": first.max(4)}
    if keep_raw:
        arrays["raw/0"] = raw
    store = folder / "local" / f"{name}.ome.zarr"
    run = Run("r-" + name, name, "local", plan, {"name": "lightsheet"}, str(store), keep_raw, 10**18)
    return Acquisition(run, tuple(products), raw, arrays)


@pytest.fixture(scope="session")
def acquire():
    """Makes an `Acquisition` in a folder."""
    return acquisition


@pytest.fixture(scope="session")
def ram() -> str | None:
    """A folder in memory where the system has one: there the many small syncs of property tests cost nothing."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


@pytest.fixture(scope="session")
def stores(acquire, ram):
    """Sealed runs with and without raw frames; not to be changed."""
    folder = Path(tempfile.mkdtemp(dir=ram))
    from .damaged import PLANS, record_all  # late: it needs this module

    made = {}
    for plan, (shape, rate_hz) in PLANS.items():
        for raw in (False, True):
            one = made[plan, raw] = acquire(folder / f"{plan}-{raw}", shape, rate_hz, keep_raw=raw)
            record_all(one)
    yield made
    shutil.rmtree(folder)


@pytest.fixture
def copy(ram):
    """Makes copies of a run's store to damage."""
    folder = Path(tempfile.mkdtemp(dir=ram))
    yield lambda made: Path(shutil.copytree(made.store, folder / f"{len(os.listdir(folder))}.ome.zarr"))
    shutil.rmtree(folder)
