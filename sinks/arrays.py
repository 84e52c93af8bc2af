"""Arrays of a store through tensorstore, opened with given metadata."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorstore as ts
from numpy.typing import NDArray

from ..stream.model import Plan, Product
from .failure import said
from .layout import array_metadata, array_path


def context(threads: int) -> ts.Context:
    """Give the resources that some arrays share.

    Nothing is cached: what is written is written once, and what is read is read once.

    Parameters
    ----------
    threads : int
        How many may encode or decode at the same time. File operations mostly wait, so twice as many may be open.
    """
    return ts.Context(
        {
            "cache_pool": {"total_bytes_limit": 0},
            "data_copy_concurrency": {"limit": threads},
            "file_io_concurrency": {"limit": 2 * threads},
        }
    )


def open_planned(store: Path, plan: Plan, product: Product, shared: ts.Context) -> ts.TensorStore:
    """Open a product's array with its planned bounds, whatever shape is published.

    Reading what was never written fails instead of giving zeros, and zeros are stored like any other value: what is
    absent is always a loss. Of a sparse product chunks may be absent, so all that is reads as zeros; whoever needs to
    know asks `shards.gone_frames`.
    """
    metadata = array_metadata(plan, product, product.shape)
    return open_array(store / array_path(product), metadata, shared, sparse=product.sparse)


def open_array(path: Path, metadata: Mapping[str, Any], shared: ts.Context, *, sparse: bool = False) -> ts.TensorStore:
    """Open an array whose metadata are known, without reading anything; see `open_planned` for ``sparse``."""
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": f"{path}/"},
        "metadata": {k: v for k, v in metadata.items() if k != "attributes"},
        "store_data_equal_to_fill_value": not sparse,
        "fill_missing_data_reads": sparse,
    }
    with said(f"open {path}"):
        return ts.open(spec, context=shared, open=True, assume_metadata=True).result()


def open_published(path: Path, shared: ts.Context) -> ts.TensorStore:
    """Open an array as it is published now; shards that were never written read as zeros, as in any viewer."""
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}}
    with said(f"open {path}"):
        return ts.open(spec, context=shared, open=True).result()


def write_chunks(array: ts.TensorStore, first: int, column: NDArray[Any]) -> None:
    """Write whole chunks of a table's column, and wait until they are durable.

    tensorstore writes each under a temporary name, syncs it, renames it and syncs the folder.

    Parameters
    ----------
    array : TensorStore
        The column.
    first : int
        The row to begin at, the first of a chunk.
    column : ndarray, one-dimensional
        The values, for whole chunks or up to the end.

    Raises
    ------
    ValueError
        The first failure, with tensorstore's text.
    """
    array[first : first + len(column)].write(column, can_reference_source_data_indefinitely=True).commit.result()
