"""Playing a recording as if it were acquired now."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...stream.errors import OctostreamError, SourceError
from ...stream.model import Plan
from ..source import SourceOptions, check_request
from .planes import CACHE_BYTES, PlaneCache, Planes
from .tiff import TiffPlanes
from .tiff_folder import TiffFolderPlanes
from .tiling import Tiling
from .unreadable import unreadable
from .zarr_metadata import is_zarr


class Replay:
    """A recording as a source: repeated along t, and over a larger sensor, where asked.

    Recordings of up to ``cache_bytes`` are read into memory when they are opened. A plane that cannot be read does not
    keep the others from being played: the frame that needs it says so.

    Parameters
    ----------
    planes : Planes
        The recording; closed with the source.
    options : SourceOptions
        ``axes`` has been applied by whoever opened the planes.
    name : str
        The recording, for people.
    cache_bytes : int
        Memory for planes, bytes.
    """

    def __init__(self, planes: Planes, options: SourceOptions, name: str, cache_bytes: int = CACHE_BYTES) -> None:
        recording = planes.recording
        sensor = options.tile or recording.plane_shape
        self._planes = planes
        self._depth = recording.shape[2]
        self._count = recording.planes
        self._tiling = Tiling(self._depth, recording.plane_shape, sensor) if options.tile else None
        self._plan = Plan(
            shape=(recording.shape[0] * options.loop, *recording.shape[1:3], *sensor),
            axes=_axes(recording.axes, options.loop),
            rate_hz=options.rate_hz,
            exposure_ms=recording.exposure_ms,
            pixel=recording.pixel,
            channels=recording.channels,
            source=_sentence(name, options),
        )
        self._cache = _cache(planes, cache_bytes, needed=options.tile is not None)

    @property
    def plan(self) -> Plan:
        """What the source will yield."""
        return self._plan

    def fill(self, number: int, out: NDArray[np.uint16]) -> None:
        """Put frame ``number`` into ``out``; see ``Source.fill``."""
        check_request(self._plan, number, out)
        stack, z = divmod(number % self._count, self._depth)
        first = stack * self._depth
        try:
            if self._cache is None:
                self._planes.read(first + z, out)
            elif self._tiling is None:
                np.copyto(out, self._cache.plane(first + z))
            else:
                cache = self._cache
                self._tiling.compose(z, lambda plane: cache.plane(first + plane), out)
        except SourceError as error:
            raise SourceError(f"frame {number} cannot be replayed, {error.what}", error.remedy) from error

    def close(self) -> None:
        """Close the recording and give its memory back; harmless when repeated."""
        self._cache = None
        self._planes.close()


def open_replay(spec: str, options: SourceOptions) -> Replay:
    """Open a recording by its path: a TIFF file, a folder of TIFF files, a Zarr array or OME-Zarr group.

    Raises
    ------
    SourceError
        It is missing, unreadable, or holds what frames cannot be.
    UsageError
        ``options.axes`` do not fit it.
    """
    path = Path(spec).expanduser()
    planes = _open_planes(path, options.axes)
    try:
        return Replay(planes, options, path.name or str(path))
    except OctostreamError:
        planes.close()
        raise


def _open_planes(path: Path, axes: str | None) -> Planes:
    try:
        path.stat()
        folder = path.is_dir()
        marked = folder and is_zarr(path)
    except OSError as error:
        raise unreadable(str(path), error) from error
    if marked:
        from .zarr_array import ZarrPlanes  # takes 0.3 s to import, and TIFF files do not need it

        return ZarrPlanes(path, axes)
    return TiffFolderPlanes(path, axes) if folder else TiffPlanes(path, axes)


def _cache(planes: Planes, limit_bytes: int, *, needed: bool) -> PlaneCache | None:
    """Read a small recording ahead; for a large one, keep planes only where frames are made of several."""
    recording = planes.recording
    fits = recording.planes * recording.plane_bytes <= limit_bytes
    if not fits and not needed:
        return None
    cache = PlaneCache(planes, limit_bytes)
    if fits:
        for number in range(recording.planes):
            try:
                cache.plane(number)
            except SourceError:
                break  # read again, and reported, by the frame that needs it
    return cache


def _axes(axes: str, loop: int) -> str:
    return axes if loop == 1 or "t" in axes else "t" + axes


def _sentence(name: str, options: SourceOptions) -> str:
    tiled = f", tiled to {options.tile[0]}x{options.tile[1]}" if options.tile else ""
    looped = f", played {options.loop} times" if options.loop > 1 else ""
    return name + tiled + looped
