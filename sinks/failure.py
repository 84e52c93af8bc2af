"""Failures of disks and of tensorstore, said in one line that tells what to do."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from ..stream.errors import NoSpaceError, StoreError

#: tensorstore raises ValueError for every failed operation and keeps the system's error number in the text only.
_CODE = re.compile(r"os_error_code='(\d+)'|OS error (\d+)")

_REMEDIES = {
    errno.EROFS: "mount the disk writable",
    errno.EACCES: "give this user write permission",
    errno.EPERM: "give this user write permission",
    errno.EIO: "check the disk: the system log tells more",
    errno.ENOENT: "check that nobody moved or removed the store",
    errno.ENOTDIR: "check that nobody replaced a folder of the store by a file",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}

_NOT_OF_THE_FILE = {
    errno.EACCES,
    errno.EPERM,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.ENOTCONN,
}


def failure(doing: str, cause: BaseException) -> StoreError:
    """Turn a failed operation into the error that users see.

    Parameters
    ----------
    doing : str
        What was tried, as in "write block 3 of …".
    cause : Exception
        What was raised: OSError, or tensorstore's ValueError.

    Returns
    -------
    StoreError
        A NoSpaceError where the disk or the quota is full.
    """
    code = error_number(cause)
    if code in (errno.ENOSPC, errno.EDQUOT):
        return NoSpaceError(f"cannot {doing}: no space left on the disk", "free some space; nothing written is lost")
    if code is None:
        first = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
        return StoreError(f"cannot {doing}: {first}", "run octostream verify on the store")
    return StoreError(f"cannot {doing}: {os.strerror(code)}", _REMEDIES.get(code, "see the system's message"))


def error_number(cause: BaseException) -> int | None:
    """Give the system's error number of a failed operation, if it has one."""
    if isinstance(cause, OSError):
        return cause.errno
    found = _CODE.search(str(cause))
    return int(found[1] or found[2]) if found else None


def refuse_blame(cause: BaseException, doing: str) -> None:
    """See that a failed read says something about the file, and not about this process or a disk that is away.

    Raises
    ------
    StoreError
        The system did not let the file be read: nobody may call it damaged for that.
    """
    if error_number(cause) in _NOT_OF_THE_FILE:
        raise failure(doing, cause) from cause


@contextmanager
def said(doing: str) -> Iterator[None]:
    """Raise whatever the disk or tensorstore raises inside as a StoreError that says what was tried."""
    try:
        yield
    except (OSError, ValueError) as cause:
        raise failure(doing, cause) from cause
