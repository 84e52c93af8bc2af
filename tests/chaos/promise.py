"""The promise, checked on one store: what was claimed is there bit for bit, everything else is named."""

import json
from pathlib import Path

import numpy as np
import zarr
from octostream.acquire.resume import ENDED
from octostream.api.stored_runs import registry_file
from octostream.sinks.reading import read_ledger
from octostream.sinks.registry import Registry

#: Stacks that are compared at a time: frames of a camera do not all fit in memory.
STACKS = 20
#: Columns of the frames table that do not depend on when something happened.
TIMELESS = ("checksum", "min", "max", "mean", "saturated")


def frames_in(ranges):
    return {n for first, last in ranges.spans for n in range(first, last + 1)}


def check_account(store, knew, *, killed):
    """Compare the ledger with what the agent knew; gives the frames that are stored.

    Sets, never counts: an agent that lived lost exactly what it said, one that was killed has at least what it claimed.
    """
    ledger = read_ledger(store)
    stored, lost = frames_in(ledger.stored), frames_in(ledger.lost)
    assert not stored & lost
    assert stored | lost == set(range(ledger.expected))
    assert lost == {n for loss in ledger.losses for n in range(loss.first, loss.last + 1)}
    assert all(loss.where and loss.why for loss in ledger.losses)
    assert not knew["damaged"]
    claimed = knew["durable"] | knew["spooled"]
    assert not claimed - stored, f"acknowledged or spooled, but not stored: {sorted(claimed - stored)}"
    assert not knew["missed"] & stored
    if not killed:
        assert lost == knew["missed"], sorted(lost ^ knew["missed"])
    for loss in ledger.losses:
        told = {n for n in range(loss.first, loss.last + 1)} <= knew["missed"]
        assert told or loss.why == ENDED or "silent" in loss.why, loss
    assert ledger.status == ("incomplete" if lost else "complete")
    return stored


def check_data(store, calm, stored):
    """Compare everything stored with the store of the run that nothing happened to, bit for bit."""
    found, wanted = zarr.open_group(store, mode="r"), zarr.open_group(calm, mode="r")
    frames = np.array(sorted(stored), int)
    levels = ["raw/0", *(d["path"] for d in wanted.attrs["ome"]["multiscales"][0]["datasets"])]
    depth = wanted["raw/0"].shape[2]
    for path in levels:
        for first in range(0, wanted[path].shape[0], STACKS):
            right = wanted[path][first : first + STACKS]
            there = _as_long_as(right, found[path][first : first + STACKS])
            held = np.isin(np.arange(first * depth, (first + len(right)) * depth), frames)
            a, b = (values.reshape(-1, *values.shape[-2:]) for values in (there, right))
            np.testing.assert_array_equal(a[held], b[held], err_msg=path)
            assert not a[~held].any(), f"{path}: half there, though lost"
    whole = [t for t in range(wanted["raw/0"].shape[0]) if set(range(t * depth, (t + 1) * depth)) <= stored]
    for name in ("xy", "xz", "yz"):
        path = f"projections/{name}/0"
        np.testing.assert_array_equal(found[path][...][whole], wanted[path][...][whole], err_msg=path)
    table, right = found["frames"], wanted["frames"]
    np.testing.assert_array_equal(np.flatnonzero(table["state"][...] == 1), frames)
    for name in TIMELESS:
        np.testing.assert_array_equal(table[name][...][frames], right[name][...][frames], err_msg=name)


def _as_long_as(right, values):
    """Give stacks; those that a shorter array lacks are dark, as a reader fills them."""
    lacking = len(right) - len(values)
    return np.concatenate([values, np.zeros((lacking, *right.shape[1:]), right.dtype)]) if lacking else values


def check_registry(data, store):
    """See that the registry says what the store says."""
    registry = Registry(registry_file(data))
    try:
        (row,) = (r for r in registry.list() if Path(r.store) == store)
    finally:
        registry.close()
    ledger = read_ledger(store)
    assert (row.status, row.stored, row.lost) == (ledger.status, len(ledger.stored), len(ledger.lost))
    said = json.loads((store / "zarr.json").read_bytes())["attributes"]["octostream"]["status"]
    assert said == ledger.status


def leftovers(folder):
    """Give files that a killed process left and nobody removed."""
    return [f for f in folder.rglob("*") if f.is_file() and (f.name.endswith((".tmp", ".__lock", "-journal")))]
