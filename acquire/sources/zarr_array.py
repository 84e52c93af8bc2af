"""A Zarr array, or the full-resolution array of an OME-Zarr image, as planes; Zarr format 2 and 3."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ...stream.errors import SourceError
from ...stream.model import Pixel
from .axes import lay_out
from .pixels import check_pixels
from .planes import Recording
from .unreadable import unreadable
from .zarr_metadata import Multiscale, is_zarr, parse_multiscale

#: Planes of one chunk are decoded together and kept, up to this size.
SLAB_BYTES = 256 * 2**20
#: What the axes of an array without names are, by their number: one stack, as for plain TIFF, or all of them.
_UNNAMED = {2: "yx", 3: "zyx", 5: "tczyx"}


class ZarrPlanes:
    """The planes of a Zarr array.

    Parameters
    ----------
    folder : Path
        An array, or an OME-Zarr group, of which the first image is taken at full resolution.
    axes : str or None
        What the planes are, in place of what the metadata say; see ``SourceOptions.axes``.

    Raises
    ------
    SourceError
        It cannot be read, is a group without an image, or holds what frames cannot be.
    UsageError
        ``axes`` do not fit.
    """

    def __init__(self, folder: Path, axes: str | None = None) -> None:
        self._name = str(folder)
        array, image = _open(folder)
        check_pixels(array.dtype, self._name)
        names = _axes(array, image, self._name, axes)
        if not names.endswith("yx") or 0 in array.shape:
            raise SourceError(
                f"{self._name} is an array {array.shape} with axes {names!r}, which are no planes", "store y and x last"
            )
        leading = array.shape[:-2]
        layout = lay_out(list(zip(names[:-2], leading, strict=True)), axes, self._name)
        self._array = array
        self._layout = layout
        self._leading = leading
        self._depth = _slab_depth(array)
        self._held: tuple[int, int] | None = None
        self._slab: NDArray[Any] = np.empty(0)
        said = image.channels if image else ()
        self._recording = Recording(
            (*layout.tcz, array.shape[-2], array.shape[-1]),
            layout.axes,
            image.pixel if image else Pixel(),
            said if len(said) == layout.tcz[1] else (),
        )

    @property
    def recording(self) -> Recording:
        """What the recording says about itself."""
        return self._recording

    def read(self, number: int, out: NDArray[np.uint16]) -> None:
        """Put plane ``number`` in t, c, z order into ``out``; see ``Planes.read``."""
        place = self._layout.position(number)
        row, along = divmod(place, self._leading[-1] if self._leading else 1)
        first = along - along % self._depth
        if self._held != (row, first):
            self._load(row, first, place)
        out[...] = self._slab[along - first]

    def close(self) -> None:
        """Give the decoded planes back; harmless when repeated."""
        self._held = None
        self._slab = np.empty(0)

    def _load(self, row: int, first: int, place: int) -> None:
        """Decode the planes from ``first`` on that share a chunk; ``row`` counts all axes but the last leading one."""
        self._held = None
        outer = np.unravel_index(row, self._leading[:-1])
        region = (*(int(i) for i in outer), slice(first, first + self._depth)) if self._leading else ...
        try:
            slab = np.asarray(self._array[region])
        except Exception as error:
            raise unreadable(f"plane {place} of {self._name}", error) from error
        self._slab = slab.reshape(-1, *slab.shape[-2:])
        self._held = (row, first)


def _open(folder: Path) -> tuple[zarr.Array[Any], Multiscale | None]:
    try:
        node = zarr.open(str(folder), mode="r")
        if isinstance(node, zarr.Array):
            return node, None
        attributes: dict[str, Any] = node.attrs.asdict()
        if "bioformats2raw.layout" in {**attributes, **attributes.get("ome", {})}:
            folder = folder / "0"
            node = zarr.open_group(str(folder), mode="r")
            attributes = node.attrs.asdict()
        image = parse_multiscale(attributes)
        if image is not None:
            folder = folder / image.path
            return zarr.open_array(str(folder), mode="r"), image
    except Exception as error:
        raise unreadable(str(folder), error) from error
    inside = sorted(path.name for path in folder.iterdir() if path.is_dir() and is_zarr(path))
    raise SourceError(
        f"{folder} is a Zarr group that describes no image",
        f"give the path of an array in it: {', '.join(inside[:8])}" if inside else "it is empty; give another",
    )


def _axes(array: zarr.Array[Any], image: Multiscale | None, name: str, declared: str | None) -> str:
    """Give one letter an axis; ``?`` where nothing says what it is."""
    if image is not None and len(image.axes) == array.ndim:
        return image.axes
    named = getattr(array.metadata, "dimension_names", None)
    if named and all(named):
        return "".join(one.lower() if len(one) == 1 else "?" for one in named)
    if array.ndim in _UNNAMED:
        return _UNNAMED[array.ndim]
    if declared is not None and array.ndim > 2:
        return "?" * (array.ndim - 2) + "yx"
    raise SourceError(
        f"{name} is an array {array.shape} without axis names",
        'say what the axes before y and x are, for example --axes "tz"',
    )


def _slab_depth(array: zarr.Array[Any]) -> int:
    """Count the planes along the last axis before y and x that one chunk holds, within ``SLAB_BYTES``."""
    if array.ndim < 3:
        return 1
    plane = math.prod(array.shape[-2:]) * array.dtype.itemsize
    return max(1, min(array.chunks[-3], SLAB_BYTES // plane))
