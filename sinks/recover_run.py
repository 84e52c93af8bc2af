"""The description of a run, made again from the root group's attributes where it is damaged or gone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import xxhash
from numpy.typing import NDArray

from ..stream.errors import OctostreamError, StoreError, UsageError
from ..stream.model import Product, Run
from ..stream.tables import Table
from ..stream.tools import Reducer
from .checked import with_digest
from .durable import json_bytes, write_durably
from .quarantine import Quarantine
from .runfile import (
    LAYOUT_VERSION,
    DamagedRunError,
    StoredRun,
    load_maps,
    maps_folder,
    read_run,
    run_file,
    run_from_json,
    run_to_json,
)

#: Takes a run and its calibration maps; gives what reduces its frames, and all that it makes of them.
Reduce = Callable[[Run, Mapping[str, NDArray[Any]]], "Reduction"]


class Reduction(Protocol):
    """What a recipe makes of a run: the same whenever it is asked."""

    @property
    def products(self) -> tuple[Product, ...]:
        """All arrays that the run makes."""
        ...

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables that the run makes."""
        ...

    def reducer(self) -> Reducer:
        """Give buffers that reduce one block."""
        ...


def described(store: Path, reduce: Reduce) -> tuple[StoredRun, list[str]]:
    """Give what a store says of its run, and what had to be changed for it.

    Raises
    ------
    StoreError
        There is no octostream store, or nothing left that describes it; a newer octostream made it.
    """
    try:
        return read_run(store), []
    except StoreError as damage:
        if run_file(store).exists() and not isinstance(damage, DamagedRunError):
            raise
        stored_run = _from_attributes(store, reduce, damage)
    Quarantine(store).keep(run_file(store))
    write_durably(run_file(store), json_bytes(run_to_json(stored_run)))
    name = run_file(store).relative_to(store)
    return stored_run, [f"{name} was damaged or missing: made again from zarr.json"]


def _from_attributes(store: Path, reduce: Reduce, damage: StoreError) -> StoredRun:
    try:
        told = json.loads((store / "zarr.json").read_bytes())["attributes"]["octostream"]
        run = {
            "id": told["run"],
            **{key: told[key] for key in ("name", "investigation", "opened_ns")},
            "instrument": told.get("instrument", ""),
            "visit": told.get("visit", ""),
            "technique": told.get("technique", "free"),
            "keep_raw": (store / "raw" / "0").is_dir(),
        }
        content = {"layout_version": LAYOUT_VERSION, "run": run, "plan": told["plan"], "recipe": told["recipe"]}
        rest = {"products": [], "tables": [], "maps": {}, "software": told["software"]}
        bare = run_from_json(with_digest({**content, **rest}), store.absolute())
        reduction = reduce(bare.run, load_maps(store))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError):
        raise damage from None
    except OctostreamError as cause:
        raise StoreError(damage.what, cause.what) from cause
    maps = {f.stem: xxhash.xxh3_64_hexdigest(f.read_bytes()) for f in sorted(maps_folder(store).glob("*.npy"))}
    return replace(bare, products=tuple(reduction.products), tables=tuple(reduction.tables), maps=maps)
