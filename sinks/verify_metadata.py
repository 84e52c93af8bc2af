"""Checking the metadata of a store: what it shows is what the commit records say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..stream.errors import StoreError
from ..stream.ledger import Ledger
from .attributes import inner_groups, root_attributes
from .growth import Extent, visible_shape
from .layout import array_metadata, array_path
from .runfile import StoredRun


def check_arrays(store: Path, stored_run: StoredRun, extent: Extent, *, sealed: bool) -> Iterator[str]:
    """Compare every array's ``zarr.json`` with the plan and with the extent that the records give.

    A run that is not sealed may show less than it could.
    """
    for product in stored_run.products:
        name = f"{array_path(product)}/zarr.json"
        try:
            found = _read(store / name)
        except StoreError as cause:
            yield str(cause)
            continue
        expected = visible_shape(product, extent)
        shape = tuple(found.get("shape", ()))
        less = len(shape) == len(expected) and all(a <= b for a, b in zip(shape, expected, strict=True))
        if shape != expected and (sealed or not less):
            yield f"{name} shows shape {shape}, the commit records say {expected}"
        if found != array_metadata(stored_run.run.plan, product, shape):
            yield f"{name} is not what octostream wrote"


def check_groups(store: Path, stored_run: StoredRun, ledger: Ledger | None) -> Iterator[str]:
    """Compare the attributes of every group with the run and, once sealed, with the ledger."""
    counts = (len(ledger.stored), len(ledger.lost)) if ledger else (0, 0)
    expected: dict[str, Any] = {k: v["attributes"] for k, v in inner_groups(stored_run, {}).items()}
    expected[""] = root_attributes(stored_run, ledger.status if ledger else "recording", *counts, {})
    for path, attributes in expected.items():
        name = f"{path}/zarr.json" if path else "zarr.json"
        try:
            found = _read(store / name).get("attributes", {})
        except StoreError as cause:
            yield str(cause)
            continue
        if attributes.get("ome", {}).get("multiscales") != found.get("ome", {}).get("multiscales"):
            yield f"{name} does not describe the image that the plan says"
        ours, theirs = (dict(a.get("octostream", {})) for a in (attributes, found))
        if ledger is None:
            ours.pop("frames_stored", None)
            theirs.pop("frames_stored", None)
        for key in ours:
            if theirs.get(key) != ours[key]:
                yield f"{name} says {key} = {theirs.get(key)!r}, it is {ours[key]!r}"


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise StoreError(f"{file} is missing") from None
    except (OSError, ValueError) as cause:
        raise StoreError(f"{file} cannot be read ({cause})") from cause
    if not isinstance(content, dict):
        raise StoreError(f"{file} is not a JSON object")
    return content
