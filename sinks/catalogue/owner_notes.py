"""Which runs' data are still to be handed over, and what went wrong when they were, until it goes well."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ..durable import json_bytes, write_durably

#: Noted of a run from when its data are to be handed over until they have been.
NOT_RUN: Final = "owner_command has not been run yet"


class OwnerNotes:
    """What is to be said by run, in a small file beside the registry; several threads and processes may write it.

    Parameters
    ----------
    registry : Path
        The registry's file.
    """

    def __init__(self, registry: Path) -> None:
        self._file = registry.parent / "owners.json"

    def read(self) -> Mapping[str, str]:
        """Give what is noted, by run."""
        try:
            return {str(run): str(why) for run, why in json.loads(self._file.read_bytes()).items()}
        except (OSError, ValueError, AttributeError):  # none yet, or not what was written: it is only a hint
            return {}

    def not_run(self) -> Sequence[str]:
        """Give the runs whose command has not been run, oldest first."""
        return [run for run, why in self.read().items() if why == NOT_RUN]

    def note(self, run: str, why: str) -> None:
        """Note why a command failed, or that it is to be run; nothing for one that went well.

        Raises
        ------
        OSError
            The disk fails; what was noted before stays.
        """
        with self._alone():
            notes = dict(self.read())
            if notes.get(run, "") == why:
                return
            notes.pop(run, None)
            write_durably(self._file, json_bytes({**notes, **({run: why} if why else {})}))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        # Opened to be read, which a lock on a local disk is content with: the file may be root's, who ran
        # `catalogue owners` before the service ever noted anything.
        lock = os.open(self._file.with_suffix(".lock"), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
