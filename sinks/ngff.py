"""OME-NGFF 0.5 metadata as pure functions: axes, scales, translations, channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..stream.model import Plan, Product
from .layout import array_path

VERSION = "0.5"
#: Grey for one channel; for several, colours that stay apart for most colour-blind people.
_COLOURS = ("00FF00", "FF00FF", "00FFFF", "FFFF00", "FF8000", "0080FF")

Window = tuple[int, int]


def image_attributes(
    name: str, plan: Plan, products: Sequence[Product], kind: str, windows: Mapping[int, Window] | None
) -> dict[str, Any]:
    """Give the ``ome`` attribute of an image group.

    Parameters
    ----------
    name : str
        Of the image.
    plan : Plan
        Gives pixel size, rate and channels.
    products : sequence of Product
        The image's levels, fine to coarse, all with the same axes.
    kind : str
        How the data were down-sampled: ``"mean"``, ``"minimum"``, ``"maximum"``; empty where they were not.
    windows : mapping of int to (int, int), or None
        For each channel number the range to show first, in counts; None where nothing is known of the values.

    Returns
    -------
    dict
        JSON types.
    """
    multiscale: dict[str, Any] = {
        "name": name,
        "axes": axes(products[0].axes, plan, products[0].own),
        "datasets": [
            {"path": array_path(p).rpartition("/")[2], "coordinateTransformations": transformations(p, plan)}
            for p in products
        ],
    }
    if kind:
        multiscale |= {"type": kind, "metadata": {"method": f"octostream, {kind}"}}
    rendering: dict[str, Any] = {} if windows is None else {"omero": omero(plan, windows, products[0].dtype)}
    return {"version": VERSION, "multiscales": [multiscale], **rendering}


def axes(names: str, plan: Plan, own: str = "") -> list[dict[str, str]]:
    """Give the axes; a unit only where the sampling is known: that of ``own`` axes is not the plan's."""
    described = []
    for name in names:
        axis = {"name": name, "type": {"t": "time", "c": "channel"}.get(name, "space")}
        if name not in own and _sampling(name, plan) is not None:
            axis["unit"] = "second" if name == "t" else "micrometer"
        described.append(axis)
    return described


def transformations(product: Product, plan: Plan) -> list[dict[str, Any]]:
    """Give scale and translation of a product's array.

    The origin is the centre of the first raw pixel, so an array whose pixels average ``f`` raw pixels begins
    ``(f - 1) / 2`` raw pixels later: all levels and projections of a run lie on one another.
    """
    scale, translation = [], []
    for name in product.axes:
        sampling = None if name in product.own else _sampling(name, plan)
        step = 1.0 if sampling is None else sampling
        factor = product.factor_yx if name in "yx" else 1
        scale.append(step * factor)
        translation.append(step * (factor - 1) / 2)
    return [{"type": "scale", "scale": scale}, {"type": "translation", "translation": translation}]


def omero(plan: Plan, windows: Mapping[int, Window], dtype: str = "uint16") -> dict[str, Any]:
    """Give the rendering settings: label, colour and range of every channel."""
    count = plan.shape[1]
    most = int(np.iinfo(dtype).max)
    channels = []
    for c in range(count):
        start, end = windows.get(c, (0, most))
        channels.append(
            {
                "label": plan.channels[c] if plan.channels else f"channel {c}",
                "color": "FFFFFF" if count == 1 else _COLOURS[c % len(_COLOURS)],
                "active": True,
                "window": {"min": 0, "max": most, "start": start, "end": end},
            }
        )
    model = "greyscale" if count == 1 else "color"
    return {"channels": channels, "rdefs": {"defaultT": 0, "defaultZ": 0, "model": model}}


def _sampling(axis: str, plan: Plan) -> float | None:
    """Give the distance between neighbours along an axis: micrometres, or seconds between stacks for t."""
    if axis == "t":
        return None if plan.rate_hz is None else plan.shape[1] * plan.shape[2] / plan.rate_hz
    return {"z": plan.pixel.z_um, "y": plan.pixel.y_um, "x": plan.pixel.x_um}.get(axis)
