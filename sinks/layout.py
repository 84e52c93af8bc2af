"""Where everything lies in a store, and how its arrays are cut: pure functions of plan and product."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import product as grid
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..stream.errors import RecipeError
from ..stream.model import Block, Plan, Product

#: Readers of Zarr ignore it: commit records, ledger, the run itself.
DOT_FOLDER = ".octostream"
#: A chunk is what a viewer must fetch and decode to see anything: small enough to be quick, large enough to compress
#: well and to keep shard indices short. Half a 1024² plane also stays in a core's L2 cache while it is encoded.
CHUNK_BYTES = 2**20
#: Inside a chunk Blosc works on pieces of this size; its own choice is slower here and compresses no better.
BLOSC_BYTES = 2**17
#: One-dimensional tables by frame number: elements a chunk.
TABLE_CHUNK = 2**16


def array_path(product: Product) -> str:
    """Give a product's array path in the store: a level is an array itself, an image is a group with level ``0``."""
    itself = product.shows == "values" or product.path.rsplit("/", 1)[-1].isdigit()
    return product.path if itself else f"{product.path}/0"


def levels(products: Sequence[Product]) -> list[Product]:
    """Give the products that make the main image, fine to coarse."""
    return sorted((p for p in products if p.path.isdigit()), key=lambda p: int(p.path))


def of_stage(products: Iterable[Product], *stages: str) -> tuple[Product, ...]:
    """Give the products that are written at some stages: ``block``, ``series``, ``run``."""
    return tuple(p for p in products if p.stage in stages)


def placed(product: Product) -> str:
    """Give the axes along which a block's part of a product lies where the block lies.

    Along all others it takes the whole of the product; one of stage ``run`` has no parts.
    """
    return "" if product.stage == "run" else "".join(a for a in product.axes if a in "tcz" and a not in product.own)


def by_frame(product: Product) -> bool:
    """Tell whether every frame has a place of its own in a product."""
    return len(placed(product)) == 3


def check_place(plan: Plan, product: Product) -> None:
    """See that parts of different blocks never fall on the same place, or are merged there.

    Raises
    ------
    RecipeError
        They would: the product needs blocks of whole stacks, or of all channels, and the plan has no such blocks.
    """
    if product.stage == "run":
        return
    step, sizes = plan.blocks.step, plan.shape[:3]
    for axis, part, whole in zip("tcz", step, sizes, strict=True):
        if part < whole and axis not in placed(product) and not (axis == "z" and product.fold):
            what = f"{product.path} takes all of {axis} at once, and a block of this plan holds {part} of {whole}"
            raise RecipeError(what, "leave out the step that makes it, or plan smaller stacks")


def commits_folder(store: Path) -> Path:
    """Give the folder of the commit records."""
    return store / DOT_FOLDER / "commits"


def partial_folder(store: Path) -> Path:
    """Give the folder of parts that wait for the rest of their stack."""
    return store / DOT_FOLDER / "partial"


def partial_file(store: Path, product: Product, block: int) -> Path:
    """Give where a block's part of a product waits until its whole stack is committed."""
    return partial_folder(store) / product.path.replace("/", "-") / f"{block:08d}.npy"


def merges(plan: Plan, product: Product) -> bool:
    """Tell whether parts of several blocks fall on the same place and are merged when the stack is whole."""
    return bool(product.fold) and "z" not in product.axes and plan.blocks.splits_stacks


def part_dtype(plan: Plan, product: Product) -> np.dtype[Any]:
    """Give the element type of a block's part: sums, where means of stacks come together from several blocks."""
    return np.dtype("uint32" if merges(plan, product) and product.fold == "mean" else product.dtype)


def region(product: Product, block: Block) -> tuple[slice, ...]:
    """Give where a block's part lies in a product's array."""
    place = {a: slice(o, o + n) for a, o, n in zip("tcz", block.origin, block.extent, strict=True)}
    own = placed(product)
    return tuple(place[a] if a in own else slice(0, n) for a, n in zip(product.axes, product.shape, strict=True))


def plane_region(plan: Plan, product: Product, number: int) -> tuple[int | slice, ...]:
    """Give where the part of one frame lies in a product's array; of a product without z, its whole stack's part."""
    index = dict(zip("tcz", plan.index(number), strict=True))
    return tuple(index[a] if a in placed(product) else slice(None) for a in product.axes)


def part_bytes(plan: Plan, product: Product, block: Block) -> int:
    """Give the bytes of a block's part of a product, not compressed."""
    return math.prod(s.stop - s.start for s in region(product, block)) * part_dtype(plan, product).itemsize


def whole_bytes(product: Product) -> int:
    """Give the bytes of a whole product, not compressed."""
    return math.prod(product.shape) * np.dtype(product.dtype).itemsize


def shard_file(store: Path, plan: Plan, product: Product, block: Block) -> Path:
    """Give the file that holds a block's part of a product, or its stack's part where parts merge."""
    step = dict(zip("tcz", plan.blocks.step, strict=True))
    origin = dict(zip("tcz", block.origin, strict=True))
    parts = (str(origin[a] // step[a]) if a in placed(product) else "0" for a in product.axes)
    return store.joinpath(array_path(product), "c", *parts)


def run_shards(store: Path, plan: Plan, product: Product) -> Iterator[tuple[Path, tuple[slice, ...]]]:
    """Go through the files that hold a product of stage ``run``, and what of it each holds."""
    shard, _ = cut(plan, product)
    counts = (range(math.ceil(n / s)) for n, s in zip(product.shape, shard, strict=True))
    for at in grid(*counts):
        place = zip(at, shard, product.shape, strict=True)
        where = tuple(slice(k * s, min((k + 1) * s, n)) for k, s, n in place)
        yield store.joinpath(array_path(product), "c", *map(str, at)), where


def run_files(store: Path, plan: Plan, product: Product) -> Iterator[Path]:
    """Go through the files that hold a product of stage ``run``."""
    return (file for file, _ in run_shards(store, plan, product))


def cut(plan: Plan, product: Product) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Give the shapes of a product's shards and of the chunks inside.

    A shard is a whole block, so that it is written once and never again; of a product of stage ``run`` it is one time
    point and channel. From the last axis on, a chunk takes whole axes while they fit `CHUNK_BYTES`; of the first that
    does not fit it takes an equal part.

    Returns
    -------
    shard, chunk : tuple of int
        In the order of the product's axes; chunks divide shards, for which y and x may be rounded up.
    """
    blocks = dict(zip("tcz", plan.blocks.step, strict=True))
    step = {a: blocks[a] for a in placed(product)} or {"t": 1, "c": 1}
    shard = [step.get(a, n) for a, n in zip(product.axes, product.shape, strict=True)]
    chunk = [1] * len(shard)
    room = CHUNK_BYTES // np.dtype(product.dtype).itemsize
    for k in reversed(range(len(shard))):
        if shard[k] <= room:
            chunk[k] = shard[k]
            room //= shard[k]
            continue
        if product.axes[k] in step:  # what one block wrote must not reach into the next one's shard
            chunk[k] = max(n for n in range(1, max(1, room) + 1) if shard[k] % n == 0)
        else:
            parts = math.ceil(shard[k] / max(1, room))
            chunk[k] = math.ceil(shard[k] / parts)
            shard[k] = chunk[k] * parts
        break
    return tuple(shard), tuple(chunk)


def array_metadata(plan: Plan, product: Product, shape: Sequence[int]) -> dict[str, Any]:
    """Give the ``zarr.json`` of a product's array.

    Every chunk carries a checksum of its compressed bytes: Blosc alone decodes many flipped bits into wrong pixels
    without complaint.

    Parameters
    ----------
    plan, product : Plan, Product
        What is stored.
    shape : sequence of int
        Planned shape for writers, visible shape for readers; nothing else differs.
    """
    shard, chunk = cut(plan, product)
    sharding = {
        "chunk_shape": list(chunk),
        "index_location": "end",
        "codecs": _encoding(product.dtype),
        "index_codecs": INDEX_CODECS,
    }
    codecs = [{"name": "sharding_indexed", "configuration": sharding}]
    told = {**({"meaning": product.meaning} if product.meaning else {}), **product.attributes}
    return _array(shape, product.dtype, shard, product.axes, codecs, {"octostream": told} if told else {})


def shard_metadata(plan: Plan, product: Product) -> dict[str, Any]:
    """Give the metadata of one shard as an array by itself, whose chunks are encoded as those of the shard."""
    shard, chunk = cut(plan, product)
    return _array(shard, product.dtype, chunk, product.axes, _encoding(product.dtype), {})


def index_metadata(chunks: int) -> dict[str, Any]:
    """Give the metadata of a shard's index as an array by itself, (chunk, 2): offset and length in bytes."""
    return _array([chunks, 2], "uint64", [chunks, 2], ["chunk", "place"], INDEX_CODECS, {})


def table_metadata(
    length: int, dtype: str, dimension: str = "frame", chunk: int = 0, attributes: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Give the ``zarr.json`` of a one-dimensional array; without a chunk given, a short one is a single chunk."""
    chunks = [chunk or min(max(1, length), TABLE_CHUNK)]
    return _array([length], dtype, chunks, [dimension], _encoding(dtype), attributes or {})


def group_metadata(attributes: dict[str, Any]) -> dict[str, Any]:
    """Give the ``zarr.json`` of a group."""
    return {"zarr_format": 3, "node_type": "group", "attributes": attributes}


def _bytes(item: int) -> dict[str, Any]:
    return {"name": "bytes", "configuration": {"endian": "little"}} if item > 1 else {"name": "bytes"}


def _encoding(dtype: str) -> list[dict[str, Any]]:
    item = np.dtype(dtype).itemsize
    return [_bytes(item), _blosc(item), _CRC32C]


_CRC32C: dict[str, Any] = {"name": "crc32c"}
#: How the index of a shard is encoded: offset and length of every chunk.
INDEX_CODECS: Final = [_bytes(8), _CRC32C]
#: What an index says of a chunk that the shard does not have, as offset and as length.
ABSENT: Final = 2**64 - 1


def _blosc(item: int) -> dict[str, Any]:
    settings = {"cname": "lz4", "clevel": 1, "shuffle": "bitshuffle", "typesize": item, "blocksize": BLOSC_BYTES}
    return {"name": "blosc", "configuration": settings}


def _array(
    shape: Sequence[int],
    dtype: str,
    chunks: Sequence[int],
    names: Sequence[str],
    codecs: list[dict[str, Any]],
    attributes: dict[str, Any],
) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": {"f": "NaN", "b": False}.get(np.dtype(dtype).kind, 0),
        "codecs": codecs,
        "attributes": attributes,
        "dimension_names": list(names),
    }
