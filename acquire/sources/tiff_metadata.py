"""Pixel size, channels and exposure time as TIFF files give them."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.etree import ElementTree

import tifffile

from ...stream.model import Pixel
from .units import micrometres, milliseconds


@dataclass(frozen=True, slots=True)
class TiffMetadata:
    """What a TIFF file says beside its axes; see ``Recording``."""

    pixel: Pixel = field(default_factory=Pixel)
    channels: tuple[str, ...] = ()
    exposure_ms: float | None = None


def tiff_metadata(tif: tifffile.TiffFile) -> TiffMetadata:
    """Read what OME-TIFF and ImageJ files say; other TIFF files say nothing reliable."""
    if tif.is_ome and tif.ome_metadata:
        return ome_metadata(tif.ome_metadata)
    if tif.is_imagej and tif.imagej_metadata is not None:
        return TiffMetadata(pixel=_imagej_pixel(tif))
    return TiffMetadata()


def ome_metadata(xml: str) -> TiffMetadata:
    """Read the first image of an OME-XML document; what is missing or malformed stays unknown."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return TiffMetadata()
    pixels = root.find("{*}Image/{*}Pixels")
    if pixels is None:
        return TiffMetadata()
    sizes = (micrometres(pixels.get(f"PhysicalSize{a}"), pixels.get(f"PhysicalSize{a}Unit", "µm")) for a in "ZYX")
    names = [channel.get("Name") for channel in pixels.findall("{*}Channel")]
    plane = pixels.find("{*}Plane")
    exposure_ms = None
    if plane is not None:
        exposure_ms = milliseconds(plane.get("ExposureTime"), plane.get("ExposureTimeUnit", "s"))
    return TiffMetadata(Pixel(*sizes), _labels(names), exposure_ms)


def _labels(names: list[str | None]) -> tuple[str, ...]:
    """Name the unnamed by number where some channels have a name; where none has, give none."""
    return tuple(name or f"channel {i}" for i, name in enumerate(names)) if any(names) else ()


def _imagej_pixel(tif: tifffile.TiffFile) -> Pixel:
    metadata = tif.imagej_metadata or {}
    tags = tif.pages.first.tags
    unit = metadata.get("unit")
    return Pixel(
        micrometres(metadata.get("spacing"), unit),
        micrometres(_period(tags, "YResolution"), metadata.get("yunit", unit)),
        micrometres(_period(tags, "XResolution"), unit),
    )


def _period(tags: tifffile.TiffTags, name: str) -> float | None:
    """Length of a pixel from a resolution tag, which is pixels per unit as a fraction."""
    tag = tags.get(name)
    if tag is None or tag.value[0] == 0:
        return None
    return tag.value[1] / tag.value[0]
