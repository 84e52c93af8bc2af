"""The head's side of a store: made once, shown as it grows, sealed at the end."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from numpy.typing import NDArray

from ..stream.errors import StoreError
from ..stream.ledger import Ledger, Status
from ..stream.model import Commit, Loss, Product, Run
from ..stream.ranges import Ranges
from ..stream.tables import Derived, Table
from .account import account, frames_of, projection_only, unreadable
from .arrays import context
from .attributes import inner_groups, root_attributes
from .commits import intact_commits, read_commit, recorded_blocks, settle
from .creation import create_store
from .derivation import Derivation
from .durable import json_bytes, remove_durably, sync, write_durably
from .failure import said
from .folds import Merger
from .forgotten import forget, remove_forgotten
from .frames_table import frames_table, write_frames_table
from .growth import Extent, Growth, reach
from .layout import DOT_FOLDER, array_metadata, array_path, group_metadata, levels, of_stage
from .leftovers import remove_uncommitted, remove_unfinished
from .ngff import Window
from .provenance import write_provenance
from .quarantine import Quarantine
from .recorded import Recorded, recorded
from .runfile import StoredRun, read_run
from .sealfile import close_to_writers, is_closed, open_to_writers, read_sealed_ledger, write_ledger
from .tables import DERIVED, columns_from, described_at, not_derived, write_tables
from .windows import read_windows

_NO_ROWS: Final[Derived] = MappingProxyType({})


class StoreKeeper:
    """Keeps the store of one run; made by `create` or `reopen`.

    Attributes
    ----------
    run : Run
        The run.
    products : tuple of Product
        All that it makes.
    tables : tuple of Table
        All that it measures.
    """

    def __init__(self, stored_run: StoredRun) -> None:
        self.run: Run = stored_run.run
        # Fine levels first: readers that follow the metadata never find a coarse level longer than a fine one.
        pyramid = levels(stored_run.products)
        self.products: tuple[Product, ...] = (*pyramid, *(p for p in stored_run.products if p not in pyramid))
        self.tables: tuple[Table, ...] = stored_run.tables
        self._stored_run = stored_run
        self._store = Path(stored_run.run.store)
        self._shared = context(1)
        self._merger = Merger(self._store, self.run.plan, self.products, self._shared)
        self._growth = Growth(self.run.plan)
        self._stored = 0
        self._devices: dict[str, set[str]] = {}
        self._unmerged: set[tuple[int, int]] = set()
        self._derivation = Derivation(self._store, self.run.plan, self.products)
        self._shown: dict[str, tuple[int, ...]] = {}
        self._windows: dict[int, Window] = {}
        self._windows_due = 1
        self._forgotten = False

    @classmethod
    def create(
        cls,
        run: Run,
        products: Sequence[Product],
        maps: Mapping[str, NDArray[Any]],
        software: Mapping[str, str],
        tables: Sequence[Table] = (),
    ) -> StoreKeeper:
        """Make the store of a run at ``run.store``, empty but valid; durable at return.

        Raises
        ------
        NameRefusedError
            Something lies there already.
        RecipeError
            A product cannot be written block by block in this plan.
        NoSpaceError, StoreError
            It cannot be made; nothing is left behind.
        """
        stored_run = StoredRun(run, tuple(products), dict(software), tables=tuple(tables))
        create_store(stored_run, maps)
        keeper = cls(stored_run)
        keeper._shown = keeper._shapes(keeper._growth.visible)
        return keeper

    @classmethod
    def reopen(cls, store: Path) -> StoreKeeper:
        """Take up a store again, after a restart of the head; what it counts as committed is durable.

        Raises
        ------
        StoreError
            There is no octostream store, its description is damaged, or its disk fails.
        """
        keeper = cls(read_run(store))
        with said(f"take up {store}"):
            settle(store)
        keeper._count(intact_commits(store))
        return keeper

    def unseal(self) -> None:
        """Open a sealed run again, for an agent that was taken for gone; a run that is open stays as it is.

        What readers see of committed blocks does not shrink. Projections of stacks that are not whole will be merged
        anew; what was derived is not shown until it is made anew, for it lacks the blocks that are to come.

        Raises
        ------
        NoSpaceError, StoreError
            The same call may be repeated.
        """
        if not is_closed(self._store):
            return
        with said(f"open {self._store} again"):
            self._growth.never_below(self._growth.final)
            self._merger.forget_unfinished(self._growth)
            self._forget_derived()
            self._write_root("recording", self._stored, 0)
            open_to_writers(self._store)

    def committed(self) -> dict[int, Commit]:
        """Give the durable blocks by number, read from their records; a damaged record commits nothing."""
        return {commit.block: commit for commit in intact_commits(self._store)}

    @property
    def counted(self) -> Ranges:
        """Blocks that are known to be committed; those that come to it while a run is taken up are not among them."""
        return Ranges.of(self._growth)

    def publish(self, committed: Iterable[int]) -> bool:
        """Show readers all that may be shown, once these blocks are committed too.

        Stacks that became whole are merged first; then the arrays' shapes grow, fine levels before coarse. Derived
        series grow as far as their parts are on disk: whoever writes them calls this, also without new blocks.

        Parameters
        ----------
        committed : iterable of int
            Blocks whose commit records are on disk; known ones may be repeated.

        Returns
        -------
        bool
            Whether readers see more than before. Always False once the run is sealed.

        Raises
        ------
        NoSpaceError, StoreError
            Nothing torn is visible; the same call may be repeated.
        """
        if is_closed(self._store):
            return False
        with said(f"publish {self._store}"):
            if self._forgotten:
                remove_forgotten(self._store)
                self._forgotten = False
            self._count(read_commit(self._store, n) for n in dict.fromkeys(committed) if n not in self._growth)
            self._merger.merge_whole(self._growth, self._unmerged)
            self._unmerged.clear()
            extent = self._growth.visible
            shapes = self._shapes(extent)
            if shapes == self._shown:
                return False
            self._show(extent, shapes, durable=False)
            self._write_root("recording", self._stored, 0)
        self._shown = shapes
        return True

    def close(self) -> None:
        """Let no worker commit to the store any more; whoever derives something from it may still write.

        Raises
        ------
        NoSpaceError, StoreError
            The same call may be repeated.
        """
        with said(f"close {self._store}"):
            close_to_writers(self._store)

    def seal(self, losses: Sequence[Loss], tables: Derived = _NO_ROWS) -> Ledger:
        """Finish the run: account for every frame, show all that is stored, close the store to writers.

        The commit records decide what is stored. What blocks without a record left behind is removed, so that a lost
        frame is nowhere half there. May be repeated, also after a crash in the middle.

        Parameters
        ----------
        losses : sequence of Loss
            What is known of frames that are not stored.
        tables : mapping
            What was derived, by table and column: whole tables, or columns that complete those of the commit records
            (as `recorded` gives them, in their order). What an earlier seal was given stays where this one has nothing
            in its place. None: it could not be derived, and the store says so.

        Returns
        -------
        Ledger
            Complete: every expected frame is stored or lost.

        Raises
        ------
        NoSpaceError, StoreError
            The run is not sealed; the same call may be repeated.
        """
        plan, store = self.run.plan, self._store
        with said(f"seal {store}"):
            close_to_writers(store)
            self._growth, self._stored, self._devices = Growth(plan), 0, {}
            self._windows, self._windows_due = {}, 1
            self._derivation = Derivation(store, plan, self.products)
            self._count(intact_commits(store))
            damaged = [plan.blocks[n] for n in recorded_blocks(store) if n not in self._growth and n < len(plan.blocks)]
            told = (Quarantine(store).losses(), self._losses_known(), losses, unreadable(damaged))
            ledger = replace(
                account(plan, frames_of(intact_commits(store)), *told),
                projection_only=projection_only(plan, self.tables, intact_commits(store)),
            )
            # What lies under a damaged record was acknowledged once: it is not counted, and it is not removed.
            remove_uncommitted(store, plan, self.products, {*self._growth, *(block.number for block in damaged)})
            self._merger.merge_all(self._growth)
            final = self._growth.final
            self._show(final, self._derivation.shapes(self._growth, final, over=True), durable=True)
            write_frames_table(store, frames_table(plan.frames, intact_commits(store)))
            write_tables(store, self.tables, lambda: intact_commits(store), tables)
            self._write_inner_groups()
            write_provenance(read_run(store), ledger, self._devices)
            write_ledger(store, ledger)
            self._write_root(ledger.status, len(ledger.stored), len(ledger.lost))
            self._merger.forget_parts(self._growth, keep_unfinished=any(k.where == "agent" for k in ledger.losses))
            remove_unfinished(store, self.products)
            remove_forgotten(store)
            sync(store / DOT_FOLDER)
        return ledger

    def recorded(self, tables: Container[str]) -> Recorded:
        """Give what the commit records say, with all rows that they have of some tables."""
        return recorded(self.tables, tables, intact_commits(self._store))

    def _count(self, commits: Iterable[Commit]) -> None:
        for commit in commits:
            self._growth.add(commit.block, reach(self.run.plan, (f.number for f in commit.frames)))
            self._stored += len(commit.frames)
            if commit.device:
                self._devices.setdefault(commit.worker, set()).add(commit.device)
            self._unmerged.add(self.run.plan.blocks[commit.block].origin[:2])

    def _losses_known(self) -> tuple[Loss, ...]:
        """Give the losses of an earlier seal; a damaged ledger tells nothing, the records tell what is stored."""
        try:
            earlier = read_sealed_ledger(self._store)
        except StoreError:
            return ()
        return earlier.losses if earlier else ()

    def _shapes(self, extent: Extent) -> dict[str, tuple[int, ...]]:
        return self._derivation.shapes(self._growth, extent, over=False)

    def _forget_derived(self) -> None:
        """Hide what was derived, then take it away."""
        derived = of_stage(self.products, "series", "run")
        for product in derived:
            nothing = array_metadata(self.run.plan, product, (0, *product.shape[1:]))
            self._replace(array_path(product), nothing, durable=True)
        forget(self._store, derived)  # the loop waits for this, and a long run has very many shards
        self._forgotten = True
        for table in self.tables:
            for column in columns_from(self._store, table, DERIVED):
                remove_durably(described_at(self._store, table, column.name))
        for path in not_derived(self._store, self.tables):
            remove_durably(self._store / path / "zarr.json")
        self._derivation = Derivation(self._store, self.run.plan, self.products)

    def _show(self, extent: Extent, shapes: Mapping[str, tuple[int, ...]], *, durable: bool) -> None:
        """Give every array its shape, values being there already; refresh the windows now and then."""
        if extent.length >= self._windows_due:
            told = self._store, self.run.plan, self.products, self._growth, extent, self._shared
            self._windows |= {c: window for c, window in read_windows(*told).items() if window is not None}
            self._windows_due = 2 * extent.length
        for product in self.products:
            metadata = array_metadata(self.run.plan, product, shapes[product.path])
            self._replace(array_path(product), metadata, durable=durable)

    def _write_inner_groups(self) -> None:
        for path, metadata in inner_groups(self._stored_run, self._windows).items():
            self._replace(path, metadata, durable=True)

    def _write_root(self, status: Status, stored: int, lost: int) -> None:
        missing = [] if status == "recording" else self._not_derived()
        attributes = root_attributes(self._stored_run, status, stored, lost, self._windows, missing)
        self._replace("", group_metadata(attributes), durable=status != "recording")

    def _not_derived(self) -> list[str]:
        products = self._derivation.missing(self._growth, self._growth.final)
        return [*products, *not_derived(self._store, self.tables)]

    def _replace(self, path: str, metadata: dict[str, Any], *, durable: bool) -> None:
        """Replace a ``zarr.json`` at once. While the run goes on the old one would do as well after a power cut."""
        write_durably(self._store / path / "zarr.json", json_bytes(metadata), sync_folder=durable)
