"""The run as a file in its store, so that a worker or a restarted head needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..stream.errors import StoreError, UsageError
from ..stream.model import Pixel, Plan, Product, Run
from ..stream.tables import Column, Table
from .checked import check_digest, with_digest
from .layout import DOT_FOLDER

LAYOUT_VERSION = 2


class DamagedRunError(StoreError):
    """The description of a run is not what was written."""


@dataclass(frozen=True)
class StoredRun:
    """What a store says of its run.

    Attributes
    ----------
    run : Run
        With ``store`` where the store really lies now.
    products : tuple of Product
        All that the run makes.
    software : mapping
        Versions of the programs that make it.
    maps : mapping
        xxh3-64 of every calibration map's file, by name; 16 hexadecimal digits.
    tables : tuple of Table
        All that the run makes.
    """

    run: Run
    products: tuple[Product, ...]
    software: Mapping[str, str]
    maps: Mapping[str, str] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()


def run_file(store: Path) -> Path:
    """Give the path of the run's description in a store."""
    return store / DOT_FOLDER / "run.json"


def maps_folder(store: Path) -> Path:
    """Give the folder of the calibration maps in a store."""
    return store / DOT_FOLDER / "maps"


def run_to_json(stored: StoredRun) -> dict[str, Any]:
    """Give the description as JSON types."""
    run = stored.run
    content = {
        "layout_version": LAYOUT_VERSION,
        "run": {f.name: getattr(run, f.name) for f in fields(run) if f.name not in ("plan", "recipe", "store")},
        "plan": plan_to_json(run.plan),
        "recipe": dict(run.recipe),
        "products": [product_to_json(product) for product in stored.products],
        "tables": [asdict(table) for table in stored.tables],
        "software": dict(stored.software),
        "maps": dict(stored.maps),
    }
    return with_digest(content)


def product_to_json(product: Product) -> dict[str, Any]:
    """Give a product as JSON types."""
    plain = {f.name: getattr(product, f.name) for f in fields(product)}
    return {**plain, "shape": list(product.shape), "attributes": dict(product.attributes)}


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """Give a plan as JSON types."""
    plain = {f.name: getattr(plan, f.name) for f in fields(plan)}
    return {
        **plain,
        "shape": list(plan.shape),
        "pixel": asdict(plan.pixel),
        "channels": list(plan.channels),
        "metadata": dict(plan.metadata),
    }


def run_from_json(data: Mapping[str, Any], store: Path) -> StoredRun:
    """Read what `run_to_json` gave.

    Raises
    ------
    StoreError
        Another version of octostream wrote it.
    ValueError, KeyError, TypeError, AttributeError, UsageError
        It is something else.
    """
    if data["layout_version"] > LAYOUT_VERSION:
        raise StoreError(f"{store} has layout version {data['layout_version']}", "open it with a newer octostream")
    if data["layout_version"] < LAYOUT_VERSION:
        raise StoreError(f"{store} has layout version {data['layout_version']}", "open it with the octostream it names")
    check_digest(data, set())
    plan = data["plan"]
    shape = tuple(plan["shape"])
    read = Plan(
        **{**plan, "shape": shape, "pixel": Pixel(**plan["pixel"]), "channels": tuple(plan["channels"])},
    )
    run = Run(**data["run"], plan=read, recipe=data["recipe"], store=str(store))
    products = tuple(Product(**{**p, "shape": tuple(p["shape"])}) for p in data["products"])
    tables = tuple(Table(**{**t, "columns": tuple(Column(**c) for c in t["columns"])}) for t in data["tables"])
    return StoredRun(run, products, data["software"], data["maps"], tables)


def read_run(store: Path) -> StoredRun:
    """Read the description of a store's run.

    Raises
    ------
    StoreError
        There is no octostream store there, or its description is damaged.
    """
    file = run_file(store)
    try:
        return run_from_json(json.loads(file.read_bytes()), store.absolute())
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"{store} is not an octostream store", "give the path of a folder *.ome.zarr") from None
    except OSError as cause:
        raise StoreError(f"cannot read {file}: {cause.strerror}", "check permissions and disk") from cause
    except (ValueError, KeyError, TypeError, AttributeError, UsageError) as cause:
        raise DamagedRunError(f"{file} is damaged", "octostream recover makes it again from zarr.json") from cause


def load_run(store: Path) -> tuple[Run, tuple[Product, ...], dict[str, NDArray[Any]]]:
    """Give all that a worker needs: the run, its products and the calibration maps.

    Parameters
    ----------
    store : Path
        Of the run.

    Returns
    -------
    run : Run
    products : tuple of Product
    maps : dict of str to ndarray
        By the names that the recipe refers to.

    Raises
    ------
    StoreError
        There is no octostream store there, or it is damaged.
    """
    stored = read_run(store)
    return stored.run, stored.products, load_maps(store)


def load_maps(store: Path) -> dict[str, NDArray[Any]]:
    """Give the calibration maps of a store by name.

    Raises
    ------
    StoreError
        One is damaged.
    """
    maps: dict[str, NDArray[Any]] = {}
    for file in sorted(maps_folder(store).glob("*.npy")):
        try:
            maps[file.stem] = np.load(file, allow_pickle=False)
        except (OSError, ValueError) as cause:
            raise StoreError(f"the map {file} cannot be read", "restore it from a copy of the store") from cause
    return maps
