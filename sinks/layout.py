"""Where everything lies in a store, and how its arrays are cut: pure functions of plan and product."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

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
    return product.path if product.path.rsplit("/", 1)[-1].isdigit() else f"{product.path}/0"


def levels(products: Sequence[Product]) -> list[Product]:
    """Give the products that make the main image, fine to coarse."""
    return sorted((p for p in products if p.path.isdigit()), key=lambda p: int(p.path))


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
    return bool(product.fold) and plan.blocks.splits_stacks


def region(product: Product, block: Block) -> tuple[slice, ...]:
    """Give where a block's part lies in a product's array."""
    place = {a: slice(o, o + n) for a, o, n in zip("tcz", block.origin, block.extent, strict=True)}
    return tuple(place.get(a, slice(0, n)) for a, n in zip(product.axes, product.shape, strict=True))


def plane_region(plan: Plan, product: Product, number: int) -> tuple[int | slice, ...]:
    """Give where the part of one frame lies in a product's array; of a product without z, its whole stack's part."""
    index = dict(zip("tcz", plan.index(number), strict=True))
    return tuple(index[a] if a in index else slice(None) for a in product.axes)


def part_bytes(product: Product, block: Block) -> int:
    """Give the bytes of a block's part of a product, not compressed."""
    return math.prod(s.stop - s.start for s in region(product, block)) * np.dtype(product.dtype).itemsize


def shard_file(store: Path, plan: Plan, product: Product, block: Block) -> Path:
    """Give the file that holds a block's part of a product, or its stack's part where parts merge."""
    step = dict(zip("tcz", plan.blocks.step, strict=True))
    origin = dict(zip("tcz", block.origin, strict=True))
    parts = (str(origin[a] // step[a]) if a in step else "0" for a in product.axes)
    return store.joinpath(array_path(product), "c", *parts)


def cut(plan: Plan, product: Product) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Give the shapes of a product's shards and of the chunks inside.

    A shard is a whole block, so that it is written once and never again. From the last axis on, a chunk takes whole
    axes while they fit `CHUNK_BYTES`; of the first that does not fit it takes an equal part.

    Returns
    -------
    shard, chunk : tuple of int
        In the order of the product's axes; chunks divide shards, for which y and x may be rounded up.
    """
    step = dict(zip("tcz", plan.blocks.step, strict=True))
    shard = [step.get(a, n) for a, n in zip(product.axes, product.shape, strict=True)]
    chunk = [1] * len(shard)
    room = CHUNK_BYTES // np.dtype(product.dtype).itemsize
    for k in reversed(range(len(shard))):
        if shard[k] <= room:
            chunk[k] = shard[k]
            room //= shard[k]
            continue
        if product.axes[k] in step:
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
    item = np.dtype(product.dtype).itemsize
    inner = [_bytes(item), _blosc(item), _CRC32C]
    sharding = {
        "chunk_shape": list(chunk),
        "index_location": "end",
        "codecs": inner,
        "index_codecs": [_bytes(8), _CRC32C],
    }
    codecs = [{"name": "sharding_indexed", "configuration": sharding}]
    return _array(shape, product.dtype, shard, product.axes, codecs)


def table_metadata(length: int, dtype: str) -> dict[str, Any]:
    """Give the ``zarr.json`` of a one-dimensional array by frame number."""
    item = np.dtype(dtype).itemsize
    return _array([length], dtype, [min(max(1, length), TABLE_CHUNK)], ["frame"], [_bytes(item), _blosc(item), _CRC32C])


def group_metadata(attributes: dict[str, Any]) -> dict[str, Any]:
    """Give the ``zarr.json`` of a group."""
    return {"zarr_format": 3, "node_type": "group", "attributes": attributes}


_CRC32C: dict[str, Any] = {"name": "crc32c"}


def _bytes(item: int) -> dict[str, Any]:
    return {"name": "bytes", "configuration": {"endian": "little"}} if item > 1 else {"name": "bytes"}


def _blosc(item: int) -> dict[str, Any]:
    settings = {"cname": "lz4", "clevel": 1, "shuffle": "bitshuffle", "typesize": item, "blocksize": BLOSC_BYTES}
    return {"name": "blosc", "configuration": settings}


def _array(
    shape: Sequence[int], dtype: str, chunks: Sequence[int], names: Sequence[str], codecs: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0.0 if np.dtype(dtype).kind == "f" else 0,
        "codecs": codecs,
        "attributes": {},
        "dimension_names": list(names),
    }
