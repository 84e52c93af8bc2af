"""Who owns a spool: one live process, known by a lock that ends with it."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path

from .spool_errors import SpoolError

NAME = "lock"

#: struct flock: type, whence, start, length, process. Locks of open files, unlike those of processes, end with the file
#: that took them and not with the first other one that is closed; unlike flock's they can be looked at.
_LOCK = struct.Struct("hhqqi0q")


class SpoolLock:
    """The right to use a spool, held until `close`.

    Parameters
    ----------
    directory : Path
        Of the spool.

    Raises
    ------
    SpoolError
        A live process has it.
    OSError
        It cannot be locked.
    """

    def __init__(self, directory: Path) -> None:
        self._handle = os.open(directory / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.fcntl(self._handle, fcntl.F_OFD_SETLK, _write_lock())
        except OSError as error:
            os.close(self._handle)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            what = f"the spool {directory.name} is in use by process {_pid(directory)}"
            raise SpoolError(what, "wait until that process has ended, or end it") from None
        with suppress(OSError):  # on a full disk the lock holds without the number, which is for people
            os.pwrite(self._handle, b"%-19d\n" % os.getpid(), 0)

    def close(self) -> None:
        """Give the spool free."""
        os.close(self._handle)


def owner(directory: Path) -> int | None:
    """Give the process that owns a spool, 0 where it is not known which, None where none does.

    Raises
    ------
    OSError
        As the system says.
    """
    try:
        handle = os.open(directory / NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        in_the_way = _LOCK.unpack(fcntl.fcntl(handle, fcntl.F_OFD_GETLK, _write_lock()))[0]
    finally:
        os.close(handle)
    return None if in_the_way == fcntl.F_UNLCK else _pid(directory)


def _write_lock() -> bytes:
    return _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


def _pid(directory: Path) -> int:
    try:
        return int((directory / NAME).read_bytes()[:20])
    except (OSError, ValueError):
        return 0
