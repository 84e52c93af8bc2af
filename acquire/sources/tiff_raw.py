"""Uncompressed TIFF planes, read without decoding."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

_NATIVE = "<" if sys.byteorder == "little" else ">"


class RawPlanes:
    """Planes that lie in the file as they are in memory, one after the other."""

    def __init__(self, offset: int, dtype: np.dtype[np.generic], shape: tuple[int, int]) -> None:
        self._offset = offset
        self._bytes = math.prod(shape) * dtype.itemsize
        self._swapped = dtype.itemsize > 1 and dtype.byteorder not in ("=", _NATIVE)
        self._narrow = np.empty(shape, np.uint8) if dtype.itemsize == 1 else None

    @classmethod
    def of(cls, series: tifffile.TiffPageSeries) -> RawPlanes | None:
        """Give access to a series' planes, or None where they must be decoded."""
        first = series.keyframe
        if series.is_multifile or series.dataoffset is None:
            return None
        dtype = np.dtype(series.dtype).newbyteorder(first.parent.byteorder)
        return cls(series.dataoffset, dtype, (series.shape[-2], series.shape[-1]))

    def read(self, file: tifffile.FileHandle, place: int, out: NDArray[np.uint16]) -> None:
        """Read a plane into ``out`` without another copy; uint8 goes through a buffer to be widened."""
        target = out if self._narrow is None else self._narrow
        file.seek(self._offset + place * self._bytes)
        if file.readinto(_bytes_of(target)) != self._bytes:
            raise EOFError("the file ends inside it")
        if self._narrow is not None:
            out[...] = self._narrow
        elif self._swapped:
            out.byteswap(inplace=True)


def _bytes_of(plane: NDArray[Any]) -> Any:
    """View a C-contiguous array as bytes; tifffile passes on any writable buffer, whatever its annotation says."""
    return plane.data.cast("B")
