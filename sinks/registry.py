"""The registry of runs: one SQLite file that the head writes while others read."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from ..stream.clock import wall_ns
from ..stream.errors import NameRefusedError, StoreError
from ..stream.report import RunReport, run_report
from .catalogue.intent import Intent
from .catalogue.outbox import write_end, write_intents, write_removal
from .database import Execute, Tables


class Registry(Tables):
    """Every run that this service ever opened, newest first.

    What the catalogue is to be told of a run is written with the change of the run, so that neither is there alone.
    """

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
            self._database.run("add a run to", "INSERT INTO run VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError as cause:
            where = f"{run.investigation!r}, visit {run.visit!r}" if run.visit else repr(run.investigation)
            raise NameRefusedError(
                f"name taken: the registry has a run {run.name!r} in {where}", "choose another run name"
            ) from cause

    def update(self, run: RunReport, intents: Sequence[Intent] = ()) -> None:
        """Replace what is known of a run; its names and opening time stay.

        Parameters
        ----------
        run : RunReport
        intents : sequence of Intent
            What the catalogue is to be told of it; written together with the run, or not at all.

        Raises
        ------
        StoreError
            The run is not in the registry, or the disk fails; nothing is changed then.
        """
        with self._database.change("update") as execute:
            self._update(execute, run)
            write_intents(execute, intents, wall_ns())

    def end(self, run: RunReport) -> None:
        """Replace what is known of a run that is over, by whoever knows no more of it than this.

        Where the catalogue was told of it, it is told how it ended, too.

        Raises
        ------
        StoreError
            As `update`.
        """
        with self._database.change("update") as execute:
            self._update(execute, run)
            write_end(execute, run, wall_ns())

    def remove(self, run_id: str) -> None:
        """Forget a run that never began, so that its name is free again; an unknown id changes nothing.

        Where the catalogue was told of it, it is told that the run is not there, too.

        Raises
        ------
        StoreError
            The disk fails; nothing is changed then.
        """
        with self._database.change("remove a run from") as execute:
            execute("DELETE FROM run WHERE id = ?", (run_id,))
            write_removal(execute, run_id, wall_ns())

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

    def all(self) -> Iterator[RunReport]:
        """Give all runs, newest first, read as they are asked for."""
        before: str | None = None
        while page := self.list(before=before):
            yield from page
            before = page[-1].id

    def open_runs(self) -> Sequence[RunReport]:
        """Give the runs that are recording, newest first."""
        return self._reports("SELECT report FROM run WHERE status = 'recording' ORDER BY opened_ns DESC, id DESC", ())

    def _update(self, execute: Execute, run: RunReport) -> None:
        changed = execute(
            "UPDATE run SET status = ?, report = ? WHERE id = ? RETURNING id", (run.status, _text(run), run.id)
        )
        if not changed:
            raise StoreError(f"run {run.id} is not in the registry {self.path}", "add it first")

    def _reports(self, statement: str, values: tuple[Any, ...]) -> Sequence[RunReport]:
        return [run_report(json.loads(text)) for (text,) in self._database.run("read", statement, values)]


def _text(run: RunReport) -> str:
    return json.dumps(asdict(run))
