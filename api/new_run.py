"""Making a run: its entry in the registry, its store and its token, all of it or nothing, also when killed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import structlog

from ..sinks.commits import recorded_blocks
from ..sinks.creation import remove_empty_store
from ..sinks.keeper import StoreKeeper
from ..sinks.registry import Registry
from ..stream.errors import NameRefusedError, OctostreamError, StoreError
from ..stream.report import RunReport
from .cataloguing import Cataloguing
from .opening import Request
from .run_account import RunAccount
from .software import software_versions
from .tokens import write_token

#: What the registry says of a run from before there is anything of it on the disk until it is whole, and again before
#: it is removed: whatever happens in between, the next life of the service knows that nobody was promised anything.
HALF_MADE = "it is being made or removed"

log = structlog.get_logger()


def create_run(registry: Registry, request: Request, token: str, cataloguing: Cataloguing) -> StoreKeeper:
    """Enter a run, make its store and keep its token.

    Parameters
    ----------
    registry : Registry
    request : Request
        Checked.
    token : str
        By which the run knows its agent.
    cataloguing : Cataloguing
        Says what the catalogue is told.

    Raises
    ------
    NameRefusedError
        The name is taken, in the registry or on the disk.
    NoSpaceError, StoreError
        It cannot be made; nothing is left behind.
    """
    entry = RunAccount(request.run).report(None, "recording", None)
    try:
        registry.add(replace(entry, reason=HALF_MADE))
    except NameRefusedError:
        raise
    except OctostreamError:
        _forget(registry, entry)  # refused in its last step, it may have been made all the same
        raise
    try:
        software, reduction = software_versions(), request.reduction
        keeper = StoreKeeper.create(request.run, reduction.products, request.maps, software, reduction.tables)
    except NameRefusedError:
        _forget(registry, entry)
        raise
    except OctostreamError:
        _take_back(registry, entry)
        raise
    try:
        write_token(Path(request.run.store), token)
        registry.update(entry, cataloguing.opened(request.run, entry))
    except OctostreamError:
        _take_back(registry, entry)
        raise
    return keeper


def remove_run(registry: Registry, run: RunReport) -> bool:
    """Remove a run that never began, so that its name is free again.

    Parameters
    ----------
    registry : Registry
        Knows the run.
    run : RunReport
        That is recording.

    Returns
    -------
    bool
        False where the store holds blocks: then nothing is touched.

    Raises
    ------
    StoreError
        The disk fails; the same call may be repeated, also by the next life of the service.
    """
    store = Path(run.store)
    if store.exists() and recorded_blocks(store):
        return False
    registry.update(replace(run, reason=HALF_MADE))
    remove_empty_store(store, run.id)
    registry.remove(run.id)
    return True


def _take_back(registry: Registry, entry: RunReport) -> None:
    try:
        remove_run(registry, entry)
    except StoreError as error:  # the next life of the service finds it
        log.error("a refused run stays until the next start", run=entry.id, why=str(error))


def _forget(registry: Registry, entry: RunReport) -> None:
    try:
        registry.remove(entry.id)
    except StoreError as error:
        log.error("a refused run stays until the next start", run=entry.id, why=str(error))
