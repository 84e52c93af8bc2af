"""What can go wrong with a spool, each said in one line that tells what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..stream.errors import OctostreamError
from ..stream.ranges import Ranges

_REMEDIES = {
    errno.ENOSPC: "free some space on the disk",
    errno.EDQUOT: "free some space, or have the quota raised",
    errno.EROFS: "mount the disk writable, or choose another folder (OCTOSTREAM_SPOOL)",
    errno.EACCES: "give this user permission, or choose another folder (OCTOSTREAM_SPOOL)",
    errno.EPERM: "give this user permission, or choose another folder (OCTOSTREAM_SPOOL)",
    errno.ENOENT: "check that nobody moved or removed it",
    errno.EIO: "check the disk: the system log tells more",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


class SpoolError(OctostreamError):
    """A spool cannot be made, read or written.

    Parameters
    ----------
    what, remedy : str
        As for every error.
    frames : Ranges
        Frames that will not become durable here because of this: the one that was to be written, and earlier ones of
        the same file. Whoever still has them may append them again.
    """

    def __init__(self, what: str, remedy: str = "", frames: Ranges | None = None) -> None:
        super().__init__(what, remedy)
        self.frames = frames or Ranges()


class SpoolFullError(SpoolError):
    """A spool has reached its limit, or the reserve of its disk."""


class DamagedFrameError(SpoolError):
    """A frame in a spool is not what was written; ``frames`` names it."""


def failure(doing: str, cause: OSError, frames: Ranges | None = None) -> SpoolError:
    """Turn what the system says into the error that users see.

    Parameters
    ----------
    doing : str
        What was tried, as in "read the spool …".
    cause : OSError
        What the system said.
    frames : Ranges, optional
        Frames that will not become durable because of it.
    """
    said = os.strerror(cause.errno) if cause.errno else str(cause)
    return SpoolError(f"cannot {doing}: {said}", _REMEDIES.get(cause.errno or 0, "see the system's message"), frames)


@contextmanager
def told(doing: str) -> Iterator[None]:
    """Raise what the system raises inside as a SpoolError that says what was tried."""
    try:
        yield
    except OSError as cause:
        raise failure(doing, cause) from cause
