"""What killed writers leave behind, found when a store is verified and removed when a run is sealed."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path

from ..stream.model import Commit, Plan, Product
from .durable import UNFINISHED, remove_durably
from .frames_table import COLUMNS, FOLDER
from .layout import (
    DOT_FOLDER,
    TABLE_CHUNK,
    array_path,
    commits_folder,
    merges,
    of_stage,
    partial_file,
    partial_folder,
    run_files,
    shard_file,
)
from .runfile import StoredRun, maps_folder
from .tables import FOLDER as TABLES
from .tables import column_files, length_of

#: Under this name in the dot-folder lies what was found damaged; nothing in it belongs to the store any more.
QUARANTINE = "quarantine"
#: tensorstore writes a chunk of a table under its name with this ending before it renames it.
_LOCK = ".__lock"
_UNFINISHED = re.compile(rf"\..+\.[0-9]+-[0-9]+{re.escape(UNFINISHED)}|.+{_LOCK}")


def remove_uncommitted(store: Path, plan: Plan, products: Iterable[Product], kept: Container[int]) -> None:
    """Remove the shards of blocks that are not to be kept: their frames are lost, and lost is nowhere half there."""
    products = of_stage(products, "block", "series")
    for block in plan.blocks:
        if block.number in kept:
            continue
        stack = plan.blocks.of_stack(*block.origin[:2])
        for product in products:
            if merges(plan, product) and any(number in kept for number in stack):
                continue
            remove_durably(shard_file(store, plan, product, block))


def remove_unfinished(store: Path, products: Iterable[Product]) -> None:
    """Remove files that were never finished.

    Raises
    ------
    OSError
        As the system says; the same call may be repeated.
    """
    for file in unfinished_files(store, products):
        file.unlink(missing_ok=True)


def unfinished_files(store: Path, products: Iterable[Product]) -> Iterator[Path]:
    """Go through the files under temporary names, wherever this program writes in a store."""
    return (file for file in _own_files(store, products) if _UNFINISHED.fullmatch(file.name))


def strays(store: Path, stored_run: StoredRun, commits: Mapping[int, Commit]) -> Iterator[Path]:
    """Go through the finished files in the folders of a sealed store's arrays that no commit record accounts for.

    Files elsewhere may be anybody's: labels and tables of other programs are left alone.
    """
    plan = stored_run.run.plan
    folders = {store / array_path(product): product for product in stored_run.products}
    for folder, product in folders.items():
        own = run_files(store, plan, product) if product.stage == "run" else _parts(store, plan, product, commits)
        expected = {folder / "zarr.json", *own}
        yield from _others(folder, expected)
    chunks = range(math.ceil(plan.frames / TABLE_CHUNK))
    for folder in (store / FOLDER / name for name in COLUMNS):
        yield from _others(folder, {folder / "zarr.json", *(folder / "c" / str(k) for k in chunks)})
    for table in stored_run.tables:
        for folder in (store / TABLES / table.name / column.name for column in table.columns):
            length = length_of(folder)
            yield from () if length is None else _others(folder, column_files(folder, length))
    yield from _others(commits_folder(store), {commits_folder(store) / f"{n:08d}.json" for n in commits})


def merged_parts(
    store: Path, plan: Plan, products: tuple[Product, ...], commits: Container[int], *, goes_on: bool
) -> Iterator[Path]:
    """Go through the parts in a sealed store that wait for no stack: it is whole, or no run goes on with it."""
    waiting: set[Path] = set()
    for product in products:
        if goes_on and merges(plan, product):
            for block in plan.blocks:
                if not all(n in commits for n in plan.blocks.of_stack(*block.origin[:2])):
                    waiting.add(partial_file(store, product, block.number))
    return _others(partial_folder(store), waiting)


def _parts(store: Path, plan: Plan, product: Product, blocks: Iterable[int]) -> Iterator[Path]:
    return (shard_file(store, plan, product, plan.blocks[n]) for n in blocks)


def _others(folder: Path, expected: set[Path]) -> Iterator[Path]:
    return (f for f in _files(folder) if f not in expected and not _UNFINISHED.fullmatch(f.name))


def _own_files(store: Path, products: Iterable[Product]) -> Iterator[Path]:
    """Go through the files in the folders that this program writes to; the quarantine is no part of the store."""
    tops = {array_path(product).split("/")[0] for product in products} | {FOLDER, TABLES}
    for folder in (store, store / DOT_FOLDER):
        if folder.is_dir():
            yield from (file for file in sorted(folder.iterdir()) if not file.is_dir())
    yield from _files(commits_folder(store))
    yield from _files(maps_folder(store))
    yield from _files(partial_folder(store))
    for top in sorted(tops):
        yield from _files(store / top)


def _files(folder: Path) -> Iterator[Path]:
    """Go through all that is below a folder and is no folder, in order."""
    for place, folders, files in os.walk(folder, onerror=_unless_missing):
        folders.sort()
        yield from (Path(place, name) for name in sorted(files))


def _unless_missing(cause: OSError) -> None:
    if not isinstance(cause, (FileNotFoundError, NotADirectoryError)):
        raise cause
