"""How the catalogue stands, read for page and metrics beside those who write: few statements, however many the runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..database import Tables
from .outbox import ENTRY_COLUMNS, Entry, Registered, entry_of
from .standing import Standing, standing

#: Rows of the registered runs that are looked through for new ones, newest first.
_DEPTH = 1000
#: One statement, so that a run is never seen between queue and registration. Entries come in their order, last columns
#: of the registered runs are empty.
_STANDINGS = f"""WITH asked (run) AS (SELECT value FROM json_each(?))
SELECT run, {ENTRY_COLUMNS} FROM outbox WHERE run IN asked
UNION ALL
SELECT run, NULL, datasets, complete, at_ns, lag_s, NULL, NULL, NULL, NULL FROM registered WHERE run IN asked
ORDER BY 2"""
_PENDING = """WITH held (run) AS (SELECT run FROM outbox WHERE state = 'parked'),
newest (at, at_ns) AS (SELECT rowid, at_ns FROM registered ORDER BY rowid DESC LIMIT 1)
SELECT count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state = 'parked'), min(written_ns),
(SELECT count(DISTINCT run) FROM held), min(written_ns) FILTER (WHERE state = 'parked'),
min(written_ns) FILTER (WHERE run NOT IN held),
coalesce((SELECT reason FROM outbox WHERE run NOT IN held ORDER BY written_ns, seq LIMIT 1), ''),
coalesce(max(seq), 0), coalesce(sum(attempts), 0), coalesce(max(due_ns), 0),
coalesce((SELECT at FROM newest), 0), coalesce((SELECT at_ns FROM newest), 0) FROM outbox"""


@dataclass(frozen=True)
class Pending:
    """What waits for the catalogue.

    Attributes
    ----------
    queued, parked : int
        Entries: to be tried, and for a person.
    oldest_ns : int or None
        Wall clock since when the oldest of them waits; None where none does.
    parked_runs : int
        Runs of which the catalogue learns no more before a person has seen to them.
    parked_ns : int or None
        Wall clock since when the oldest parked entry waits.
    waiting_ns : int or None
        The same of the oldest entry of all other runs.
    why : str
        Why that one was not taken at the last try; empty where it was not tried.
    newest, tries, due_ns : int
        Last entry, tries of all entries, latest time of a next try: they change with all that happens to entries.
    told : (int, int)
        The same of what the catalogue took: its place, and the wall clock of the last success.
    """

    queued: int = 0
    parked: int = 0
    oldest_ns: int | None = None
    parked_runs: int = 0
    parked_ns: int | None = None
    waiting_ns: int | None = None
    why: str = ""
    newest: int = 0
    tries: int = 0
    due_ns: int = 0
    told: tuple[int, int] = (0, 0)


class CatalogueReader(Tables):
    """Reads queue and registrations in the registry's file."""

    def standings(self, investigations: Mapping[str, str]) -> dict[str, Standing]:
        """Tell how runs stand.

        Parameters
        ----------
        investigations : mapping
            Of each run.
        """
        entries: dict[str, list[Entry]] = {}
        registered: dict[str, Registered] = {}
        for run, *row in self._database.run("read", _STANDINGS, (json.dumps([*investigations]),)):
            if row[0] is None:
                registered[run] = _registered(row)
            else:
                entries.setdefault(run, []).append(entry_of(tuple(row)))
        return {
            run: standing(investigation, entries.get(run, ()), registered.get(run))
            for run, investigation in investigations.items()
        }

    def pending(self) -> Pending:
        """Tell what waits; takes as long as the queue is."""
        *counts, place, at_ns = self._database.run("read", _PENDING)[0]
        return Pending(*counts, told=(place, at_ns))

    def registered(self) -> int:
        """Give how many runs the catalogue has."""
        return int(self._database.run("read", "SELECT count(*) FROM registered")[0][0])

    def lags(self, after_ns: int) -> Sequence[float]:
        """Give the lags of what became complete after a time, from the last frame on, seconds.

        Parameters
        ----------
        after_ns : int
            Wall clock of the last success that is known; so that most rows need not be read, of the newest rows alone:
            whatever is told to the catalogue gets a row after all others.
        """
        rows = self._database.run(
            "read",
            "SELECT lag_s FROM registered WHERE rowid > (SELECT max(rowid) FROM registered) - ? AND at_ns > ?"
            " AND lag_s IS NOT NULL",
            (_DEPTH, after_ns),
        )
        return [lag_s for (lag_s,) in rows]


def _registered(row: Sequence[Any]) -> Registered:
    _, datasets, complete, at_ns, lag_s, *_ = row
    return Registered(json.loads(datasets), bool(complete), at_ns, lag_s)
