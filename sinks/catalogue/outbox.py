"""What the catalogue is still to be told: kept on disk, handed out one at a time, never forgotten."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from ...stream.report import RunReport
from ..database import Execute, Tables
from .facts import RunFacts
from .intent import Intent, Kind, superseded

#: What `entry_of` reads.
ENTRY_COLUMNS = "seq, kind, facts, state, written_ns, due_ns, attempts, reason, remedy"


@dataclass(frozen=True)
class Entry:
    """An intent that waits.

    Attributes
    ----------
    seq : int
        Grows with every intent that is written.
    intent : Intent
    state : str
        ``"queued"``, or ``"parked"``: it waits for a person.
    written_ns, due_ns : int
        Wall clock: when it, or the first that it replaced, was written, and before when it is not tried again. A run
        that grows while ICAT is away has been waiting since then, however often its entry is replaced.
    attempts : int
        Tries so far to which the server had an answer, one under way included.
    reason, remedy : str
        Of the last failure; empty where there was none.
    """

    seq: int
    intent: Intent
    state: Literal["queued", "parked"]
    written_ns: int
    due_ns: int
    attempts: int
    reason: str
    remedy: str


@dataclass(frozen=True)
class Registered:
    """What the catalogue has of a run.

    Attributes
    ----------
    datasets : mapping
        Ids by what they hold: ``"raw"``, ``"reduced"``.
    complete : bool
        Whether they are complete there.
    at_ns : int
        Wall clock of the last success; of a run that is complete, when it became so.
    lag_s : float or None
        From the last frame to completeness, seconds; None where the run is not complete.
    """

    datasets: Mapping[str, int]
    complete: bool
    at_ns: int
    lag_s: float | None = None


def write_intents(execute: Execute, intents: Sequence[Intent], now_ns: int) -> None:
    """Write intents within a change of the registry.

    Parameters
    ----------
    execute : callable
        Of `Database.change`.
    intents : sequence of Intent
    now_ns : int
        Wall clock.
    """
    for intent in intents:
        since_ns = now_ns
        for kind in superseded(intent.kind):
            gone = execute(
                "DELETE FROM outbox WHERE run = ? AND kind = ? RETURNING written_ns", (intent.facts.run, kind)
            )
            since_ns = min([since_ns, *(written_ns for (written_ns,) in gone)])
        execute(
            "INSERT INTO outbox (run, kind, facts, written_ns) VALUES (?, ?, ?, ?)",
            (intent.facts.run, intent.kind, json.dumps(intent.facts.to_json()), since_ns),
        )


def write_removal(execute: Execute, run: str, now_ns: int) -> None:
    """Write, within a change of the registry, that a run never began; nothing where the catalogue heard nothing of it.

    Parameters
    ----------
    execute : callable
        Of `Database.change`.
    run : str
    now_ns : int
        Wall clock.
    """
    if facts := _heard(execute, run):
        write_intents(execute, [Intent("removed", facts)], now_ns)


def write_end(execute: Execute, report: RunReport, now_ns: int) -> None:
    """Write, within a change of the registry, how a run ended; nothing where the catalogue heard nothing of it.

    Parameters
    ----------
    execute : callable
        Of `Database.change`.
    report : RunReport
        Of a run that is over.
    now_ns : int
        Wall clock.
    """
    if facts := _heard(execute, report.id):
        write_intents(
            execute, [Intent("sealed" if report.status == "complete" else "failed", facts.at(report))], now_ns
        )


def _heard(execute: Execute, run: str) -> RunFacts | None:
    known = execute(
        "SELECT facts, seq FROM outbox WHERE run = ? UNION ALL SELECT facts, 0 FROM registered WHERE run = ?"
        " ORDER BY 2 DESC LIMIT 1",
        (run, run),
    )
    return _facts(known[0][0]) if known else None


class Outbox(Tables):
    """The intents that wait, in the file of the registry."""

    def write(self, intents: Sequence[Intent], now_ns: int) -> None:
        """Write intents by themselves: of runs whose entries in the catalogue turned out to be missing or wrong."""
        with self._database.change("write to the outbox in") as execute:
            write_intents(execute, intents, now_ns)

    def write_if_quiet(self, intent: Intent, status: str, now_ns: int) -> bool:
        """Write an intent unless something happens to its run just now; gives whether it was written.

        Nothing is written where the registry gives the run another status than this, or where an entry of it waits: the
        service has told the catalogue something newer, then.
        """
        run = intent.facts.run
        with self._database.change("write to the outbox in") as execute:
            still = execute("SELECT 1 FROM run WHERE id = ? AND status = ?", (run, status))
            if not still or execute("SELECT 1 FROM outbox WHERE run = ?", (run,)):
                return False
            write_intents(execute, [intent], now_ns)
        return True

    def claim(self, now_ns: int, lease_ns: int) -> Entry | None:
        """Take the next entry that is due, for so long; None where there is none.

        Of each run the entries go in their order, and behind one that waits or is parked the later ones wait, too; what
        one run waits for holds up no other.
        """
        rows = self._database.run(
            "claim an entry of",
            f"""UPDATE outbox SET leased_ns = ?, attempts = attempts + 1 WHERE seq = (
                SELECT seq FROM outbox AS o WHERE state = 'queued' AND due_ns <= ? AND leased_ns <= ?
                AND NOT EXISTS (SELECT 1 FROM outbox AS p WHERE p.run = o.run AND p.seq < o.seq)
                ORDER BY due_ns, seq LIMIT 1) RETURNING {ENTRY_COLUMNS}""",
            (now_ns + lease_ns, now_ns, now_ns),
        )
        return entry_of(rows[0]) if rows else None

    def release(self) -> None:
        """End all leases: whoever held them is known to be gone, and its tries say nothing about the entries."""
        self._database.run(
            "release entries of", "UPDATE outbox SET leased_ns = 0, attempts = attempts - 1 WHERE leased_ns > 0"
        )

    def delivered(self, entry: Entry, registered: Registered | None) -> None:
        """Strike an entry off, and remember what the catalogue has now; None: nothing any more.

        When a run became complete stays, however often it is told again: it keeps its row, time and lag.
        """
        run = entry.intent.facts.run
        still_complete = registered is not None and registered.complete
        with self._database.change("strike an entry off") as execute:
            execute("DELETE FROM outbox WHERE seq = ?", (entry.seq,))
            execute("DELETE FROM registered WHERE run = ? AND NOT (complete AND ?)", (run, still_complete))
            if registered is not None:
                facts, datasets = json.dumps(entry.intent.facts.to_json()), json.dumps(dict(registered.datasets))
                row = (run, facts, datasets, registered.complete, registered.at_ns, registered.lag_s)
                execute(
                    "INSERT INTO registered VALUES (?, ?, ?, ?, ?, ?)"
                    " ON CONFLICT (run) DO UPDATE SET facts = excluded.facts, datasets = excluded.datasets",
                    row,
                )

    def again(self, entry: Entry, due_ns: int, reason: str, *, counts: bool = True) -> None:
        """Try an entry again, not before a time; ``counts`` tells whether the last try says anything about it."""
        self._database.run(
            "put an entry back in",
            "UPDATE outbox SET leased_ns = 0, due_ns = ?, reason = ?, attempts = attempts - ? WHERE seq = ?",
            (due_ns, reason, 0 if counts else 1, entry.seq),
        )

    def park(self, seq: int, reason: str, remedy: str) -> None:
        """Leave an entry to a person; what comes behind it in its run waits with it."""
        self._database.run(
            "park an entry of",
            "UPDATE outbox SET state = 'parked', leased_ns = 0, reason = ?, remedy = ? WHERE seq = ?",
            (reason, remedy, seq),
        )

    def retry(self, run: str = "") -> int:
        """Have what is parked, or waits for its next try, tried at once; of one run or of all. Gives how many."""
        rows = self._database.run(
            "retry entries of",
            "UPDATE outbox SET state = 'queued', due_ns = 0, attempts = 0, remedy = '' WHERE ? IN ('', run)"
            " RETURNING seq",
            (run,),
        )
        return len(rows)

    def entries(self, run: str = "") -> Sequence[Entry]:
        """Give what waits, oldest first; of one run or of all."""
        rows = self._database.run(
            "read", f"SELECT {ENTRY_COLUMNS} FROM outbox WHERE ? IN ('', run) ORDER BY seq", (run,)
        )
        return [entry_of(row) for row in rows]

    def facts(self, run: str) -> RunFacts | None:
        """Give the last that the catalogue was told, or is to be told, of a run; None for nothing."""
        return _heard(lambda statement, values: self._database.run("read", statement, values), run)


def entry_of(row: tuple[Any, ...]) -> Entry:
    """Make an entry of a row of `ENTRY_COLUMNS`."""
    seq, kind, facts, state, written_ns, due_ns, attempts, reason, remedy = row
    intent = Intent(cast("Kind", kind), _facts(facts))
    return Entry(seq, intent, state, written_ns, due_ns, attempts, reason, remedy)


def _facts(text: str) -> RunFacts:
    return RunFacts.from_json(json.loads(text))
