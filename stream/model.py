"""What flows: plans, runs, frames, blocks and products, as frozen data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from .errors import UsageError
from .ranges import Ranges
from .tables import Rows

AXES = "tczyx"
#: A frame is at most this large (11585 x 11585 pixels): larger messages are refused before they are allocated.
MAX_FRAME_BYTES = 256 * 2**20
#: A run has at most this many frames (28 hours at 100 Hz): its ledger and tables must fit in memory.
MAX_FRAMES = 10_000_000
#: A block holds at most this many bytes of raw frames, so that agent and worker memory stay bounded.
BLOCK_BYTES = 256 * 2**20
#: A block holds at most this many frames, so that tiny frames do not make blocks of millions.
BLOCK_FRAMES = 1024
#: A block lasts at most about this long, so that a slow camera's frames do not wait minutes to be durable.
BLOCK_SECONDS = 1.0
#: A stack that must not be split may have so many bytes of raw frames: agent and worker hold two of them.
STACK_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class Pixel:
    """Physical sampling of a plan; ``None`` where it is not known.

    Attributes
    ----------
    z_um, y_um, x_um : float or None
        Distance between neighbouring samples, micrometres.
    """

    z_um: float | None = None
    y_um: float | None = None
    x_um: float | None = None


@dataclass(frozen=True)
class Plan:
    """What a run will acquire.

    Frames are numbered from 0 in acquisition order, which is t, then c, then z (z fastest):
    ``number = (t * C + c) * Z + z``. Frames are always uint16 on the wire.

    Attributes
    ----------
    shape : tuple of int
        (t, c, z, y, x), all at least 1; y and x are the raw sensor size, pixels.
    axes : str
        Those of ``"tczyx"`` that the acquisition really has (``"tyx"``: a movie without z), for display only:
        the store is always five-dimensional.
    rate_hz : float or None
        Planned frame rate, frames per second; None where the source goes as fast as it can.
    exposure_ms : float or None
        Exposure time, milliseconds.
    pixel : Pixel
        Sampling of the raw frames.
    channels : tuple of str
        One label a channel; may be empty.
    source : str
        What the frames come from, for people ("lattice_lightsheet_raw.tif, tiled to 2048x2048").
    metadata : mapping
        Text, numbers and truth values that the operator gave; once the run is open, as its technique wants them.
    whole_stacks : bool
        Whether a stack is one block however long that makes it, up to ``STACK_BYTES`` and ``BLOCK_FRAMES``; for recipes
        with steps that need whole stacks.
    """

    shape: tuple[int, int, int, int, int]
    axes: str = AXES
    rate_hz: float | None = None
    exposure_ms: float | None = None
    pixel: Pixel = Pixel()
    channels: tuple[str, ...] = ()
    source: str = ""
    metadata: Mapping[str, str | float | int | bool] = field(default_factory=lambda: MappingProxyType({}))
    whole_stacks: bool = False

    def __post_init__(self) -> None:
        """Refuse shapes and rates that no acquisition can have."""
        if len(self.shape) != 5 or any(not isinstance(n, int) or n < 1 for n in self.shape):
            raise UsageError(f"plan shape {self.shape!r} is not five positive whole numbers", "give (t, c, z, y, x)")
        if self.frame_bytes > MAX_FRAME_BYTES:
            what = f"a frame of {self.shape[3]}x{self.shape[4]} pixels is larger than {MAX_FRAME_BYTES >> 20} MiB"
            raise UsageError(what, "read out a part of the sensor")
        if self.frames > MAX_FRAMES:
            raise UsageError(f"a run of {self.frames} frames is longer than {MAX_FRAMES}", "split it into several runs")
        if self.rate_hz is not None and not (math.isfinite(self.rate_hz) and self.rate_hz > 0):
            raise UsageError(f"rate {self.rate_hz} Hz is not a positive number", "give --rate in frames per second")
        if self.channels and len(self.channels) != self.shape[1]:
            raise UsageError(f"{len(self.channels)} channel names for {self.shape[1]} channels", "name every channel")
        if (
            not self.axes.endswith("yx")
            or any(a not in AXES for a in self.axes)
            or len(set(self.axes)) != len(self.axes)
        ):
            raise UsageError(
                f"axes {self.axes!r} are not a subset of 'tczyx' that ends in 'yx'", "give for example tzyx"
            )

    @property
    def frames(self) -> int:
        """Number of frames that the plan asks for."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Raw frame size (y, x), pixels."""
        return self.shape[3], self.shape[4]

    @property
    def frame_bytes(self) -> int:
        """Bytes of one raw uint16 frame."""
        return 2 * self.shape[3] * self.shape[4]

    def index(self, number: int) -> tuple[int, int, int]:
        """Give (t, c, z) of a frame number."""
        _, c_size, z_size = self.shape[:3]
        stack, z = divmod(number, z_size)
        t, c = divmod(stack, c_size)
        return t, c, z

    @cached_property
    def blocks(self) -> Blocks:
        """How the plan is cut into blocks; a function of the plan alone, so every party agrees on it."""
        return Blocks.of(self)


@dataclass(frozen=True, slots=True)
class Block:
    """The frames that are reduced, committed and acknowledged as one.

    Attributes
    ----------
    number : int
        From 0, in acquisition order.
    first, count : int
        Frame numbers ``first … first + count - 1``.
    origin, extent : tuple of int
        Position and size in (t, c, z).
    """

    number: int
    first: int
    count: int
    origin: tuple[int, int, int]
    extent: tuple[int, int, int]

    @property
    def last(self) -> int:
        """Last frame number of the block."""
        return self.first + self.count - 1

    @property
    def frames(self) -> range:
        """Frame numbers of the block."""
        return range(self.first, self.first + self.count)


def block_limit(plan: Plan) -> int:
    """Give how many frames of a plan a block holds at most."""
    limit = max(1, min(BLOCK_FRAMES, BLOCK_BYTES // plan.frame_bytes))
    return limit if plan.rate_hz is None else min(limit, max(1, int(plan.rate_hz * BLOCK_SECONDS)))


def stack_limit(plan: Plan) -> int:
    """Give how many planes a stack of a plan has at most that can be a block as a whole."""
    return max(1, min(BLOCK_FRAMES, STACK_BYTES // plan.frame_bytes))


@dataclass(frozen=True, slots=True)
class Blocks:
    """Regular cut of a plan into blocks of consecutive frames.

    ``step`` is the full block's extent (t, c, z); blocks at the far edge are smaller. Either whole time points are
    grouped (step = (n, C, Z)), or one stack is a block (1, 1, Z), or a long stack is split along z (1, 1, n).

    Attributes
    ----------
    sizes : tuple of int
        (T, C, Z) of the plan.
    step : tuple of int
        (t, c, z) of a full block.
    """

    sizes: tuple[int, int, int]
    step: tuple[int, int, int]

    @classmethod
    def of(cls, plan: Plan) -> Blocks:
        """Cut a plan so that no block exceeds ``BLOCK_BYTES``, ``BLOCK_FRAMES``, or ``BLOCK_SECONDS`` at its rate.

        Where the plan wants whole stacks, one that is longer is a block, if `stack_limit` lets it.
        """
        t_size, c_size, z_size = plan.shape[:3]
        limit = block_limit(plan)
        whole = plan.whole_stacks and z_size <= stack_limit(plan)
        if z_size > limit and not whole:
            parts = math.ceil(z_size / limit)
            step = (1, 1, math.ceil(z_size / parts))
        elif c_size * z_size > limit:
            step = (1, 1, z_size)
        else:
            step = (min(t_size, limit // (c_size * z_size)), c_size, z_size)
        return cls((t_size, c_size, z_size), step)

    @property
    def grid(self) -> tuple[int, int, int]:
        """Number of blocks along (t, c, z)."""
        t, c, z = (math.ceil(n / s) for n, s in zip(self.sizes, self.step, strict=True))
        return t, c, z

    @property
    def splits_stacks(self) -> bool:
        """Whether one stack spans several blocks, so that its z projection must be merged."""
        return self.step[2] < self.sizes[2]

    def __len__(self) -> int:
        """Count the blocks."""
        return math.prod(self.grid)

    def __getitem__(self, number: int) -> Block:
        """Give block ``number``."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        _, grid_c, grid_z = self.grid
        rest, bz = divmod(number, grid_z)
        bt, bc = divmod(rest, grid_c)
        at = tuple(i * s for i, s in zip((bt, bc, bz), self.step, strict=True))
        size = tuple(min(s, n - a) for s, n, a in zip(self.step, self.sizes, at, strict=True))
        _, c_size, z_size = self.sizes
        first = (at[0] * c_size + at[1]) * z_size + at[2]
        return Block(number, first, math.prod(size), (at[0], at[1], at[2]), (size[0], size[1], size[2]))

    def __iter__(self) -> Iterator[Block]:
        """Go through the blocks in acquisition order."""
        return (self[i] for i in range(len(self)))

    def block_of(self, frame: int) -> Block:
        """Give the block that holds a frame number."""
        _, c_size, z_size = self.sizes
        stack, z = divmod(frame, z_size)
        t, c = divmod(stack, c_size)
        _, grid_c, grid_z = self.grid
        return self[((t // self.step[0]) * grid_c + c // self.step[1]) * grid_z + z // self.step[2]]

    def row(self, k: int) -> range:
        """Give the numbers of the blocks that together cover the k-th step along t: all channels, all z."""
        _, grid_c, grid_z = self.grid
        return range(k * grid_c * grid_z, (k + 1) * grid_c * grid_z)

    def of_stack(self, t: int, c: int) -> range:
        """Give the numbers of the blocks that together hold stack (t, c)."""
        _, grid_c, grid_z = self.grid
        first = ((t // self.step[0]) * grid_c + c // self.step[1]) * grid_z
        return range(first, first + grid_z)


@dataclass(frozen=True, slots=True)
class FrameStats:
    """Numbers of one raw frame, in counts.

    Attributes
    ----------
    min, max : int
        Smallest and largest raw count.
    mean : float
        Exact mean of the raw counts, rounded once to float64.
    saturated : int
        Pixels at 65535.
    """

    min: int
    max: int
    mean: float
    saturated: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One received frame, as a worker sees it.

    Attributes
    ----------
    number : int
        Frame number in the run.
    timestamp_ns : int
        Wall clock of the agent when the frame was complete, nanoseconds since 1970.
    checksum : int
        xxh3-64 of the payload.
    """

    number: int
    timestamp_ns: int
    checksum: int


@dataclass(frozen=True, slots=True)
class Product:
    """An array that a recipe makes, and how its parts fall on the plan.

    Attributes
    ----------
    path : str
        Where it lies in the store: ``"0"``, ``"1"``, ``"projections/xy"``, ``"raw/0"``.
    axes : str
        Subset of ``"tczyx"`` in that order, and for what is no image any other letters after them.
    shape : tuple of int
        Full size for the whole plan, in the order of ``axes``.
    dtype : str
        NumPy name of the element type.
    factor_yx : int
        Raw pixels per pixel along y and x (binning times pyramid factor).
    fold : str
        Where a stack spans several blocks, the parts of this product cover the same place and are merged: ``"max"``,
        ``"min"``, or ``"mean"``, whose parts are sums in uint32. Empty: parts of different blocks never overlap.
    own : str
        Those of the axes t, c, z that are not the plan's, but have a length of their own: ``"z"`` of a stack that was
        resampled, ``"t"`` missing altogether is not listed.
    stage : str
        Who writes it: ``"block"``, a worker with each block; ``"series"``, what follows the committed blocks in their
        order, a block's extent at a time; ``"run"``, the same at the end, all at once.
    follows : str
        What it can be computed from again, for whoever checks a store: ``"halved"``, the level before it;
        ``"level 0"``, its maximum, minimum or mean over the axes that are missing. Empty: nothing that is stored.
    shows : str
        What it is for viewers: ``"image"``, ``"label"``, or ``"values"``, an array that is no picture.
    meaning : str
        One line, with the unit of the values.
    attributes : mapping
        Stored with it, JSON types: what brings codes back to counts.
    sparse : bool
        Whether chunks in which nothing is are left out of their shards; they read as 0. Only of images of whole
        numbers, written with each block, in which every frame has a place of its own.
    """

    path: str
    axes: str
    shape: tuple[int, ...]
    dtype: str
    factor_yx: int
    fold: str = ""
    own: str = ""
    stage: str = "block"
    follows: str = ""
    shows: str = "image"
    meaning: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    sparse: bool = False


@dataclass(frozen=True)
class Run:
    """One acquisition as the whole tier knows it.

    Attributes
    ----------
    id : str
        Unique, safe as a path and in a URL.
    name, investigation : str
        Where the store lies: ``DATA/<investigation>/<name>.ome.zarr``, or below the visit's folder.
    plan : Plan
        What is acquired.
    recipe : mapping
        The recipe as plain data (JSON types), maps replaced by references into the store.
    store : str
        Absolute path of the store on the tier.
    keep_raw : bool
        Whether the frames are also stored as they came.
    opened_ns : int
        Wall clock when the run was opened.
    instrument : str
        Whose key opened it; empty where the tier uses no keys.
    visit : str
        Visit of the investigation: ``DATA/<investigation>/<visit>/<name>.ome.zarr``; empty where none was named.
    technique : str
        Whose template the plan's metadata follow; ``free`` takes any.
    """

    id: str
    name: str
    investigation: str
    plan: Plan
    recipe: Mapping[str, Any]
    store: str
    keep_raw: bool
    opened_ns: int
    instrument: str = ""
    visit: str = ""
    technique: str = "free"


@dataclass(frozen=True, slots=True)
class Loss:
    """Frames that will never be stored, and why.

    Attributes
    ----------
    first, last : int
        Inclusive range of frame numbers.
    where : str
        Part of the path that lost them: ``"source"``, ``"agent"``, ``"worker"``, ``"store"``.
    why : str
        One clause for people.
    """

    first: int
    last: int
    where: str
    why: str

    @property
    def count(self) -> int:
        """Number of frames lost."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class Commit:
    """A block that is durable: the content of its commit record.

    Attributes
    ----------
    block : int
        Block number.
    frames : tuple of Frame
        The frames that the block really holds, by number (all of the block unless the run was cut short).
    stats : tuple of FrameStats
        One a frame, same order.
    worker : str
        Who wrote it.
    committed_ns : int
        Wall clock when the last product was durable.
    raw_bytes, stored_bytes : int
        Bytes received, and bytes written as products.
    products : tuple of str
        Paths of the products written.
    tables : mapping
        Rows of the run's tables that the block's frames make, by table and column.
    left_out : mapping
        Of every sparse product the chunks that its shard leaves out, numbered in C order from 0; whoever writes the
        record fills it in.
    device : str
        What it was reduced on: ``cpu`` or the name of a GPU; empty where nobody knows any more.
    """

    block: int
    frames: tuple[Frame, ...]
    stats: tuple[FrameStats, ...]
    worker: str
    committed_ns: int
    raw_bytes: int
    stored_bytes: int
    products: tuple[str, ...]
    tables: Mapping[str, Rows] = field(default_factory=dict)
    left_out: Mapping[str, Ranges] = field(default_factory=dict)
    device: str = ""
