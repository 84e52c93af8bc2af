"""Making a store: the whole of it or nothing, under a temporary name and renamed."""

from __future__ import annotations

import errno
import io
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..stream.errors import NameRefusedError
from .attributes import inner_groups, root_attributes
from .derivation import Derivation
from .durable import UNFINISHED, json_bytes, make_folders, sync, write_durably
from .failure import said
from .growth import Extent, Growth, growth_axis
from .layout import array_metadata, array_path, check_place, commits_folder, group_metadata, merges, partial_file
from .names import check_name
from .runfile import StoredRun, maps_folder, run_file, run_to_json


def create_store(stored_run: StoredRun, maps: Mapping[str, NDArray[Any]]) -> None:
    """Make the store of a run, with nothing to see in it yet; durable at return.

    Raises
    ------
    NameRefusedError
        Something lies at ``run.store`` already.
    RecipeError
        A product has no place that belongs to one block alone.
    NoSpaceError, StoreError
        It cannot be made; nothing is left behind.
    """
    store = Path(stored_run.run.store)
    for product in stored_run.products:
        check_place(stored_run.run.plan, product)
    _refuse_taken(store)
    unfinished = _unfinished(store, stored_run.run.id)
    with said(f"create the store {store}"):
        make_folders(store.parent)
        try:
            shutil.rmtree(unfinished, ignore_errors=True)  # of an earlier try, when even that was refused
            _fill(unfinished, stored_run, maps)
            unfinished.rename(store)
            _sync_or_take_back(store, unfinished)
        except OSError as cause:
            if cause.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                _refuse_taken(store)
            raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def remove_empty_store(store: Path, run_id: str) -> None:
    """Remove a store that holds nothing, or what is left of one whose making or removal was cut short.

    Parameters
    ----------
    store : Path
        Of the run; its name is free at once.
    run_id : str
        Names what is left where the disk fails in the middle.

    Raises
    ------
    StoreError
        The disk fails; the same call may be repeated.
    """
    unfinished = _unfinished(store, run_id)
    with said(f"remove the store {store}"):
        if unfinished.exists():
            shutil.rmtree(unfinished)
        if store.exists():
            store.rename(unfinished)
            sync(store.parent)
            shutil.rmtree(unfinished)


def _unfinished(store: Path, run_id: str) -> Path:
    return store.with_name(f".{store.name}.{check_name('run id', run_id)}{UNFINISHED}")


def _refuse_taken(store: Path) -> None:
    if store.exists() or store.is_symlink():
        raise NameRefusedError(f"name taken: {store} exists", "choose another run name; nothing is overwritten")


def _sync_or_take_back(store: Path, unfinished: Path) -> None:
    try:
        sync(store.parent)
    except OSError:
        store.rename(unfinished)
        raise


def _fill(store: Path, stored_run: StoredRun, maps: Mapping[str, NDArray[Any]]) -> None:
    plan = stored_run.run.plan
    commits_folder(store).mkdir(parents=True)
    maps_folder(store).mkdir()
    digests: dict[str, str] = {}
    for key, values in maps.items():
        buffer = io.BytesIO()
        np.save(buffer, values, allow_pickle=False)
        write_durably(maps_folder(store) / f"{check_name('map', key)}.npy", buffer.getvalue())
        digests[key] = xxhash.xxh3_64_hexdigest(buffer.getvalue())
    nothing = Derivation(store, plan, stored_run.products).shapes(
        Growth(plan), Extent(growth_axis(plan), 0, False), over=False
    )
    for product in stored_run.products:
        if merges(plan, product):
            partial_file(store, product, 0).parent.mkdir(parents=True)
        metadata = array_metadata(plan, product, nothing[product.path])
        _put(store / array_path(product), metadata)
    for path, metadata in inner_groups(stored_run, {}).items():
        _put(store / path, metadata)
    write_durably(run_file(store), json_bytes(run_to_json(replace(stored_run, maps=digests))))
    _put(store, group_metadata(root_attributes(stored_run, "recording", 0, 0, {})))
    for folder in (store, *(f for f in store.rglob("*") if f.is_dir())):
        sync(folder)


def _put(folder: Path, metadata: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(folder / "zarr.json", json_bytes(metadata), sync_folder=False)
