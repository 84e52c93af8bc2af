"""A folder of TIFF files as planes: one plane a file, or one stack a file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...stream.errors import SourceError
from .axes import Layout, lay_out
from .pixels import size_changed
from .planes import Recording
from .tiff import TiffFilePlanes
from .unreadable import unreadable


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key under which ``img2`` comes before ``img10``; the name itself decides between ``img1`` and ``img01``."""
    # Splitting at a group of digits gives text, number, text, ...: parts of one kind meet at every place.
    parts = re.split(r"([0-9]+)", name.casefold())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


def tiff_files(folder: Path) -> list[Path]:
    """List the TIFF files of a folder in natural order, leaving out hidden ones.

    Raises
    ------
    SourceError
        The folder cannot be listed.
    """
    try:
        found = [
            path
            for path in folder.iterdir()
            if path.suffix.lower() in (".tif", ".tiff") and not path.name.startswith(".") and path.is_file()
        ]
    except OSError as error:
        raise unreadable(str(folder), error) from error
    return sorted(found, key=lambda path: natural_key(path.name))


class TiffFolderPlanes:
    """The TIFF files of a folder as one recording.

    Files of one page are one stack (z) unless ``axes`` says otherwise. Files of several pages are one time point each.
    All files are looked at when the folder is opened: a file of another size is found before the run starts, not in
    the middle of it. Files that belong to an OME-TIFF set are taken singly, in natural order; to follow the set's own
    order, replay one of its files instead.

    Parameters
    ----------
    folder : Path
        Where the files lie.
    axes : str or None
        What the planes are, files first; see ``SourceOptions.axes``.

    Raises
    ------
    SourceError
        There is no TIFF file, or one that does not fit the others.
    UsageError
        ``axes`` do not fit.
    """

    def __init__(self, folder: Path, axes: str | None = None) -> None:
        self._files = tiff_files(folder)
        if not self._files:
            raise SourceError(
                f"{folder} holds no TIFF files and is no Zarr array", "give a folder of .tif files, a file, or a Zarr"
            )
        self._at = 0
        self._open: TiffFilePlanes | None = TiffFilePlanes(self._files[0], alone=True)
        try:
            self._shape = self._open.plane_shape
            self._dims = self._open.dims
            self._per_file = _planes(self._open)
            pixel = self._open.metadata.pixel
            _check_alike(self._files, self._open)
            self._layout: Layout = lay_out(self._all_dims(), axes, str(folder))
        except BaseException:
            self.close()
            raise
        self._recording = Recording((*self._layout.tcz, *self._shape), self._layout.axes, pixel)

    @property
    def recording(self) -> Recording:
        """What the recording says about itself."""
        return self._recording

    def read(self, number: int, out: NDArray[np.uint16]) -> None:
        """Put plane ``number`` in t, c, z order into ``out``; see ``Planes.read``."""
        file, place = divmod(self._layout.position(number), self._per_file)
        if self._open is None or self._at != file:
            self.close()
            self._open = TiffFilePlanes(self._files[file], alone=True)
            self._at = file
            # The folder may have changed since it was looked at.
            _check_pair(self._files[file], self._open, self._shape, self._per_file)
        self._open.read(place, out)

    def close(self) -> None:
        """Close the file that is open; harmless when repeated."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _all_dims(self) -> list[tuple[str, int]]:
        files = ("T" if self._per_file > 1 else "I", len(self._files))
        return [files, *self._dims]


def _planes(file: TiffFilePlanes) -> int:
    return int(np.prod([size for _, size in file.dims], dtype=np.int64))


def _check_alike(files: list[Path], first: TiffFilePlanes) -> None:
    for path in files[1:]:
        other = TiffFilePlanes(path, alone=True)
        try:
            _check_pair(path, other, first.plane_shape, _planes(first))
        finally:
            other.close()


def _check_pair(path: Path, file: TiffFilePlanes, shape: tuple[int, int], planes: int) -> None:
    if file.plane_shape != shape:
        raise size_changed(str(path), file.plane_shape, shape)
    if _planes(file) != planes:
        raise SourceError(
            f"{path} has {_planes(file)} pages, the files before it have {planes}",
            "all files of a folder must hold the same number of planes",
        )
