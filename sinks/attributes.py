"""The attributes of every group of a store, as pure functions of the run and how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from ..stream.ledger import Status
from ..stream.model import Product
from .layout import array_path, group_metadata, levels
from .ngff import Window, image_attributes
from .runfile import StoredRun, plan_to_json

#: Version of the ``octostream`` attribute.
VERSION = 1
_KINDS = {"projections": "maximum"}


def root_attributes(
    stored_run: StoredRun, status: Status, stored: int, lost: int, windows: Mapping[int, Window]
) -> dict[str, Any]:
    """Give the attributes of the root group.

    Parameters
    ----------
    stored_run : StoredRun
        The run.
    status : str
        ``recording``, ``complete`` or ``incomplete``.
    stored, lost : int
        Frames accounted for.
    windows : mapping of int to (int, int)
        Range to show first, by channel.

    Returns
    -------
    dict
        ``ome`` (where there are levels) and ``octostream``.
    """
    run = stored_run.run
    pyramid = levels(stored_run.products)
    ome = {"ome": image_attributes(run.name, run.plan, pyramid, "mean", windows)} if pyramid else {}
    return {
        **ome,
        "octostream": {
            "version": VERSION,
            "run": run.id,
            "name": run.name,
            "investigation": run.investigation,
            "opened_ns": run.opened_ns,
            "instrument": run.instrument,
            "status": status,
            "frames_expected": run.plan.frames,
            "frames_stored": stored,
            "frames_lost": lost,
            "plan": plan_to_json(run.plan),
            "recipe": dict(run.recipe),
            "software": dict(stored_run.software),
        },
    }


def inner_groups(stored_run: StoredRun, windows: Mapping[int, Window]) -> dict[str, dict[str, Any]]:
    """Give the ``zarr.json`` of every group below the root, by path, parents after their children."""
    groups: dict[str, dict[str, Any]] = {}
    for product in stored_run.products:
        folders = [p for p in PurePosixPath(array_path(product)).parents if p.name]
        for folder in folders:
            groups.setdefault(str(folder), group_metadata({}))
        if folders and _is_image(product):
            run, image = stored_run.run, str(folders[0])
            kind = _KINDS.get(image.split("/")[0], "")
            ome = image_attributes(f"{run.name} {image}", run.plan, [product], kind, windows)
            groups[str(folders[0])] = group_metadata({"ome": ome})
    return groups


def _is_image(product: Product) -> bool:
    """Tell whether OME-NGFF can call a product an image: it wants two or three axes of space."""
    return sum(axis in "zyx" for axis in product.axes) >= 2
