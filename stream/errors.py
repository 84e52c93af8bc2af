"""Errors named by what happened; every message says what was wrong and what to do."""

from __future__ import annotations


class OctostreamError(Exception):
    """Base of every error that a user may see as one line.

    Parameters
    ----------
    what : str
        What happened, in one clause.
    remedy : str
        What the reader can do about it.
    """

    exit_code: int = 1

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        """Give the whole message on one line."""
        return f"{self.what}: {self.remedy}" if self.remedy else self.what


class UsageError(OctostreamError):
    """The request itself is wrong: a name, a parameter, an option."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe names a step or parameter that does not exist or does not fit."""


class NameRefusedError(UsageError):
    """A name that would become a path is illegal or taken."""


class SourceError(OctostreamError):
    """A source cannot be opened, or its frames are not what the plan says."""


class WireError(OctostreamError):
    """A message is malformed; the text names what is wrong with it."""


class RefusedError(OctostreamError):
    """The service refused a request and said why."""


class MemoryRefusedError(OctostreamError):
    """Something needs more memory than a process may use."""


class UnreachableError(OctostreamError):
    """Nobody answered at an address within the time given."""


class StoreError(OctostreamError):
    """A store is missing, damaged or cannot be written."""


class NoSpaceError(StoreError):
    """The disk has less free space than is needed."""


class DeviceLostError(OctostreamError):
    """A GPU stopped answering, ran out of memory or refused a kernel; the block must be reduced again elsewhere."""


class NoDeviceError(UsageError):
    """A GPU was asked for and there is none that can be used."""
