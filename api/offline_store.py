"""The store of an offline reduction: made, or taken up where an earlier try left it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.reduction import Reduction
from ..sinks.commits import intact_commits, read_commit
from ..sinks.disk import check_space, free_bytes, reserve_of
from ..sinks.failure import said
from ..sinks.keeper import StoreKeeper
from ..sinks.layout import DOT_FOLDER, whole_bytes
from ..sinks.names import SUFFIX, check_name
from ..sinks.runfile import plan_to_json, read_run, run_file
from ..sinks.sealfile import read_sealed_ledger
from ..stream.clock import wall_ns
from ..stream.errors import NameRefusedError, SourceError, UsageError
from ..stream.ledger import Ledger
from ..stream.model import Run
from .offline_input import Input
from .opening import LEAST_COMPRESSION
from .software import software_versions

#: Begins the ids of runs that no service made: a store of a service is never taken up.
OFFLINE = "offline-"
#: Bytes of disk that are never filled, as the service has it unless told otherwise.
RESERVE_BYTES = 512 * 2**20


@dataclass(frozen=True)
class OfflineStore:
    """A store that one process reduces into.

    Attributes
    ----------
    keeper : StoreKeeper
    done : frozenset of int
        Blocks that are whole in it.
    sealed : Ledger or None
        How the run ended, where it is over.
    """

    keeper: StoreKeeper
    done: frozenset[int]
    sealed: Ledger | None


@contextmanager
def open_store(
    out: Path, frames: Input, reduction: Reduction, maps: Mapping[str, NDArray[Any]], *, keep_raw: bool
) -> Iterator[OfflineStore]:
    """Make the store, or take it up if an earlier reduction of the same frames by the same recipe was cut short.

    Parameters
    ----------
    out : Path
        ``….ome.zarr``.
    frames : Input
    reduction : Reduction
    maps : mapping
        Arrays that its recipe refers to.
    keep_raw : bool
        Whether the frames are stored, too.

    Raises
    ------
    NameRefusedError, UsageError
        Its name is no store's, or something else lies there; nothing is touched.
    StoreError
        It cannot be made or read.
    """
    out = out.expanduser().absolute()
    run = _run(out, reduction, keep_raw=keep_raw)
    if out.exists() or out.is_symlink():
        _check_same(out, run)
    else:
        _create(run, reduction, maps)
    with _alone(out):
        keeper = StoreKeeper.reopen(out)
        done = frozenset(_whole(keeper))
        if done:
            _check_frames(keeper, frames, done)
        yield OfflineStore(keeper, done, read_sealed_ledger(out))


def _run(out: Path, reduction: Reduction, *, keep_raw: bool) -> Run:
    if not out.name.endswith(SUFFIX):
        raise NameRefusedError(f"'{out.name}' is no name of a store", f"give --out a name that ends in {SUFFIX}")
    now = wall_ns()
    return Run(
        id=OFFLINE + time.strftime("%Y%m%d-%H%M%S", time.gmtime(now // 10**9)) + "-" + secrets.token_hex(3),
        name=check_name("run", out.name.removesuffix(SUFFIX)),
        investigation="local",
        plan=reduction.plan,
        recipe=reduction.recipe.to_json(),
        store=str(out),
        keep_raw=keep_raw,
        opened_ns=now,
    )


def _create(run: Run, reduction: Reduction, maps: Mapping[str, NDArray[Any]]) -> None:
    place = next(folder for folder in Path(run.store).parents if folder.exists())
    need = sum(map(whole_bytes, reduction.products))
    check_space(place, int(need / LEAST_COMPRESSION), reserve_of(free_bytes(place)[1], RESERVE_BYTES))
    StoreKeeper.create(run, reduction.products, maps, software_versions(), reduction.tables)


def _check_same(out: Path, run: Run) -> None:
    if not run_file(out).is_file():
        raise NameRefusedError(f"{out} is there and is no store", "choose another --out; nothing is overwritten")
    found = read_run(out).run
    if not found.id.startswith(OFFLINE):
        raise UsageError(f"{out} is the store of a recorded run", "choose another --out; nothing is overwritten")
    for what, then, now in (
        ("another input or axes", plan_to_json(found.plan), plan_to_json(run.plan)),
        ("another recipe", found.recipe, run.recipe),
        ("another --keep-raw", found.keep_raw, run.keep_raw),
    ):
        if json.loads(json.dumps(then)) != json.loads(json.dumps(now)):
            raise UsageError(f"{out} was begun with {what}", "choose another --out, or give the command that began it")


@contextmanager
def _alone(store: Path) -> Iterator[None]:
    """Keep other processes from reducing into the store; the system ends it with this process."""
    with said(f"lock {store}"):
        handle = os.open(store / DOT_FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"another process is reducing into {store}", "wait for its end") from None
        yield
    finally:
        os.close(handle)


def _whole(keeper: StoreKeeper) -> Iterator[int]:
    blocks = keeper.run.plan.blocks
    for commit in intact_commits(Path(keeper.run.store)):
        if commit.block < len(blocks) and len(commit.frames) == blocks[commit.block].count:
            yield commit.block


def _check_frames(keeper: StoreKeeper, frames: Input, done: frozenset[int]) -> None:
    """See, by one frame at either end, that what is there was made of these very frames."""
    pixels = np.empty(frames.plan.frame_shape, np.uint16)
    for block in sorted({min(done), max(done)}):
        recorded = read_commit(Path(keeper.run.store), block).frames[0]
        try:
            same = frames.read(recorded.number, pixels).checksum == recorded.checksum
        except SourceError:
            continue  # it could be read once, and is stored
        if not same:
            what = f"{keeper.run.store} was made of other frames (frame {recorded.number} differs)"
            raise UsageError(what, "choose another --out, or give the input that it was begun with")
