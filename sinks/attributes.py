"""The attributes of every group of a store, as pure functions of the run and how far it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from ..stream.ledger import Status
from ..stream.model import Product
from .layout import array_path, group_metadata, levels
from .ngff import VERSION as NGFF_VERSION
from .ngff import Window, image_attributes
from .recompute import MODES, mode_of
from .runfile import StoredRun, plan_to_json

#: Version of the ``octostream`` attribute.
VERSION = 2


def root_attributes(
    stored_run: StoredRun,
    status: Status,
    stored: int,
    lost: int,
    windows: Mapping[int, Window],
    not_derived: Sequence[str] = (),
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
    not_derived : sequence of str
        Products of a sealed run that are not there, or not to the end.

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
            "visit": run.visit,
            "technique": run.technique,
            "opened_ns": run.opened_ns,
            "instrument": run.instrument,
            "status": status,
            "frames_expected": run.plan.frames,
            "frames_stored": stored,
            "frames_lost": lost,
            "not_derived": list(not_derived),
            "plan": plan_to_json(run.plan),
            "recipe": dict(run.recipe),
            "software": dict(stored_run.software),
        },
    }


def inner_groups(stored_run: StoredRun, windows: Mapping[int, Window]) -> dict[str, dict[str, Any]]:
    """Give the ``zarr.json`` of every group below the root, by path, parents after their children."""
    groups: dict[str, dict[str, Any]] = {}
    for product in stored_run.products:
        for folder in PurePosixPath(array_path(product)).parents:
            if folder.name:
                groups.setdefault(str(folder), group_metadata({}))
    for image, products in _images(stored_run.products).items():
        groups[image] = group_metadata({"ome": _ome(stored_run, image, products, windows)})
    labels = [image for image, products in _images(stored_run.products).items() if products[0].shows == "label"]
    for folder in dict.fromkeys(image.rpartition("/")[0] for image in labels):
        names = [image.rpartition("/")[2] for image in labels if image.rpartition("/")[0] == folder]
        groups[folder] = group_metadata({"ome": {"version": NGFF_VERSION, "labels": names}})
    return groups


def _images(products: Sequence[Product]) -> dict[str, list[Product]]:
    """Give the levels of every image below the root, fine to coarse, by its group's path."""
    images: dict[str, list[Product]] = {}
    for product in products:
        image, _, _ = array_path(product).rpartition("/")
        if image and product.shows != "values" and _is_image(product):
            images.setdefault(image, []).append(product)
    return {
        image: sorted(found, key=lambda p: int(array_path(p).rpartition("/")[2])) for image, found in images.items()
    }


def _ome(
    stored_run: StoredRun, image: str, products: Sequence[Product], windows: Mapping[int, Window]
) -> dict[str, Any]:
    run, first = stored_run.run, products[0]
    halved = "mean" if len(products) > 1 and first.shows == "image" else ""
    kind = MODES[mode_of(first)] if image.startswith("projections/") else halved
    shown = windows if _like_levels(first, levels(stored_run.products)) else None
    ome = image_attributes(f"{run.name} {image}", run.plan, products, kind, shown)
    if first.shows == "label":
        back = "../" * (image.count("/") + 1)
        ome["image-label"] = {"source": {"image": back}}
    return ome


def _like_levels(product: Product, pyramid: Sequence[Product]) -> bool:
    """Tell whether the range in which viewers show the levels is right for an image too: it has the same counts."""
    return product.shows == "image" and all(
        product.dtype == level.dtype and bool(product.attributes) == bool(level.attributes) for level in pyramid[:1]
    )


def _is_image(product: Product) -> bool:
    """Tell whether OME-NGFF can call a product an image: two or three axes of space, and none that it does not know."""
    return sum(axis in "zyx" for axis in product.axes) >= 2 and not set(product.axes) - set("tczyx")
