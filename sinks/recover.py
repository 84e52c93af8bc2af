"""Recovering a store: from any kill, power cut or damage to a consistent one; nothing that was stored is deleted."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..stream.errors import StoreError, UsageError
from ..stream.ledger import Ledger, Status
from ..stream.model import Block, Loss
from ..stream.ranges import Ranges
from ..stream.tables import Derived
from ..stream.tools import Reducer
from .account import frames_of
from .attributes import inner_groups
from .derivation import Derivation, derived_files
from .failure import said
from .growth import Growth, reach
from .keeper import StoreKeeper
from .layout import DOT_FOLDER, array_path, of_stage, shard_file
from .leftovers import strays
from .quarantine import Quarantine
from .recover_blocks import BlockMender
from .recover_records import RecordMender
from .recover_run import Reduce, described
from .runfile import StoredRun, load_maps, maps_folder, product_to_json
from .sealfile import close_to_writers, is_closed, ledger_file, salvage_ledger
from .tables import FOLDER as TABLES
from .tables import not_derived
from .verify_store import Findings, Progress, examine, read_records

#: Why a frame is lost of which nothing but its absence is known.
CUT_SHORT = "never acknowledged: not durable when the run was cut short"

#: Network disks without locks of folders say one of these.
_NO_LOCKS = {errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP}


@dataclass(frozen=True)
class RecoverReport:
    """What a recovery did, and what the store is now.

    Attributes
    ----------
    ok : bool
        The store is complete and nothing of it lies in quarantine.
    status : str
        ``complete`` or ``incomplete``.
    frames_expected, frames_stored, frames_lost : int
        By the ledger.
    frames_projection_only : int
        Those of the stored ones of whose pixels only projections were kept.
    losses : tuple of Loss
        Frames that are lost, with where and why.
    changes : tuple of str
        One line each; empty where the store was left as it was.
    quarantined : tuple of str
        Paths that the files in quarantine had, of this recovery and of earlier ones.
    """

    ok: bool
    status: Status
    frames_expected: int
    frames_stored: int
    frames_lost: int
    frames_projection_only: int
    losses: tuple[Loss, ...]
    changes: tuple[str, ...]
    quarantined: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Give the report as JSON types."""
        return asdict(self)


#: Takes a store whose committed blocks are right, writes what is derived from them, and gives the rows of tables.
Derive = Callable[[Path], Derived]


def recover(
    store: Path, reduce: Reduce, progress: Progress | None = None, derive: Derive = lambda _: {}
) -> RecoverReport:
    """Make a store consistent; a sealed store in which nothing is wrong is left byte for byte as it is.

    May be killed at any instant and called again: it comes to the same end. No service may be keeping the run.

    Parameters
    ----------
    store : Path
        Any octostream store.
    reduce : callable
        Gives what reduces the frames of the run; asked only where raw frames are to be reduced again.
    progress : callable, optional
        Called with (blocks done, blocks in all).
    derive : callable
        Derives products and tables anew; asked only where something of them is missing, damaged or made from frames
        that are lost now. What it does not write is listed as not derived.

    Returns
    -------
    RecoverReport

    Raises
    ------
    UsageError
        Another recovery is at work on it.
    NoSpaceError, StoreError
        There is no octostream store, or it cannot be read or written; the same call may be repeated.
    """
    if not (store / DOT_FOLDER).is_dir():
        raise StoreError(f"{store} is not an octostream store", "give the path of a folder *.ome.zarr")
    with said(f"recover {store}"), _alone(store):
        stored_run, changes = described(store, reduce)
        return _Recovery(store, stored_run, reduce, progress, derive, changes).run()


class _Recovery:
    def __init__(
        self,
        store: Path,
        stored_run: StoredRun,
        reduce: Reduce,
        progress: Progress | None,
        derive: Derive,
        changes: list[str],
    ) -> None:
        self.store = store
        self.plan = stored_run.run.plan
        self.stored_run = stored_run
        self.quarantine = Quarantine(store)
        self._reduce = reduce
        self._progress = progress
        self._derive = derive
        self._changes = changes

    def run(self) -> RecoverReport:
        ledger = salvage_ledger(self.store)
        if not ledger_file(self.store).exists():
            self._changes.append("the run was open: sealed")
        elif not is_closed(self.store):
            self._changes.append("the store was open to writers: closed")
        if not is_closed(self.store):
            close_to_writers(self.store)
        self.quarantine.clear_unfinished()
        self._changes += RecordMender(self.store, self.stored_run, self.quarantine).mend()
        found = examine(self.store, self.stored_run, self._progress, over=True)
        if found.problems:
            self._put_right(found, ledger)
            found = examine(self.store, self.stored_run, self._progress)
            if found.problems:
                raise StoreError(f"{self.store} is still not right: {found.problems[0].text}", "check its disk")
        assert found.ledger is not None  # a missing ledger is a problem
        return self._report(found.ledger)

    def _put_right(self, found: Findings, ledger: Ledger | None) -> None:
        self._set_aside(found, ledger)
        self._mend_pixels(found)
        for path in (*map(array_path, self.stored_run.products), *inner_groups(self.stored_run, {})):
            (self.store / path).mkdir(parents=True, exist_ok=True)
        if ledger_file(self.store).exists():
            self._changes += [f"{p.text}: mended" for p in found.problems if p.block is None]
        tables = self._derived(found, ledger)
        StoreKeeper.reopen(self.store).seal(self._losses(ledger), tables)

    def _derived(self, found: Findings, ledger: Ledger | None) -> Derived:
        """Have derived anew what is not there, or was made from frames that are lost now."""
        plan, products = self.plan, self.stored_run.products
        commits, _ = read_records(self.store, self.stored_run)
        # Decided by what an earlier seal counted as stored, so that who was killed here comes to the same again.
        stale = ledger.stored - frames_of(commits.values()) if ledger else self.quarantine.losses()
        if stale:
            files = derived_files(self.store, self.stored_run)
            for file in files:
                self.quarantine.take(file)
            self._changes += ["what was derived from frames that are lost now: set aside"] if files else []
        growth = Growth(plan)
        for commit in commits.values():
            growth.add(commit.block, reach(plan, (f.number for f in commit.frames)))
        missing = Derivation(self.store, plan, products).missing(growth, growth.final)
        missing += not_derived(self.store, self.stored_run.tables)
        rows = any((problem.file or problem.text).startswith(f"{TABLES}/") for problem in found.problems)
        return self._derive(self.store) if stale or missing or rows or not ledger else {}

    def _set_aside(self, found: Findings, ledger: Ledger | None) -> None:
        """Keep what is about to be replaced or removed, and what lies where something else belongs."""
        derived = set(derived_files(self.store, self.stored_run))
        for problem in found.problems:
            if problem.file is not None:
                file = self.store / problem.file
                replaced = file.is_file() and maps_folder(self.store) not in file.parents and file not in derived
                self.quarantine.keep(file) if replaced else self.quarantine.take(file)
        found_strays = list(strays(self.store, self.stored_run, found.commits))
        told = ledger.stored if ledger else Ranges()
        ours = self._shards() if found_strays else {}
        for file in found_strays:
            if file not in ours:
                self.quarantine.take(file)
            elif any(n in told for n in ours[file].frames):
                self.quarantine.keep(file)  # sealing removes the shards of blocks without a record

    def _shards(self) -> dict[Path, Block]:
        """Give every shard that the plan may have, with its block (one of them where several share it)."""
        products = of_stage(self.stored_run.products, "block")
        return {shard_file(self.store, self.plan, p, block): block for block in self.plan.blocks for p in products}

    def _mend_pixels(self, found: Findings) -> None:
        suspects = sorted({problem.block for problem in found.problems if problem.block is not None})
        mender = BlockMender(self.store, self.stored_run, self.quarantine, self._reducer)
        for number in suspects:
            self._changes += mender.mend(self.plan.blocks[number], found.commits[number])
        committed, _ = read_records(self.store, self.stored_run)
        for t, c in sorted({stack for n in suspects for stack in self._stacks(n)}):
            self._changes += mender.mend_stack(t, c, committed)
        self._changes += mender.mend_parts(committed)

    def _stacks(self, number: int) -> list[tuple[int, int]]:
        """Give the stacks (t, c) that a block belongs to."""
        (t, c, _), (t_size, c_size, _) = self.plan.blocks[number].origin, self.plan.blocks[number].extent
        return [(t + i, c + j) for i in range(t_size) for j in range(c_size)]

    def _reducer(self) -> Reducer:
        reduction = self._reduce(self.stored_run.run, load_maps(self.store))
        made = [product_to_json(product) for product in reduction.products]  # which a list in attributes survives
        if made != [product_to_json(product) for product in self.stored_run.products]:
            raise StoreError("the run's recipe made other products then", "use the octostream that recorded it")
        return reduction.reducer()

    def _losses(self, ledger: Ledger | None) -> list[Loss]:
        """Give what is known of frames that are not stored, the most trustworthy first."""
        # Whatever was not acknowledged is with the agent, if it is anywhere.
        rest = Loss(0, self.plan.frames - 1, "agent", CUT_SHORT)
        return [*(ledger.losses if ledger else ()), *self.quarantine.losses(), rest]

    def _report(self, ledger: Ledger) -> RecoverReport:
        quarantined = tuple(self.quarantine.files())
        return RecoverReport(
            ok=ledger.status == "complete" and not quarantined,
            status=ledger.status,
            frames_expected=self.plan.frames,
            frames_stored=len(ledger.stored),
            frames_lost=len(ledger.lost),
            frames_projection_only=len(ledger.projection_only),
            losses=ledger.losses,
            changes=tuple(dict.fromkeys(self._changes)),
            quarantined=quarantined,
        )


@contextmanager
def _alone(store: Path) -> Iterator[None]:
    """Let no other recovery work on the store meanwhile; the lock of a folder leaves no trace."""
    handle = os.open(store / DOT_FOLDER, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise UsageError(f"another recovery is at work on {store}", "wait for it") from None
    except OSError as cause:
        if cause.errno not in _NO_LOCKS:
            os.close(handle)
            raise
    try:
        yield
    finally:
        os.close(handle)
