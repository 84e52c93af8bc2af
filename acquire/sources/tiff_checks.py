"""What is refused in a TIFF file before a run starts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import tifffile

from ...stream.errors import SourceError
from .pixels import colour_refused, size_changed

_CUT_SHORT = "the file is cut short or damaged: copy it again from its origin"
_COLOURS: dict[int, str] = {tifffile.PHOTOMETRIC.RGB: "RGB", tifffile.PHOTOMETRIC.PALETTE: "palette"}


def only_series(tif: tifffile.TiffFile, path: Path) -> tifffile.TiffPageSeries:
    """Give the one grey-level image of a file.

    Raises
    ------
    SourceError
        There is none, or several, or pages that differ in size; or the pixels are colours.
    """
    if not len(tif.pages) or not tif.series:
        raise SourceError(f"{path} holds no images", _CUT_SHORT)
    first = tif.series[0]
    _check_colours(first, path)
    if len(tif.series) > 1:
        raise _several(tif.series, path)
    if not first.axes.endswith("YX"):
        raise SourceError(f"{path} holds its pixels in the order {first.axes}", "save it so that y and x come last")
    return first


def check_complete(series: tifffile.TiffPageSeries, path: Path, messages: list[str]) -> None:
    """Refuse a file whose list of pages breaks off, or whose planes reach beyond its end.

    Parameters
    ----------
    series : TiffPageSeries
        The image.
    path : Path
        The file, for messages.
    messages : list of str
        What tifffile warned about: it reads what it can of a broken list of pages and says so only in its log.
    """
    if any(text.startswith("<tifffile.TiffPages") or "corrupt" in text for text in messages):
        raise SourceError(f"{path} breaks off after {len(series.pages)} readable pages", _CUT_SHORT)
    if series.dataoffset is None or series.is_multifile:
        return
    plane_bytes = math.prod(series.shape[-2:]) * np.dtype(series.dtype).itemsize
    planes = math.prod(series.shape[:-2])
    whole = max(0, series.keyframe.parent.filehandle.size - series.dataoffset) // plane_bytes
    if whole < planes:
        raise SourceError(f"{path} breaks off after {whole} of {planes} pages", _CUT_SHORT)


def check_pages(series: tifffile.TiffPageSeries, path: Path, *, each_is_a_page: bool) -> None:
    """Compare every page with the size of the image, and the place of its data with the end of its file.

    Parameters
    ----------
    series : TiffPageSeries
        The image.
    path : Path
        The file, for messages.
    each_is_a_page : bool
        Whether planes must be read page by page, so that there must be as many.
    """
    if each_is_a_page and len(series.pages) != math.prod(series.shape[:-2]):
        raise SourceError(f"{path} holds several planes in one page", "save it with one plane a page, as Fiji does")
    expected = series.shape[-2:]
    for place, listed in enumerate(series.pages):
        # Pages of other files of a set are checked when they are read: those files are not kept open.
        if listed is None or listed.is_virtual or listed.parent.filehandle.closed or len(series.pages) == 1:
            continue
        page = listed.aspage()  # a listed frame only repeats the size of the first page
        if page.shape != expected:
            raise size_changed(f"page {place + 1} of {path}", page.shape, expected)
        end = max((o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)), default=0)
        if end > page.parent.filehandle.size:
            raise SourceError(f"{path} breaks off inside page {place + 1} of {len(series.pages)}", _CUT_SHORT)


def _several(series: list[tifffile.TiffPageSeries], path: Path) -> SourceError:
    if series[0].kind not in ("generic", "uniform"):
        return SourceError(
            f"{path} holds {len(series)} images ({series[0].kind}), and a run replays one",
            "save the one to replay as its own file",
        )
    firsts = sorted((page.index, page.shape) for one in series for page in one.pages[:1] if page is not None)
    (_, expected), (place, shape) = firsts[:2]
    if shape != expected:
        return size_changed(f"page {place + 1} of {path}", shape, expected)
    return SourceError(
        f"page {place + 1} of {path} has pixels of another kind than those before", "convert all pages alike"
    )


def _check_colours(series: tifffile.TiffPageSeries, path: Path) -> None:
    page = series.keyframe
    if page.photometric in _COLOURS:
        raise colour_refused(_COLOURS[page.photometric], str(path))
    if page.samplesperpixel > 1 or "S" in series.axes:
        raise colour_refused(f"{page.samplesperpixel}-sample", str(path))
