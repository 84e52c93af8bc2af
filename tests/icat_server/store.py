"""Where objects are kept: SQLite, one table an entity, made from the schema.

One connection serves all threads, one at a time; a transaction is held under the same lock.
"""

from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from octostream.tests.icat_server.bean import Bean
from octostream.tests.icat_server.schema import SCHEMA, Entity
from octostream.tests.icat_server.values import Value

#: Functions of the query language that SQLite lacks, has not everywhere, or knows for ASCII alone.
_FUNCTIONS = {
    "upper": (1, lambda text: text if text is None else str(text).upper()),
    "lower": (1, lambda text: text if text is None else str(text).lower()),
    "locate": (2, lambda part, text: None if None in (part, text) else str(text).find(str(part)) + 1),
    "join_texts": (2, lambda left, right: None if None in (left, right) else f"{left}{right}"),
    "remainder": (2, lambda left, right: None if None in (left, right) or not right else math.fmod(left, right)),
    "square_root": (1, lambda value: None if value is None or value < 0 else math.sqrt(value)),
}
_AFFINITY = {"Long": "INTEGER", "Integer": "INTEGER", "Boolean": "INTEGER", "Date": "INTEGER", "Double": "REAL"}


def _table(entity: Entity) -> Iterator[str]:
    columns = ['"id" INTEGER PRIMARY KEY AUTOINCREMENT']
    for name in entity.columns[1:]:
        field = entity.fields[name]
        columns.append(f'"{name}" {"INTEGER" if field.relation == "ONE" else _AFFINITY.get(field.type, "TEXT")}')
    yield f'CREATE TABLE IF NOT EXISTS "{entity.name}" ({", ".join(columns)})'
    if entity.key:
        key = ", ".join(f'"{name}"' for name in entity.key)
        yield f'CREATE UNIQUE INDEX IF NOT EXISTS "{entity.name}_key" ON "{entity.name}" ({key})'
    for one in entity.ones:
        if entity.key[:1] != (one.name,):
            yield f'CREATE INDEX IF NOT EXISTS "{entity.name}_{one.name}" ON "{entity.name}" ("{one.name}")'


class Store:
    """Rows of entities; ``path`` is a file that survives, or nothing for memory."""

    def __init__(self, path: Path | None = None):
        self.lock = threading.RLock()
        self._db = sqlite3.connect(str(path or ":memory:"), check_same_thread=False, isolation_level=None)
        # The process may be killed at any time; the machine is not taken to lose power.
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA case_sensitive_like=ON;")
        for name, (count, function) in _FUNCTIONS.items():
            self._db.create_function(name, count, function, deterministic=True)
        with self.transaction():
            self._db.execute("CREATE TABLE IF NOT EXISTS _session (id TEXT PRIMARY KEY, user TEXT, expires REAL)")
            for entity in SCHEMA.values():
                for statement in _table(entity):
                    self._db.execute(statement)

    def image(self) -> bytes:
        """Give everything that is stored, to be put back with `restore`."""
        with self.lock:
            return self._db.serialize()

    def restore(self, image: bytes) -> None:
        """Be again what an image says; for a store in memory."""
        with self.lock:
            self._db.deserialize(image)

    def close(self) -> None:
        """Let go of the file."""
        with self.lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is stored together, or, when it raises, not at all."""
        with self.lock:
            self._db.execute("BEGIN")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def rows(self, sql: str, parameters: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        """Run one statement."""
        with self.lock:
            return self._db.execute(sql, parameters).fetchall()

    def insert(self, entity: Entity, row: dict[str, Value]) -> int:
        """Add a row; gives its id."""
        names = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join("?" * len(row))
        with self.lock:
            done = self._db.execute(f'INSERT INTO "{entity.name}" ({names}) VALUES ({marks})', list(row.values()))
        assert done.lastrowid is not None
        return done.lastrowid

    def update(self, entity: Entity, id_: int, row: dict[str, Value]) -> None:
        """Replace the given columns of a row."""
        names = ", ".join(f'"{name}" = ?' for name in row)
        self.rows(f'UPDATE "{entity.name}" SET {names} WHERE id = ?', [*row.values(), id_])

    def delete(self, entity: Entity, id_: int) -> None:
        """Remove one row, and nothing else."""
        self.rows(f'DELETE FROM "{entity.name}" WHERE id = ?', [id_])

    def find(self, entity: Entity, id_: int | None) -> dict[str, Value] | None:
        """Give a row by the names of its columns, or nothing."""
        found = self.rows(f'SELECT {quoted(entity)} FROM "{entity.name}" WHERE id = ?', [id_])
        return dict(zip(entity.columns, found[0], strict=True)) if found else None

    def children(self, entity: Entity, relation: str, id_: int) -> list[dict[str, Value]]:
        """Give the rows of an entity whose many-to-one relation leads to an id, oldest first."""
        sql = f'SELECT {quoted(entity)} FROM "{entity.name}" WHERE "{relation}" = ? ORDER BY id'
        return [dict(zip(entity.columns, row, strict=True)) for row in self.rows(sql, [id_])]


def quoted(entity: Entity, alias: str = "") -> str:
    """Give the columns of an entity for a SELECT."""
    lead = f"{alias}." if alias else ""
    return ", ".join(f'{lead}"{name}"' for name in entity.columns)


def bare(entity: Entity, row: dict[str, Value]) -> Bean:
    """Make a bean of a row: its attributes, no relations."""
    hidden = {one.name for one in entity.ones}
    return Bean(entity, {name: value for name, value in row.items() if name not in hidden})
