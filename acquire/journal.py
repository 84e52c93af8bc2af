"""Writing down what a spool knows besides its frames: the run, losses, what is durable, the end.

A file that once failed is never written again: all that is known is written to a new one.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..stream.model import Loss
from ..stream.ranges import Ranges
from .durable import create, sync_folder
from .journal_facts import Facts, journals_of, line_of, lost_fact
from .spool_errors import failure

#: After so many lines the facts, which are far fewer, are written anew.
LINES = 10_000


class Journal:
    """Writes the journal of a spool; its methods may be called by any thread.

    Parameters
    ----------
    directory : Path
        Of the spool.
    facts : Facts
        What is known already; written with the first `sync`.
    """

    def __init__(self, directory: Path, facts: Facts) -> None:
        self._directory = directory
        self._facts = facts
        self._known = threading.Lock()
        self._syncing = threading.Lock()
        self._handle: int | None = None
        self._stale = False
        self._lines = 0
        self._old = journals_of(directory)
        self._number = max((int(p.name.removeprefix("journal-")) for p in self._old), default=0)

    @property
    def losses(self) -> tuple[Loss, ...]:
        """All losses known."""
        with self._known:
            return tuple(self._facts.losses)

    @property
    def run(self) -> tuple[str, str, str]:
        """Run id, name and store; empty where the tier has not said them."""
        with self._known:
            return self._facts.run, self._facts.name, self._facts.store

    @property
    def finished(self) -> str | None:
        """Why capture ended; None where it has not."""
        with self._known:
            return self._facts.finished

    def note_run(self, run: str, name: str, store: str) -> None:
        """Write down what the tier called the run."""
        self._add({"run": run, "name": name, "store": store})

    def finish(self, why: str) -> None:
        """Write down why capture ended."""
        self._add({"finished": why})

    def lose(self, losses: Iterable[Loss]) -> None:
        """Write down losses."""
        for loss in losses:
            self._add(lost_fact(loss))

    def keep(self, frames: Ranges) -> None:
        """Write down that frames are durable here."""
        self._add({"kept": frames.spans})

    def forget(self, frames: Ranges) -> None:
        """Write down that frames are durable at the tier."""
        self._add({"forgotten": frames.spans})

    def sync(self) -> None:
        """Make all that was written down durable.

        Raises
        ------
        SpoolError
            It is not; the next call writes everything to a new file.
        """
        with self._syncing:
            try:
                if self._handle is None or self._stale or self._lines > LINES:
                    self._begin_anew()
                else:
                    os.fdatasync(self._handle)
            except OSError as error:
                self._stale = True
                raise failure(f"write the journal of the spool {self._directory.name}", error) from error

    def close(self) -> None:
        """Close the file; what was not synced may be lost."""
        with self._syncing, self._known:
            self._close_file()

    def _add(self, fact: dict[str, Any]) -> None:
        """Take a fact and write its line; a line that cannot be written is written anew with all others by `sync`."""
        with self._known:
            self._facts.take(fact)
            if self._handle is None or self._stale:
                return
            self._lines += 1
            try:
                _append(self._handle, line_of(fact))
            except OSError:
                self._stale = True

    def _begin_anew(self) -> None:
        self._number += 1
        path = self._directory / f"journal-{self._number:08d}"
        handle = create(path, os.O_APPEND)
        with self._known:  # facts that come from now on go to the new file; those that are known follow
            self._close_file()
            self._handle, self._stale, self._lines = handle, False, 0
            self._facts.compact()
            lines = self._facts.lines()
        superseded, self._old = self._old, [*self._old, path]
        _append(handle, b"".join(lines))
        os.fdatasync(handle)
        sync_folder(self._directory)
        self._old = [path]
        for old in superseded:
            with suppress(OSError):  # what it says is said in the new file too
                old.unlink()

    def _close_file(self) -> None:
        if self._handle is not None:
            with suppress(OSError):  # nothing depends on it: what must be durable was synced
                os.close(self._handle)
            self._handle = None


def _append(handle: int, data: bytes) -> None:
    """Write lines with one call, so that those of two threads never mix; what is cut off costs its own lines only."""
    if os.write(handle, data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
