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
from octostream.sinks.series import SeriesWriter
from octostream.sinks.writer import StoreWriter
from octostream.stream.model import Commit, Frame, FrameStats, Pixel, Plan, Product, Run
from octostream.stream.tables import Column, Table

BIN = 2
COARSEST = 4
MODES = ("max", "min", "mean")
#: One whose rows come with the blocks, one whose rows are handed in at the end.
TABLES = (
    Table(
        "focus",
        (Column("frame", "uint64", "", "number of the frame"), Column("entropy", "float32", "bit", "how sharp it is")),
        "sharpness of every third frame and the one after it",
    ),
    Table("drift", (Column("frame", "uint64", "", "first frame"), Column("dy", "float64", "pixel", "down"))),
)


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
    tables: tuple[Table, ...] = ()

    @property
    def plan(self) -> Plan:
        return self.run.plan

    @property
    def store(self) -> Path:
        return Path(self.run.store)

    def keeper(self) -> StoreKeeper:
        maps = {"offset": np.full((2, 2), 98.0)}
        return StoreKeeper.create(self.run, self.products, maps, {"octostream": "0.1.0"}, self.tables)

    def writer(self) -> StoreWriter:
        return StoreWriter(self.store, self.plan, self.products)

    def held(self, number: int, frames=None) -> list[int]:
        block = self.plan.blocks[number]
        return [n for n in block.frames if frames is None or n in frames]

    def parts(self, number: int, frames=None, stage="block") -> dict[str, np.ndarray]:
        """What a worker, or who follows it, hands over for a block of which it holds some frames."""
        block = self.plan.blocks[number]
        there = np.zeros(self.plan.shape[:3], bool)
        for n in self.held(number, frames):
            there[self.plan.index(n)] = True
        place = tuple(slice(o, o + n) for o, n in zip(block.origin, block.extent, strict=True))
        parts = {}
        for p in self.products:
            if p.stage == stage and p.axes.startswith("tcz"):
                kept = there[place].any(2, keepdims=True) if p.own else there[place]
                of_stack = (*place[:2], slice(None)) if p.own else place
                kept = kept.reshape(*kept.shape, *[1] * (len(p.axes) - 3))
                missing = np.array(np.nan if p.dtype == "float32" else 0, p.dtype)
                parts[p.path] = np.where(kept, self.arrays[p.path][of_stack], missing)
        for p in self.products:
            if p.stage == stage and p.follows == "level 0":
                parts[p.path] = projection(p, parts["0"], there[place], sums=self.plan.blocks.splits_stacks)
        return {p.path: np.ascontiguousarray(parts[p.path]) for p in self.products if p.stage == stage}

    def derive(self, blocks=None, whole=True) -> None:
        """Write what follows from committed blocks, as far as it has come."""
        writer = SeriesWriter(self.store, self.plan, self.products)
        for block in self.plan.blocks:
            if blocks is None or block.number in blocks:
                writer.write(block, self.parts(block.number, stage="series"))
        for p in self.products:
            if whole and p.stage == "run":
                writer.write_run_product(p.path, self.arrays[p.path])

    def rows(self, held) -> dict[str, dict[str, np.ndarray]]:
        """What the frames of a block measure; not every frame, and numbers that JSON does not have."""
        if not self.tables:
            return {}
        numbers = np.array([n for n in held if n % 3 != 1], np.uint64)
        values = np.array([[np.nan, np.inf, 0.1][n % 3] + n for n in numbers.tolist()], np.float32)
        return {"focus": {"frame": numbers, "entropy": values}}

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
            products=tuple(p.path for p in self.products if p.stage == "block"),
            tables=self.rows(held),
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
    extra=False,
    sparse=False,
) -> Acquisition:
    plan = Plan(shape, rate_hz=rate_hz, pixel=Pixel(0.3, 0.1, 0.2), channels=channels)
    t, c, z, y, x = shape
    products, factor = [], BIN
    y, x = math.ceil(y / BIN), math.ceil(x / BIN)
    level_y, level_x = y, x
    while True:
        follows = "halved" if products else ""
        size = (t, c, z, level_y, level_x)
        products.append(Product(str(len(products)), "tczyx", size, "uint16", factor, follows=follows, sparse=sparse))
        if max(level_y, level_x) <= COARSEST:
            break
        level_y, level_x, factor = math.ceil(level_y / 2), math.ceil(level_x / 2), factor * 2
    for mode in MODES if extra else ("max",):
        suffix = "" if mode == "max" else f"-{mode}"
        for plane, axes, size, fold in (
            ("xy", "tcyx", (t, c, y, x), mode),
            ("xz", "tczx", (t, c, z, x), ""),
            ("yz", "tczy", (t, c, z, y), ""),
        ):
            path = f"projections/{plane}{suffix}"
            products.append(Product(path, axes, size, "uint16", BIN, fold, follows="level 0"))
    if keep_raw:
        products.append(Product("raw/0", "tczyx", shape, "uint16", 1))
    if raw is None:
        raw = np.random.default_rng(seed).integers(0, 2**bits, shape, dtype=np.uint16)
    arrays, level = {}, raw
    for product in products:
        if product.path.isdigit():
            arrays[product.path] = level = mean_2x2(level)
    for p in products:
        if p.follows == "level 0":
            arrays[p.path] = projection(p, arrays["0"], np.ones(shape[:3], bool))
    if extra:
        more = extra_arrays(plan, [p for p in products if p.path.isdigit()], arrays["0"])
        products += [p for p, _ in more]
        arrays |= {p.path: array for p, array in more}
    if keep_raw:
        arrays["raw/0"] = raw
    store = folder / "local" / f"{name}.ome.zarr"
    run = Run("r-" + name, name, "local", plan, {"name": "lightsheet"}, str(store), keep_raw, 10**18)
    return Acquisition(run, tuple(products), raw, arrays, TABLES if extra else ())


def extra_arrays(plan: Plan, levels: list[Product], first: np.ndarray) -> list[tuple[Product, np.ndarray]]:
    """Products of every kind beside levels and projections, and what is in them."""
    t, c, z, y, x = first.shape
    rng = np.random.default_rng(1)
    change = rng.normal(size=first.shape).astype(np.float32)
    change[..., 0] = np.inf
    bins = rng.integers(0, 2**32, (t, c, z, 8), dtype=np.uint32)
    means = rng.normal(size=(c, z, y, x)).astype(np.float32)
    of_stack = rng.integers(1, 2**16, (t, c, z + 2, y, x), dtype=np.uint16)
    percent = "change of the light, in parts of the baseline"
    made = []
    for p in levels:
        array = (first[..., :: p.factor_yx // BIN, :: p.factor_yx // BIN] > 999).astype(np.uint8)
        path = f"labels/foreground/{p.path}"
        made.append((Product(path, "tczyx", p.shape, "uint8", p.factor_yx, shows="label", sparse=p.sparse), array))
    made += [
        (Product("histogram", "tczb", bins.shape, "uint32", 1, shows="values", meaning="pixels a bin"), bins),
        (Product("dff/0", "tczyx", first.shape, "float32", BIN, stage="series", meaning=percent), change),
        (Product("registered/0", "tczyx", first.shape, "uint16", BIN, stage="series"), first[::-1]),
        (Product("moments/mean", "czyx", means.shape, "float32", BIN, stage="run", meaning="counts"), means),
        (Product("projections/t-max", "czyx", means.shape, "uint16", BIN, stage="run"), first.max(0)),
    ]
    if not plan.blocks.splits_stacks:
        inverse = {"step": 2, "levels": [0, 4]}
        product = Product("resampled", "tczyx", of_stack.shape, "uint16", BIN, own="z", attributes=inverse)
        made.append((product, of_stack))
    return made


def projection(product: Product, level0: np.ndarray, there: np.ndarray, sums: bool = False) -> np.ndarray:
    """The definition: over the frames that are there; 0 where none is."""
    axis = next(k for k, a in enumerate("tczyx") if a not in product.axes)
    kept = np.broadcast_to(there[..., None, None], level0.shape)
    some = kept.any(axis)
    match product.path.rpartition("-")[2]:
        case "min":
            made = np.where(kept, level0, 65535).min(axis)
        case "mean" if sums and axis == 2:
            return np.where(kept, level0, 0).sum(axis, dtype=np.uint32)
        case "mean":
            made = np.rint(np.where(kept, level0, 0).sum(axis) / np.maximum(kept.sum(axis), 1))
        case _:
            made = np.where(kept, level0, 0).max(axis)
    return np.where(some, made, 0).astype(np.uint16)


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
