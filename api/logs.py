"""Logs: one line an event on standard error, key=value, with time and role."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import TextIO, cast

import structlog


class Forgiving:
    """Standard error that drops what it cannot write: a log that nobody reads any more must not end a recording.

    It is looked up for each line, for a progress bar puts itself in its place to draw what is written above it.
    """

    def write(self, text: str) -> int:
        """Write, or drop."""
        with suppress(OSError, ValueError):
            return sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or drop."""
        with suppress(OSError, ValueError):
            sys.stderr.flush()


def configure_logs(role: str) -> None:
    """Set logging up for this process.

    Parameters
    ----------
    role : str
        Of the process: ``service``, ``head``, ``worker``, ``web``; ``command`` for one that is none of them.
    """
    lines = cast("TextIO", Forgiving())
    logging.basicConfig(stream=lines, level=logging.WARNING, format=f"%(asctime)s {role} %(message)s", force=True)
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
