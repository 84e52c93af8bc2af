"""Opening TIFF files without a word on the terminal."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tifffile

from .unreadable import not_an_image, unreadable


class _Captured(logging.Filter):
    """Holds back what one thread logs, and keeps it.

    A filter rather than a handler: it leaves the application's own logging, and other threads, as they are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the messages of this thread; let those of others pass."""
        if record.thread != self._thread:
            return True
        if record.levelno >= logging.WARNING:
            self.messages.append(record.getMessage())
        return False


@contextmanager
def captured_messages() -> Iterator[list[str]]:
    """Collect the warnings that tifffile logs in this thread, instead of having them printed."""
    captured = _Captured()
    logger = logging.getLogger("tifffile")
    logger.addFilter(captured)
    try:
        yield captured.messages
    finally:
        logger.removeFilter(captured)


def open_tiff(path: Path, *, alone: bool = False) -> tifffile.TiffFile:
    """Open a TIFF file.

    Parameters
    ----------
    path : Path
        The file.
    alone : bool
        Read only this file, even where it is one of a set of OME-TIFF files that refer to each other.

    Raises
    ------
    SourceError
        It is missing, may not be read, or is no TIFF file.
    """
    try:
        with captured_messages():
            return tifffile.TiffFile(path, _multifile=not alone)
    except tifffile.TiffFileError as error:
        raise not_an_image(str(path)) from error
    except Exception as error:
        raise unreadable(str(path), error) from error
