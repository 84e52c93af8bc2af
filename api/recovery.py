"""Recovering a store where it lies: no service may keep it, and the registry of its data directory is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..sinks.commits import intact_commits
from ..sinks.failure import said
from ..sinks.keeper import StoreKeeper
from ..sinks.names import data_folders
from ..sinks.recover import RecoverReport, recover
from ..sinks.registry import Registry
from ..sinks.runfile import read_run
from ..sinks.tables import DERIVED, columns_from
from ..stream.clock import wall_ns
from ..stream.errors import RecipeError, UsageError
from ..stream.report import RunReport
from ..stream.tables import Derived
from .last_tables import last_tables
from .planned import reduction_of, reduction_without_maps
from .run_account import RunAccount, sustained_hz
from .service import lock_data
from .stored_runs import registry_file


def recover_store(store: Path, progress: Callable[[int, int], None]) -> RecoverReport:
    """Recover a store, and enter in the registry what became of its run.

    Parameters
    ----------
    store : Path
        Any octostream store; in a data directory or copied elsewhere.
    progress : callable
        Called with (blocks done, blocks in all).

    Raises
    ------
    UsageError
        A service runs on the store's data directory, or another recovery is at work.
    StoreError
        There is no octostream store, or it or the registry cannot be read or written.
    """
    store = store.absolute()
    if data := _data_of(store):  # as a service writes it: whichever link it was named by
        store = data.resolve() / store.relative_to(data)
    with _without_service(data):
        report = recover(store, reduction_of, progress, _derive)
        if data:
            _enter(data, store, report)
    return report


def _data_of(store: Path) -> Path | None:
    """Give the data directory that a store lies in; None for a copy elsewhere."""
    return next((data for data in data_folders(store) if registry_file(data).parent.is_dir()), None)


@contextmanager
def _without_service(data: Path | None) -> Iterator[None]:
    """Keep services away from a data directory meanwhile; where there is none, no service is in the way."""
    if data is None:
        yield
        return
    try:
        with said(f"lock {data}"):
            lock = lock_data(data)
    except UsageError:
        raise UsageError(
            f"a service is running on {data}", "stop it first; it takes its open runs up again by itself"
        ) from None
    with lock:
        yield


def _derive(store: Path) -> Derived:
    """Make anew what follows from the committed blocks; nothing where a step of the recipe is not installed here."""
    keeper = StoreKeeper.reopen(store)
    try:
        reduction = reduction_without_maps(keeper.run)
    except RecipeError:
        return _nowhere(keeper, store)
    return last_tables(keeper, reduction)


def _nowhere(keeper: StoreKeeper, store: Path) -> Derived:
    """Give the tables of which no block and no earlier seal tells: nobody can make them here."""
    recorded = keeper.recorded(())
    without = [t for t in keeper.tables if recorded.blocks and t.name not in recorded.tables]
    return {table.name: None for table in without if not columns_from(store, table, DERIVED)}


def _enter(data: Path, store: Path, report: RecoverReport) -> None:
    """Let the registry say what the store says; where there is none, one is made."""
    registry = Registry(registry_file(data))
    try:
        run = read_run(store).run
        known = registry.get(run.id)
        row = _row(known or RunAccount(run).report(None, report.status, None), store, report)
        if known is None:
            registry.add(row)
        elif known != row:
            registry.end(row)
    finally:
        registry.close()


def _row(known: RunReport, store: Path, report: RecoverReport) -> RunReport:
    """Give the row of a run that was recovered: what its service knew better stays."""
    row = replace(
        known,
        store=str(store),
        status=report.status,
        received=max(known.received, report.frames_stored),
        stored=report.frames_stored,
        lost=report.frames_lost,
        reason=report.losses[0].why if report.losses else "",
    )
    if row == known:
        return known
    commits = list(intact_commits(store))
    return replace(
        row,
        rate_hz=sustained_hz(commits),
        raw_bytes=sum(c.raw_bytes for c in commits),
        stored_bytes=sum(c.stored_bytes for c in commits),
        sealed_ns=known.sealed_ns or wall_ns(),
    )
