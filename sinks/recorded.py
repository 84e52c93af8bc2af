"""What the commit records of a run hold, read in one go: the blocks, and rows of tables."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..stream.model import Commit
from ..stream.ranges import Ranges
from ..stream.tables import Rows, Table
from .tables import in_order


@dataclass(frozen=True)
class Recorded:
    """What there is when a run is over.

    Attributes
    ----------
    blocks : Ranges
        That are durable.
    counts : mapping of str to int
        Rows of every table of the run.
    tables : frozenset of str
        Those that some block told of, were it without a row: their step was at work, and may have found nothing.
    rows : mapping
        Rows of the tables that were asked for, by table and column, in the order of a sealed store; without columns
        that no block has, or not every block that has rows.
    """

    blocks: Ranges
    counts: Mapping[str, int]
    tables: frozenset[str]
    rows: Mapping[str, Rows]


def recorded(tables: Sequence[Table], wanted: Container[str], commits: Iterable[Commit]) -> Recorded:
    """Go through commit records once; those of a long run are many.

    Parameters
    ----------
    tables : sequence of Table
        All of the run.
    wanted : container of str
        Names of those whose rows are to be kept.
    commits : iterable of Commit
        In order of blocks.
    """
    blocks: list[int] = []
    counts = {table.name: 0 for table in tables}
    there: set[str] = set()
    parts: dict[str, list[Rows]] = {table.name: [] for table in tables if table.name in wanted}
    for commit in commits:
        blocks.append(commit.block)
        for name in counts.keys() & commit.tables.keys():
            there.add(name)
            rows = commit.tables[name]
            counts[name] += len(rows.get("frame", ()))
            if name in parts and rows:
                parts[name].append(in_order(rows))
    rows = {table.name: _joined(table, parts[table.name]) for table in tables if table.name in parts}
    return Recorded(Ranges.of(blocks), counts, frozenset(there), rows)


def _joined(table: Table, parts: Sequence[Rows]) -> Rows:
    there = [column for column in table.columns if all(column.name in rows for rows in parts)]
    return {
        c.name: np.concatenate([*(rows[c.name] for rows in parts), np.empty(0, c.dtype)]).astype(c.dtype) for c in there
    }
