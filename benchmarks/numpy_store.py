"""A store written with zarr-python: the same arrays, shards, chunks and codecs as octostream's, one write a shard."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.core.array_spec import ArrayConfigParams

from ..sinks.layout import array_metadata, array_path, region, shard_file
from ..stream.model import Block, FrameStats, Plan, Product

XY = "projections/xy"
#: Zeros are values like any others, as in octostream's stores.
ALL_CHUNKS: ArrayConfigParams = {"write_empty_chunks": True}


class NumpyStore:
    """Arrays of one run.

    Parameters
    ----------
    folder : Path
        Where to make it.
    plan : Plan
        Cut into blocks.
    products : sequence of Product
        What is stored.
    """

    def __init__(self, folder: Path, plan: Plan, products: tuple[Product, ...]) -> None:
        self.folder = folder
        self.stored_bytes = 0
        self._plan = plan
        self._products = {p.path: p for p in products}
        self._arrays = {p.path: self._make(p) for p in products}
        self._stack: tuple[Block, NDArray[np.uint16]] | None = None

    def _make(self, product: Product) -> zarr.Array[Any]:
        path = self.folder / array_path(product)
        path.mkdir(parents=True)
        metadata = array_metadata(self._plan, product, product.shape)
        (path / "zarr.json").write_text(json.dumps(metadata))
        return zarr.open_array(path, mode="r+", config=ALL_CHUNKS)

    def write(self, block: Block, parts: Mapping[str, NDArray[np.uint16]]) -> None:
        """Write the parts of a block, durable at return.

        Parameters
        ----------
        block : Block
            In order: a stack that spans several blocks has its xy projection merged in memory and written at its end.
        parts : mapping
            By product path, over the block's extent.
        """
        for path, part in parts.items():
            if path != XY or not self._plan.blocks.splits_stacks:
                self._put(path, block, part)
        if self._plan.blocks.splits_stacks:
            self._merge(block, parts[XY])

    def _merge(self, block: Block, part: NDArray[np.uint16]) -> None:
        if block.origin[2] == 0 or self._stack is None:
            self._stack = (block, part)
        else:
            self._stack = (block, np.maximum(self._stack[1], part))
        if block.origin[2] + block.extent[2] == self._plan.shape[2]:
            self._put_stack()

    def _put_stack(self) -> None:
        if self._stack is not None:
            self._put(XY, *self._stack)
            self._stack = None

    def _put(self, path: str, block: Block, part: NDArray[np.uint16]) -> None:
        product = self._products[path]
        self._arrays[path][region(product, block)] = part
        file = shard_file(self.folder, self._plan, product, block)
        self.stored_bytes += file.stat().st_size
        _sync(file)
        _sync(file.parent)

    def finish(self, rows: list[tuple[FrameStats, int]]) -> None:
        """Write what remains: the projection of a stack that was cut short, statistics and checksum of every frame."""
        self._put_stack()
        columns: dict[str, NDArray[Any]] = {
            "min": np.array([s.min for s, _ in rows], np.uint16),
            "max": np.array([s.max for s, _ in rows], np.uint16),
            "mean": np.array([s.mean for s, _ in rows], np.float32),
            "saturated": np.array([s.saturated for s, _ in rows], np.uint32),
            "checksum": np.array([checksum for _, checksum in rows], np.uint64),
        }
        for name, column in columns.items():
            path = self.folder / "frames" / name
            zarr.create_array(path, data=column, chunks=column.shape, config=ALL_CHUNKS)
            _sync(path / "c" / "0")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
