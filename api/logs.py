"""Logs: one line an event on standard error, key=value, with time and role."""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logs(role: str) -> None:
    """Set logging up for this process.

    Parameters
    ----------
    role : str
        Of the process: ``service``, ``head``, ``worker``, ``web``.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format=f"%(asctime)s {role} %(message)s")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.add_log_level,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "role", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)
