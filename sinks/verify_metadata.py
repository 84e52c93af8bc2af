"""Checking the metadata of a store: what it shows is what the commit records say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import xxhash

from ..stream.errors import StoreError
from ..stream.ledger import Ledger
from .attributes import inner_groups, root_attributes
from .frames_table import COLUMNS, FOLDER
from .layout import array_metadata, array_path, group_metadata, table_metadata
from .ngff import Window
from .problem import Problem
from .runfile import StoredRun, maps_folder


def check_arrays(
    store: Path, stored_run: StoredRun, shapes: Mapping[str, tuple[int, ...]], *, sealed: bool
) -> Iterator[Problem]:
    """Compare every array's ``zarr.json`` with the plan, and with the shape that it may show.

    A run that is not sealed may show less than it could.
    """
    for product in stored_run.products:
        name = f"{array_path(product)}/zarr.json"
        try:
            found = _read(store, name)
        except StoreError as cause:
            yield Problem(str(cause), file=name)
            continue
        expected = shapes[product.path]
        shape = _shape(found)
        less = len(shape) == len(expected) and all(a <= b for a, b in zip(shape, expected, strict=True))
        if shape != expected and (sealed or not less):
            say = "commit records say" if product.stage == "block" else "parts on the disk make"
            yield Problem(f"{name} shows shape {shape}, the {say} {expected}")
        if found != array_metadata(stored_run.run.plan, product, shape):
            yield Problem(f"{name} is not what octostream wrote", file=name)


def check_groups(
    store: Path,
    stored_run: StoredRun,
    ledger: Ledger | None,
    windows: Mapping[int, Window] | None,
    not_derived: Sequence[str],
) -> Iterator[Problem]:
    """Compare every group with the run and, once sealed, with the ledger and with the range of the pixels.

    Parameters
    ----------
    store, stored_run : Path, StoredRun
        What to check.
    ledger : Ledger or None
        Of a sealed run.
    windows : mapping of int to (int, int), or None
        Range that viewers are to show first, by channel; None where it is not known or may still change.
    not_derived : sequence of str
        Derived products of a sealed run that are not there.
    """
    counts = (len(ledger.stored), len(ledger.lost)) if ledger else (0, 0)
    status = ledger.status if ledger else "recording"
    expected = inner_groups(stored_run, windows or {})
    expected[""] = group_metadata(root_attributes(stored_run, status, *counts, windows or {}, not_derived))
    if ledger is not None:
        expected[FOLDER] = group_metadata({})
    for path, group in expected.items():
        name = f"{path}/zarr.json" if path else "zarr.json"
        try:
            found = _with_unsaid(_read(store, name))
        except StoreError as cause:
            yield Problem(str(cause), file=name)
            continue
        told = list(_differences(name, group, found, ledger))
        if not told and _comparable(group, ledger, windows) != _comparable(found, ledger, windows):
            told = [f"{name} is not what octostream wrote"]
        foreign = _comparable(group, None, None) != _comparable(found, None, None)
        yield from (Problem(text, file=name if foreign else None) for text in told)


def check_table(store: Path, frames: int) -> Iterator[Problem]:
    """Compare the ``zarr.json`` of every column of the frames table."""
    for column, dtype in COLUMNS.items():
        name = f"{FOLDER}/{column}/zarr.json"
        try:
            if _read(store, name) != table_metadata(frames, dtype):
                yield Problem(f"{name} is not what octostream wrote", file=name)
        except StoreError as cause:
            yield Problem(str(cause), file=name)


def check_maps(store: Path, stored_run: StoredRun) -> Iterator[Problem]:
    """Compare the calibration maps that are there with what was written when the run was opened."""
    for key, expected in stored_run.maps.items():
        file = maps_folder(store) / f"{key}.npy"
        name = file.relative_to(store).as_posix()
        try:
            if xxhash.xxh3_64_hexdigest(file.read_bytes()) != expected:
                yield Problem(f"{name} is damaged: what the run made of its frames cannot be made again", file=name)
        except FileNotFoundError:
            continue  # no reader needs it; where it was damaged, `recover` has moved it away
        except OSError as cause:
            yield Problem(f"{name} cannot be read ({cause.strerror})", file=name)


def _with_unsaid(group: dict[str, Any]) -> dict[str, Any]:
    """Give a group with what an earlier octostream did not say in so many words."""
    told = _inner(group.get("attributes"), "octostream")
    told.setdefault("visit", "")
    told.setdefault("technique", "free")
    return group


def _differences(name: str, group: dict[str, Any], found: dict[str, Any], ledger: Ledger | None) -> Iterator[str]:
    """Say in detail what differs most often."""
    ours, theirs = group["attributes"], found.get("attributes")
    theirs = theirs if isinstance(theirs, dict) else {}
    if ours.get("ome", {}).get("multiscales") != _inner(theirs, "ome").get("multiscales"):
        yield f"{name} does not describe the image that the plan says"
    for key, value in ours.get("octostream", {}).items():
        there = _inner(theirs, "octostream").get(key)
        if there != value and not (ledger is None and key == "frames_stored"):
            yield f"{name} says {key} = {there!r}, it is {value!r}"


def _comparable(group: dict[str, Any], ledger: Ledger | None, windows: Mapping[int, Window] | None) -> dict[str, Any]:
    """Give a group without what grows with its run: the account where there is no ledger, and windows not known."""
    copy: dict[str, Any] = json.loads(json.dumps(group))
    attributes = copy.get("attributes")
    if ledger is None:
        for key in ("status", "frames_stored", "frames_lost"):
            _inner(attributes, "octostream").pop(key, None)
    if windows is None:
        channels = _inner(_inner(attributes, "ome"), "omero").get("channels")
        for channel in channels if isinstance(channels, list) else []:
            window = _inner(channel, "window")
            window.pop("start", None)
            window.pop("end", None)
    return copy


def _inner(value: Any, key: str) -> dict[str, Any]:
    inner = value.get(key) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}


def _shape(found: dict[str, Any]) -> tuple[int, ...]:
    shape = found.get("shape")
    return tuple(shape) if isinstance(shape, list) and all(isinstance(n, int) for n in shape) else ()


def _read(store: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads((store / name).read_bytes())
    except FileNotFoundError:
        raise StoreError(f"{name} is missing") from None
    except OSError as cause:
        raise StoreError(f"{name} cannot be read ({cause.strerror})") from cause
    except ValueError as cause:
        raise StoreError(f"{name} is damaged ({type(cause).__name__})") from cause
    if not isinstance(content, dict):
        raise StoreError(f"{name} is not a JSON object")
    return content
