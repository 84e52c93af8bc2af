"""The memory of this process: how much is resident, and giving back what is no longer used."""

from __future__ import annotations

import ctypes
import sys

import psutil


class Resident:
    """Keeps the resident memory of a process below its limit.

    The C library keeps what was freed, because it will probably be asked for again. That is quick, but after blocks of
    many sizes it may keep as much again as is in use. So before more is taken, what is free is given back to the system
    where there would not be room for both.

    Parameters
    ----------
    limit_bytes : int
        What the process may use.

    Attributes
    ----------
    growth_bytes : int
        By how much the memory in use may still grow: frames on their way, blocks that are encoded.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.growth_bytes = 0
        self._process = psutil.Process()
        self._library = ctypes.CDLL(None) if sys.platform == "linux" else None

    def now(self) -> int:
        """Give the resident bytes."""
        return self._process.memory_info().rss

    def make_room(self, more_bytes: int = 0) -> None:
        """See to it that so many bytes can be taken now; from any thread."""
        if self.now() + self.growth_bytes + more_bytes > self.limit_bytes:
            self.trim()

    def trim(self) -> None:
        """Give back to the system what is free; elsewhere than on Linux with the GNU C library this does nothing."""
        give = getattr(self._library, "malloc_trim", None)
        if give is not None:
            give(0)
