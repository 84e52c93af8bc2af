"""Logs: one line an event on standard error, key=value, with time and role."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import TextIO, cast

import structlog


class Forgiving:
    """A text stream that drops what it cannot write: a log that nobody reads any more must not end a recording.

    Parameters
    ----------
    stream : TextIO
        Where the lines go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or drop."""
        with suppress(OSError, ValueError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or drop."""
        with suppress(OSError, ValueError):
            self._stream.flush()


def configure_logs(role: str) -> None:
    """Set logging up for this process.

    Parameters
    ----------
    role : str
        Of the process: ``service``, ``head``, ``worker``, ``web``.
    """
    lines = cast("TextIO", Forgiving(sys.stderr))
    logging.basicConfig(stream=lines, level=logging.WARNING, format=f"%(asctime)s {role} %(message)s")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.add_log_level,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "role", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(lines),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)
