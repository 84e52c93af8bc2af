"""The folder of all spools of an instrument: what waits there, taken up again or thrown away."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..stream.errors import UsageError
from .spool import Spool, remove
from .spool_contents import WHERE, Contents, read_contents
from .spool_errors import SpoolError, told
from .spool_lock import NAME as LOCK
from .spool_lock import SpoolLock, owner
from .spool_opening import NAMES

#: Names another folder than the usual one.
FOLDER_VARIABLE = "OCTOSTREAM_SPOOL"


@dataclass(frozen=True)
class SpoolSummary:
    """What a spool says of itself, for people.

    Attributes
    ----------
    id : str
        Name of the spool.
    run, name, store : str
        What the tier called the run; ``name`` is what was asked for where the tier has not answered.
    to : str
        Address of the tier.
    frames, bytes : int
        Frames that wait, and bytes that their files take.
    first_ns, last_ns : int or None
        When the first and the last of them were taken, nanoseconds since 1970.
    damaged : int
        Frames that were lost here. Only what the headers tell: pixels are checked when they are read.
    finished : str or None
        Why capture ended; None where it goes on or was cut off.
    owner : int or None
        The process that has it, 0 where it is not known which; None where none has.
    problem : str
        Why nothing else is known; empty where all is well.
    """

    id: str
    run: str = ""
    name: str = ""
    store: str = ""
    to: str = ""
    frames: int = 0
    bytes: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    damaged: int = 0
    finished: str | None = None
    owner: int | None = None
    problem: str = ""

    @property
    def live(self) -> bool:
        """Whether a process has it."""
        return self.owner is not None


class SpoolFolder:
    """The spools under one folder.

    Parameters
    ----------
    path : Path
        Need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def spools(self) -> tuple[SpoolSummary, ...]:
        """Tell what lies here, oldest first, changing nothing; what cannot be read is listed with its problem.

        Raises
        ------
        SpoolError
            The folder cannot be read.
        """
        with told(f"read {self.path}"):
            found = sorted(p for p in self.path.iterdir() if _is_spool(p)) if self.path.exists() else []
        return tuple(_summary(directory) for directory in found)

    def open(self, spool_id: str) -> Spool:
        """Take up a spool.

        Raises
        ------
        UsageError
            There is none of this name.
        SpoolError
            A live process has it, or it cannot be read.
        """
        return Spool.open(self._directory(spool_id))

    def discard(self, spool_id: str) -> None:
        """Remove a spool with all that is in it, readable or not.

        Raises
        ------
        UsageError
            There is none of this name.
        SpoolError
            A live process has it, or something of it cannot be removed.
        """
        directory = self._directory(spool_id)
        with told(f"remove the spool {spool_id}"):
            lock = SpoolLock(directory)
            try:
                remove(directory)
            finally:
                lock.close()

    def _directory(self, spool_id: str) -> Path:
        directory = self.path / spool_id
        if Path(spool_id).name != spool_id or not _is_spool(directory):
            raise UsageError(f"there is no spool {spool_id!r} in {self.path}", "see `octostream spool list`")
        return directory


def spool_folder() -> Path:
    """Give the folder of this machine's spools: the one that OCTOSTREAM_SPOOL names, or the user's state folder."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(chosen) if chosen else Path(state) / "octostream" / "spool"


def _is_spool(directory: Path) -> bool:
    return any((directory / name).is_file() for name in (LOCK, *NAMES))


def _summary(directory: Path) -> SpoolSummary:
    try:
        with told(f"read the spool {directory.name}"):
            process = owner(directory)
            contents = read_contents(directory)
    except SpoolError as error:
        return SpoolSummary(directory.name, problem=str(error))
    facts, times = contents.facts, [p.frame.timestamp_ns for p in contents.places.values()]
    return SpoolSummary(
        id=directory.name,
        run=facts.run,
        name=facts.name or contents.begun.opening.name,
        store=facts.store,
        to=contents.begun.to,
        frames=len(contents.places),
        bytes=contents.nbytes,
        first_ns=min(times, default=None),
        last_ns=max(times, default=None),
        damaged=_damaged(contents, live=process is not None),
        finished=facts.finished,
        owner=process,
    )


def _damaged(contents: Contents, *, live: bool) -> int:
    """Count frames lost here; while a process writes, a file may be gone because its frames are at the tier."""
    found = () if live else contents.damaged
    return sum(k.count for k in (*contents.facts.losses, *found) if k.where == WHERE)
