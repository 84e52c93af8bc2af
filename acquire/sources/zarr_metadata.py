"""Axes, sampling and channels as OME-Zarr groups give them (OME-NGFF 0.1 to 0.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...stream.model import Pixel
from .units import micrometres

_MARKS = ("zarr.json", ".zarray", ".zgroup")


@dataclass(frozen=True, slots=True)
class Multiscale:
    """The first image of an OME-Zarr group.

    Attributes
    ----------
    path : str
        Where its full-resolution array lies in the group.
    axes : str
        One letter an axis, lower case, in the order of the array; empty where the metadata do not say.
    pixel : Pixel
        Sampling, where the metadata give it with a unit.
    channels : tuple of str
        Labels, or none.
    """

    path: str
    axes: str
    pixel: Pixel
    channels: tuple[str, ...]


def is_zarr(folder: Path) -> bool:
    """Whether a folder is a Zarr array or group."""
    return any((folder / mark).is_file() for mark in _MARKS)


def parse_multiscale(attributes: Mapping[str, Any]) -> Multiscale | None:
    """Read the attributes of a group; None where they describe no image."""
    ome = attributes.get("ome", attributes)
    match ome:
        case {"multiscales": [{"datasets": [{"path": str(path), **level}, *_], **image}, *_]}:
            pass
        case _:
            return None
    listed: Sequence[Any] = image.get("axes") or ()
    axes = [dict(axis) if isinstance(axis, Mapping) else {"name": axis} for axis in listed]
    names = [str(axis.get("name", "?")).lower() for axis in axes]
    scale = _scale(level, len(axes))
    whole = _scale(image, len(axes)) or [1.0] * len(axes)
    known: dict[str, float | None] = {}
    if scale is not None:
        for name, axis, size, factor in zip(names, axes, scale, whole, strict=True):
            known[name] = micrometres(size * factor, axis.get("unit"))
    return Multiscale(
        path,
        "".join(name if len(name) == 1 else "?" for name in names),
        Pixel(known.get("z"), known.get("y"), known.get("x")),
        _labels(ome.get("omero")),
    )


def _scale(entry: Mapping[str, Any], count: int) -> list[float] | None:
    """Give the scale of a level or of the whole image, or None."""
    for transformation in entry.get("coordinateTransformations") or ():
        match transformation:
            case {"type": "scale", "scale": [*scale]} if len(scale) == count:
                return [float(size) for size in scale]
            case _:
                continue
    return None


def _labels(omero: Any) -> tuple[str, ...]:
    match omero:
        case {"channels": [*channels]} if all(isinstance(c, Mapping) and c.get("label") for c in channels):
            return tuple(str(channel["label"]) for channel in channels)
        case _:
            return ()
