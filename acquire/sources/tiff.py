"""One TIFF file as planes: plain multi-page, OME-TIFF, ImageJ hyperstack and others that tifffile knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...stream.errors import SourceError
from .axes import lay_out
from .pixels import check_pixels, size_changed
from .planes import Recording
from .tiff_checks import check_complete, check_pages, only_series
from .tiff_library import captured_messages, open_tiff
from .tiff_metadata import TiffMetadata, tiff_metadata
from .tiff_raw import RawPlanes
from .unreadable import unreadable


class TiffFilePlanes:
    """The planes of one file in the order in which it holds them.

    Uncompressed planes that follow each other are read straight from the file into the caller's array; all others are
    decoded page by page. Sizes are checked for every page when the file is opened.

    Parameters
    ----------
    path : Path
        The file.
    alone : bool
        Leave out the other files of an OME-TIFF set.

    Raises
    ------
    SourceError
        The file is missing, unreadable, cut short, or holds what frames cannot be.
    """

    def __init__(self, path: Path, *, alone: bool = False) -> None:
        self._path = path
        self._tif = open_tiff(path, alone=alone)
        try:
            with captured_messages() as messages:
                self._series = only_series(self._tif, path)
                self.metadata: TiffMetadata = tiff_metadata(self._tif)
                check_complete(self._series, path, messages)
                check_pixels(np.dtype(self._series.dtype), str(path))
                self._raw = RawPlanes.of(self._series)
                check_pages(self._series, path, each_is_a_page=self._raw is None)
        except Exception as error:
            self._tif.close()
            raise unreadable(str(path), error) from error

    @property
    def dims(self) -> list[tuple[str, int]]:
        """Letter and length of the axes in front of y and x."""
        return list(zip(self._series.axes[:-2], self._series.shape[:-2], strict=True))

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Size of a plane (y, x), pixels."""
        return self._series.shape[-2], self._series.shape[-1]

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Type of the pixels in the file, in the byte order of this machine."""
        return np.dtype(self._series.dtype).newbyteorder("=")

    def read(self, place: int, out: NDArray[np.uint16]) -> None:
        """Put plane ``place``, in file order, into ``out``, uint16 (y, x).

        Raises
        ------
        SourceError
            The page is missing, damaged or of another size.
        """
        try:
            with captured_messages():
                if self._raw is not None:
                    self._raw.read(self._tif.filehandle, place, out)
                else:
                    self._decode(place, out)
        except Exception as error:
            raise unreadable(f"page {place + 1} of {self._path}", error) from error

    def close(self) -> None:
        """Close the file; harmless when repeated."""
        self._tif.close()

    def _decode(self, place: int, out: NDArray[np.uint16]) -> None:
        page = self._series.pages[place]
        if page is None:
            raise SourceError(
                f"page {place + 1} of {self._path} is missing from its OME-TIFF set", "put all files of it together"
            )
        file = page.parent.filehandle
        apart = file.closed  # another file of an OME-TIFF set; sets may have more files than a process may open
        if apart:
            file.open()
        try:
            plane = page.aspage().asarray()
        finally:
            if apart:
                file.close()
        if plane.shape != self.plane_shape:
            raise size_changed(f"page {place + 1} of {self._path}", plane.shape, self.plane_shape)
        out[...] = plane


class TiffPlanes:
    """One TIFF file as a recording.

    Parameters
    ----------
    path : Path
        The file.
    axes : str or None
        What its planes are, in place of what it says; see ``SourceOptions.axes``.

    Raises
    ------
    SourceError
        See ``TiffFilePlanes``.
    UsageError
        ``axes`` do not fit.
    """

    def __init__(self, path: Path, axes: str | None = None) -> None:
        self._file = TiffFilePlanes(path)
        try:
            self._layout = lay_out(self._file.dims, axes, str(path))
        except BaseException:
            self._file.close()
            raise
        said = self._file.metadata
        channels = said.channels if len(said.channels) == self._layout.tcz[1] else ()
        shape = (*self._layout.tcz, *self._file.plane_shape)
        self._recording = Recording(shape, self._layout.axes, said.pixel, channels, said.exposure_ms)

    @property
    def recording(self) -> Recording:
        """What the recording says about itself."""
        return self._recording

    def read(self, number: int, out: NDArray[np.uint16]) -> None:
        """Put plane ``number`` in t, c, z order into ``out``; see ``Planes.read``."""
        self._file.read(self._layout.position(number), out)

    def close(self) -> None:
        """Close the file; harmless when repeated."""
        self._file.close()
