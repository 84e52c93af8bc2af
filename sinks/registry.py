"""The registry of runs: one SQLite file that the head writes while others read."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..stream.errors import NameRefusedError, NoSpaceError, StoreError
from ..stream.report import RunReport, run_report

SCHEMA_VERSION = 2
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
"""


class Registry:
    """Every run that this service ever opened, newest first.

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

    def add(self, run: RunReport) -> None:
        """Enter a new run.

        Raises
        ------
        NameRefusedError
            The visit of the investigation has a run of this name, or the id is known.
        NoSpaceError, StoreError
            It is not entered.
        """
        row = (run.id, run.investigation, run.visit, run.name, run.status, run.opened_ns, _text(run))
        try:
            self._run("add a run to", "INSERT INTO run VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError as cause:
            where = f"{run.investigation!r}, visit {run.visit!r}" if run.visit else repr(run.investigation)
            raise NameRefusedError(
                f"name taken: the registry has a run {run.name!r} in {where}", "choose another run name"
            ) from cause

    def update(self, run: RunReport) -> None:
        """Replace what is known of a run; its names and opening time stay.

        Raises
        ------
        StoreError
            The run is not in the registry, or the disk fails; nothing is changed then.
        """
        changed = self._run(
            "update",
            "UPDATE run SET status = ?, report = ? WHERE id = ? RETURNING id",
            (run.status, _text(run), run.id),
        )
        if not changed:
            raise StoreError(f"run {run.id} is not in the registry {self.path}", "add it first")

    def remove(self, run_id: str) -> None:
        """Forget a run that never began, so that its name is free again; an unknown id changes nothing.

        Raises
        ------
        StoreError
            The disk fails; nothing is changed then.
        """
        self._run("remove a run from", "DELETE FROM run WHERE id = ?", (run_id,))

    def get(self, run_id: str) -> RunReport | None:
        """Give one run; None where it is not known."""
        found = self._reports("SELECT report FROM run WHERE id = ?", (run_id,))
        return found[0] if found else None

    def list(self, limit: int = 100, before: str | None = None) -> Sequence[RunReport]:
        """Give runs, newest first.

        Parameters
        ----------
        limit : int
            At most so many.
        before : str, optional
            Id of a run: only those opened before it, to go on where the last page ended. An unknown id gives none.
        """
        if before is None:
            return self._reports("SELECT report FROM run ORDER BY opened_ns DESC, id DESC LIMIT ?", (limit,))
        return self._reports(
            "SELECT report FROM run WHERE (opened_ns, id) < (SELECT opened_ns, id FROM run WHERE id = ?)"
            " ORDER BY opened_ns DESC, id DESC LIMIT ?",
            (before, limit),
        )

    def open_runs(self) -> Sequence[RunReport]:
        """Give the runs that are recording, newest first."""
        return self._reports("SELECT report FROM run WHERE status = 'recording' ORDER BY opened_ns DESC, id DESC", ())

    def _reports(self, statement: str, values: tuple[Any, ...]) -> Sequence[RunReport]:
        return [run_report(json.loads(text)) for (text,) in self._run("read", statement, values)]

    def _run(self, doing: str, statement: str, values: tuple[Any, ...]) -> Sequence[tuple[Any, ...]]:
        with self._lock, self._said(doing):
            return self._connection.execute(statement, values).fetchall()

    def _prepare(self) -> None:
        connection = self._connection
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = EXTRA")
        connection.execute("PRAGMA foreign_keys = ON")
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


def _text(run: RunReport) -> str:
    return json.dumps(asdict(run))
