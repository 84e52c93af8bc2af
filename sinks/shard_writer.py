"""Shards written whole: tensorstore encodes their chunks, which are laid one after another into a new file."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import product as grid
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
from numpy.typing import DTypeLike, NDArray

from ..stream.model import Plan, Product
from .appended import GATHERED_BYTES, AppendedFile
from .durable import taking_place
from .layout import ABSENT, CHUNK_BYTES, cut, index_metadata, shard_metadata

#: Of a shard so many bytes are encoded at the same time, or a row of its chunks; while they are written, the next are.
SLAB_BYTES = 8 * 2**20
#: Chunks that are on their way from tensorstore to the file, several times each.
CHUNKS_BYTES = 4 * CHUNK_BYTES


def encoding_bytes(plan: Plan, product: Product, part: Sequence[int]) -> int:
    """Give the memory that writing a shard takes at most: pixels that do not compress at all.

    Parameters
    ----------
    plan, product : Plan, Product
        What is written.
    part : sequence of int
        Shape of the shard's content.
    """
    slab = max(math.prod(s.stop - s.start for s in where) for where in _slabs(*cut(plan, product), part, product.dtype))
    encoded = slab * np.dtype(product.dtype).itemsize
    return 2 * encoded + GATHERED_BYTES + CHUNKS_BYTES


class ShardWriter:
    """Writes the shards of one product, from any threads.

    A shard is its chunks one after another and then their index (Zarr v3, ``sharding_indexed``). The chunks are encoded
    in memory, some at a time, and written past the page cache while the next are encoded. So encoding takes little
    memory, however large the shard is.

    Parameters
    ----------
    plan, product : Plan, Product
        What is written.
    shared : tensorstore.Context
        Resources.
    """

    def __init__(self, plan: Plan, product: Product, shared: ts.Context) -> None:
        self._shard, self._chunk = cut(plan, product)
        self._grid = _grid(self._shard, self._chunk)
        self._metadata = shard_metadata(plan, product)
        self._sparse = product.sparse
        self._shared = shared

    def write(self, file: Path, part: NDArray[Any]) -> int:
        """Put a shard in place, durable at return but for the names of folders above its own.

        Chunks that the part does not reach are not there. Of a sparse product, those that show nothing are left out,
        too; a shard of which nothing is left is written all the same, so that a missing file is a loss.

        Parameters
        ----------
        file : Path
            Of the shard. What is there is replaced.
        part : ndarray
            What it holds from its first element on; left alone until this returns.

        Returns
        -------
        int
            Bytes of the file.

        Raises
        ------
        OSError
            As the system says; an older shard is still whole.
        """
        file.parent.mkdir(parents=True, exist_ok=True)
        index = np.full((*self._grid, 2), ABSENT, np.uint64)
        with (
            taking_place(file) as unfinished,
            closing(AppendedFile(unfinished)) as made,
            closing(self._encoded(part)) as chunks,
        ):
            for at, encoded in chunks:
                index[at] = made.nbytes, len(encoded)
                made.append(encoded)
            made.append(self._encoded_index(index.reshape(-1, 2)))
            made.sync()
            return made.nbytes

    def _encoded(self, part: NDArray[Any]) -> Generator[tuple[tuple[int, ...], bytes]]:
        """Give the chunks of a part that are not left out, encoded, by their place among the shard's chunks."""
        chunks = _in_memory(self._metadata, self._shared, sparse=self._sparse)  # this call's own
        slabs = _slabs(self._shard, self._chunk, part.shape, part.dtype)
        ahead = _encode(chunks, part, slabs[0])
        try:
            for slab, following in zip(slabs, [*slabs[1:], None], strict=True):
                ahead.result()
                if following:
                    ahead = _encode(chunks, part, following)
                for at in self._places(slab):
                    if encoded := _take(chunks, "/".join(map(str, ("c", *at)))):
                        yield at, encoded
        finally:
            ahead.exception()  # the part is the caller's again when this is over

    def _encoded_index(self, index: NDArray[np.uint64]) -> bytes:
        encoder = _in_memory(index_metadata(len(index)), self._shared, sparse=False)
        encoder.write(index).result()
        return _take(encoder, "c/0/0")

    def _places(self, slab: tuple[slice, ...]) -> Iterator[tuple[int, ...]]:
        return grid(*(range(s.start // n, -(-s.stop // n)) for s, n in zip(slab, self._chunk, strict=True)))


def _grid(shard: Sequence[int], chunk: Sequence[int]) -> tuple[int, ...]:
    return tuple(whole // part for whole, part in zip(shard, chunk, strict=True))


def _slabs(
    shard: Sequence[int], chunk: Sequence[int], part: Sequence[int], dtype: DTypeLike
) -> list[tuple[slice, ...]]:
    """Cut a part, along the first axis that has several chunks, into what is encoded at the same time."""
    axis = next((k for k, n in enumerate(_grid(shard, chunk)) if n > 1), 0)
    row = math.prod(part) // part[axis] * chunk[axis] * np.dtype(dtype).itemsize
    step = max(1, SLAB_BYTES // row) * chunk[axis]
    whole = [slice(0, n) for n in part]
    cuts = (slice(first, min(first + step, part[axis])) for first in range(0, part[axis], step))
    return [(*whole[:axis], place, *whole[axis + 1 :]) for place in cuts]


def _in_memory(metadata: Mapping[str, Any], shared: ts.Context, *, sparse: bool) -> ts.TensorStore:
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "memory", "memory_key_value_store": {}},  # its own, or arrays would share their chunks
        "metadata": metadata,
        "store_data_equal_to_fill_value": not sparse,
    }
    return ts.open(spec, context=shared, open=True, assume_metadata=True).result()


def _encode(chunks: ts.TensorStore, part: NDArray[Any], slab: tuple[slice, ...]) -> ts.Future[None]:
    return chunks[slab].write(part[slab], can_reference_source_data_indefinitely=True).commit


def _take(array: ts.TensorStore, key: str) -> bytes:
    """Take what is encoded under a key out of memory; nothing where it was left out."""
    assert array.kvstore is not None  # it was opened with one
    value = array.kvstore.read(key).result().value
    array.kvstore.write(key, None).result()
    return value
