"""Commit records that are damaged or gone: made again from the frames table where it has all that they said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..stream.errors import StoreError
from ..stream.model import Block, Commit, Frame, FrameStats, Loss
from ..stream.ranges import Ranges
from ..stream.tables import Rows
from .arrays import context, open_planned
from .commits import record_file, write_commit
from .durable import make_folders
from .frames_table import STORED, Table, read_frames_table
from .layout import commits_folder, of_stage, plane_region, shard_file
from .quarantine import Quarantine
from .recompute import stats
from .rows import rows_of
from .runfile import StoredRun
from .sealfile import salvage_ledger
from .shards import left_out
from .tables import RECORDED, read_columns
from .verify_store import read_records

#: Stands in a record that was made again, where the worker's name was.
MADE_AGAIN = "recover"


class RecordMender:
    """Puts the commit records of a store right.

    Parameters
    ----------
    store, stored_run, quarantine : Path, StoredRun, Quarantine
        What to work on.
    """

    def __init__(self, store: Path, stored_run: StoredRun, quarantine: Quarantine) -> None:
        self.store = store
        self.plan = stored_run.run.plan
        self.products = stored_run.products
        self._stored_run = stored_run
        self._quarantine = quarantine

    def mend(self) -> Iterator[str]:
        """Make again what can be made again, and give up the other blocks; yields one line for each.

        Raises
        ------
        OSError, StoreError
            The store cannot be read or written; the same call may be repeated.
        """
        blocks = self.plan.blocks
        commits, damaged = read_records(self.store, self._stored_run)
        ledger = salvage_ledger(self.store)
        noted = Ranges.join((k.first, k.last) for k in self._quarantine.losses())
        told = {n for n in (ledger.stored if ledger else Ranges()) - noted if n < self.plan.frames}
        gone = {blocks.block_of(n).number for n in told} - commits.keys() - damaged.keys()
        table = self._table() if damaged or gone else None
        for number in sorted(damaged.keys() | gone):
            file = record_file(self.store, number)
            name = file.relative_to(self.store)
            if number >= len(blocks):
                self._quarantine.take(file)
                yield f"{name} belongs to no block: in quarantine"
                continue
            commit = self._from_table(blocks[number], table, noted) if table else None
            word = "damaged" if number in damaged else "missing"
            if commit:
                self._quarantine.keep(file)
                make_folders(commits_folder(self.store))
                write_commit(self.store, commit)
                yield f"{name} was {word}: made again from the frames table"
            else:
                frames = Ranges.of(n for n in blocks[number].frames if ledger is None or n in told)
                why = f"the commit record {name.name} was {word}"
                self._quarantine.note([Loss(first, last, "store", why) for first, last in frames.spans])
                for shard in block_files(self.store, self._stored_run, blocks[number]):
                    self._quarantine.keep(shard)
                self._quarantine.take(file)
                yield f"{name} was {word}: its block is in quarantine"

    def _table(self) -> Table | None:
        try:
            table = read_frames_table(self.store)
        except StoreError:
            return None
        return table if all(len(column) == self.plan.frames for column in table.values()) else None

    def _from_table(self, block: Block, table: Table, noted: Ranges) -> Commit | None:
        """Make a record of what the table has; None where it calls nothing of the block stored."""
        rows = [n for n in block.frames if table["state"][n] == STORED and n not in noted]
        if not rows:
            return None
        shards = [f for f in block_files(self.store, self._stored_run, block) if f.exists()]
        return Commit(
            tables=self._tables(Ranges.of(rows)),
            block=block.number,
            frames=tuple(Frame(n, int(table["timestamp_ns"][n]), int(table["checksum"][n])) for n in rows),
            stats=tuple(self._stats(n, table) for n in rows),
            worker=MADE_AGAIN,
            committed_ns=int(table["committed_ns"][rows[0]]),
            raw_bytes=len(rows) * self.plan.frame_bytes,
            stored_bytes=sum(f.stat().st_size for f in shards),
            products=tuple(p.path for p in of_stage(self.products, "block")),
            left_out=self._left_out(block),
        )

    def _left_out(self, block: Block) -> dict[str, Ranges]:
        """Take the word of the shards that can be read: their indices have a checksum."""
        found: dict[str, Ranges] = {}
        for product in self.products:
            file = shard_file(self.store, self.plan, product, block)
            with suppress(FileNotFoundError, NotADirectoryError, ValueError):
                found |= {product.path: left_out(file, self.plan, product)} if product.sparse else {}
        return found

    def _tables(self, frames: Ranges) -> dict[str, Rows]:
        """Give the rows of some frames, from the tables of a sealed store."""
        found = {t.name: read_columns(self.store, t, RECORDED) for t in self._stored_run.tables}
        return {
            name: rows_of(rows, frames)
            for name, rows in found.items()
            if "frame" in rows and len({len(column) for column in rows.values()}) == 1
        }

    def _stats(self, number: int, table: Table) -> FrameStats:
        """Give the numbers of a frame: from the raw counts where they are kept, for the table has a rounded mean."""
        for product in self.products:
            if product.path == "raw/0":
                array = open_planned(self.store, self.plan, product, context(1))
                read = array[plane_region(self.plan, product, number)].read()
                if read.exception() is None:
                    return stats(np.asarray(read.result()))
        row = (int(table["min"][number]), int(table["max"][number]), float(table["mean"][number]))
        return FrameStats(*row, int(table["saturated"][number]))


def block_files(store: Path, stored_run: StoredRun, block: Block) -> list[Path]:
    """Give the shards that hold what a worker made of a block, also those that it shares with the rest of its stack."""
    return [shard_file(store, stored_run.run.plan, p, block) for p in of_stage(stored_run.products, "block")]
