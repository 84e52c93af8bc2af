"""The service's own SQLite file: runs and what the catalogue is still to be told of them, changed together."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..stream.errors import NoSpaceError, StoreError

#: Executes a statement with its values, and gives the rows.
Execute = Callable[[str, tuple[Any, ...]], Sequence[tuple[Any, ...]]]

SCHEMA_VERSION = 4
#: How long a statement waits for another process to finish its own, seconds.
BUSY_S = 10.0

_SCHEMA = """
CREATE TABLE run (
    id TEXT PRIMARY KEY,
    investigation TEXT NOT NULL,
    visit TEXT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('recording', 'complete', 'incomplete')),
    opened_ns INTEGER NOT NULL,
    report TEXT NOT NULL,
    UNIQUE (investigation, visit, name)
) STRICT;
CREATE INDEX run_by_age ON run (opened_ns DESC, id DESC);
CREATE INDEX run_by_status ON run (status);
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('opened', 'grown', 'sealed', 'failed', 'removed')),
    facts TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'parked')),
    written_ns INTEGER NOT NULL,
    due_ns INTEGER NOT NULL DEFAULT 0,
    leased_ns INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    remedy TEXT NOT NULL DEFAULT '',
    UNIQUE (run, kind)
) STRICT;
CREATE INDEX outbox_by_due ON outbox (state, due_ns, seq);
CREATE TABLE registered (
    run TEXT PRIMARY KEY,
    facts TEXT NOT NULL,
    datasets TEXT NOT NULL,
    complete INTEGER NOT NULL,
    at_ns INTEGER NOT NULL,
    lag_s REAL
) STRICT;
CREATE TABLE investigation (
    name TEXT NOT NULL,
    visit TEXT NOT NULL,
    PRIMARY KEY (name, visit)
) STRICT, WITHOUT ROWID;
CREATE TABLE investigations_asked (asked_ns INTEGER NOT NULL) STRICT;
"""


class Database:
    """One SQLite file that the head writes while others read.

    One object may be used from several threads, and several processes may open the same file. A rollback journal is
    used because write-ahead logging needs shared memory that network disks do not have, and because SQLite 3.40, which
    Debian 12 ships, can lose commits in that mode with several connections. Every change is on disk when it
    returns: with a rollback journal that takes ``synchronous = EXTRA``, which also syncs the journal's removal. Without
    it a power cut may bring the journal back, and the last change is undone.

    Parameters
    ----------
    path : Path
        The file; made where it is missing.

    Raises
    ------
    StoreError
        It cannot be opened, is no registry, or another version of octostream made it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with self._said("open"):
            self._connection = sqlite3.connect(path, BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            with self._said("open"):
                self._prepare()
        except StoreError:
            self._connection.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def version(self) -> int:
        """Give a number that changes when another connection changes the file; costs next to nothing.

        Raises
        ------
        StoreError
            The disk fails.
        """
        return int(self.run("read", "PRAGMA data_version")[0][0])

    def run(self, doing: str, statement: str, values: tuple[Any, ...] = ()) -> Sequence[tuple[Any, ...]]:
        """Execute one statement by itself.

        Parameters
        ----------
        doing : str
            For the error: "read", "update".
        statement : str
        values : tuple

        Raises
        ------
        sqlite3.IntegrityError
            A rule of the tables is broken; nothing is changed.
        NoSpaceError, StoreError
            The disk fails; nothing is changed.
        """
        with self._lock, self._said(doing):
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def change(self, doing: str) -> Iterator[Execute]:
        """Change several things, all or none: gives what executes a statement; durable when the block ends.

        Raises
        ------
        sqlite3.IntegrityError, NoSpaceError, StoreError
            As `run`; an error of the block itself also leaves everything as it was.
        """
        with self._lock, self._said(doing):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield lambda statement, values: self._connection.execute(statement, values).fetchall()
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _prepare(self) -> None:
        connection = self._connection
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = EXTRA")
        if self._version() == SCHEMA_VERSION:
            return
        # Two processes may find the file empty at the same moment: one makes the tables, the other waits for it.
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = self._version()
            if version > SCHEMA_VERSION:
                raise StoreError(
                    f"the registry {self.path} has schema version {version}", "open it with a newer octostream"
                )
            if 0 < version < SCHEMA_VERSION:
                raise StoreError(
                    f"the registry {self.path} has schema version {version}, this octostream has {SCHEMA_VERSION}",
                    "move it away; `octostream recover STORE` enters each run in a new one",
                )
            if version < SCHEMA_VERSION:
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    @contextmanager
    def _said(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as cause:
            if getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise NoSpaceError(
                    f"cannot {doing} the registry {self.path}: no space left", "free some space"
                ) from cause
            raise StoreError(
                f"cannot {doing} the registry {self.path}: {cause}", "check the file and its disk"
            ) from cause


class Tables:
    """Some tables of the service's own file, over a connection of their own.

    One object may be used from several threads. Where the disk fails, every method raises StoreError.

    Parameters
    ----------
    path : Path
        As of `Database`, errors, too.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path)

    @property
    def path(self) -> Path:
        """The file."""
        return self._database.path

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def version(self) -> int:
        """Give what `Database.version` gives."""
        return self._database.version()
