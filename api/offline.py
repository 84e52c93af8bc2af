"""Reducing a recording block by block in threads, without a service: read, reduce, write, commit.

One thread at a time reads, a block at a time and in order, so that any source will do; all others reduce and write what
they have read. A worker holds one block of raw frames and one of products, whatever the recording's length.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from ..kernels.device_choice import describe
from ..kernels.reduction import BlockReducer, Reduction
from ..sinks.keeper import StoreKeeper
from ..sinks.writer import StoreWriter
from ..stream.errors import SourceError
from ..stream.histogram import Histogram
from ..stream.ledger import Ledger, joined
from ..stream.model import Block, Commit, Frame, Loss
from ..stream.tools import Writer
from ..stream.writing import Job, write_block
from .last_tables import last_tables
from .offline_input import Input
from .offline_store import RESERVE_BYTES, OfflineStore
from .worker_process import ReservingWriter

#: Who wrote a block, in its commit record.
WORKER = "offline"
#: Readers see more, and progress is shown, this often, seconds.
TURN_S = 0.2


@dataclass(frozen=True)
class _Read:
    """A block that was read: its frames are the first of the buffer, those that are lost left out."""

    block: Block
    frames: tuple[Frame, ...]
    losses: tuple[Loss, ...]


@dataclass(frozen=True)
class _Done:
    """A block that is accounted for; without a commit where none of its frames could be read."""

    block: Block
    commit: Commit | None
    losses: tuple[Loss, ...]


class _Reading:
    """The blocks that are still to do, one after the other; for several threads."""

    def __init__(self, frames: Input, blocks: Iterator[Block]) -> None:
        self._frames = frames
        self._blocks = blocks
        self._lock = Lock()
        self._stopped = False

    def stop(self) -> None:
        """Give no block any more."""
        self._stopped = True  # a plain flag: Ctrl-C may come while this very thread holds the lock

    def next(self, buffer: NDArray[np.uint16]) -> _Read | None:
        """Read the next block into a buffer; None where there is none."""
        with self._lock:
            block = None if self._stopped else next(self._blocks, None)
            return None if block is None else self._read(block, buffer)

    def _read(self, block: Block, buffer: NDArray[np.uint16]) -> _Read:
        frames, losses = [], []
        for number in block.frames:
            try:
                frames.append(self._frames.read(number, buffer[len(frames)]))
            except SourceError as error:
                losses.append(Loss(number, number, "source", str(error)))
        return _Read(block, tuple(frames), tuple(losses))


def reduce_offline(
    frames: Input,
    reduction: Reduction,
    store: OfflineStore,
    workers: int,
    progress: Callable[[int, int], None],
    following: Callable[[int, int], None] = lambda done, total: None,
) -> Ledger:
    """Reduce what a store lacks, and seal it.

    Parameters
    ----------
    frames : Input
    reduction : Reduction
        Of the store's run.
    store : OfflineStore
        Not sealed.
    workers : int
        Threads.
    progress : callable
        Called with (frames done, frames in all).
    following : callable
        Called with (time points done, time points in all) while the series of the recipe follow the frames.

    Returns
    -------
    Ledger

    Raises
    ------
    StoreError
        The store cannot be written; blocks that are committed stay, and the same call goes on.
    KeyboardInterrupt
        Likewise; the blocks under way were finished.
    """
    losses = _reduce_blocks(frames, reduction, store, workers, progress)
    return store.keeper.seal(losses, last_tables(store.keeper, reduction, progress=following))


def _reduce_blocks(
    frames: Input, reduction: Reduction, store: OfflineStore, workers: int, progress: Callable[[int, int], None]
) -> Sequence[Loss]:
    plan, path = reduction.plan, Path(store.keeper.run.store)
    reading = _Reading(frames, (block for block in plan.blocks if block.number not in store.done))
    workers = max(1, min(workers, len(plan.blocks) - len(store.done)))
    writer = ReservingWriter(StoreWriter(path, plan, reduction.products, workers), path, RESERVE_BYTES)
    done: queue.SimpleQueue[_Done] = queue.SimpleQueue()
    account = _Account(store, progress)
    with ThreadPoolExecutor(workers, "reduce") as pool:
        threads = [pool.submit(_work, reading, reduction, writer, done.put) for _ in range(workers)]
        try:
            while wait(threads, TURN_S, FIRST_EXCEPTION).not_done and not _failed(threads):
                account.take(done)
        finally:
            reading.stop()
            wait(threads)
            account.take(done)
    for thread in threads:
        thread.result()
    writer.close()
    return account.losses


def _failed(threads: Sequence[Future[None]]) -> bool:
    return any(thread.done() and thread.exception() for thread in threads)


def _work(reading: _Reading, reduction: Reduction, writer: Writer, tell: Callable[[_Done], None]) -> None:
    plan = reduction.plan
    buffer = np.empty((plan.blocks[0].count, *plan.frame_shape), np.uint16)
    reducer = reduction.reducer()
    while (read := reading.next(buffer)) is not None:
        commit = _commit(read, buffer, reducer, writer, plan.frame_bytes) if read.frames else None
        tell(_Done(read.block, commit, read.losses))


def _commit(read: _Read, buffer: NDArray[np.uint16], reducer: BlockReducer, writer: Writer, frame_bytes: int) -> Commit:
    reducer.begin(read.block)
    stats = [reducer.add(frame.number, pixels) for frame, pixels in zip(read.frames, buffer, strict=False)]
    job = Job(read.block, read.frames, stats, reducer, Histogram())
    return write_block(job, writer, WORKER, str(describe(None)), frame_bytes)


class _Account:
    """What became of the blocks so far; shows it to readers and to whoever watches."""

    def __init__(self, store: OfflineStore, progress: Callable[[int, int], None]) -> None:
        self._keeper: StoreKeeper = store.keeper
        self._progress = progress
        self._total = store.keeper.run.plan.frames
        self._frames = sum(store.keeper.run.plan.blocks[n].count for n in store.done)
        self._losses: list[Loss] = []
        progress(self._frames, self._total)

    @property
    def losses(self) -> Sequence[Loss]:
        """Frames that could not be read, in order."""
        return joined(sorted(self._losses, key=lambda loss: loss.first))

    def take(self, done: queue.SimpleQueue[_Done]) -> None:
        """Take what is done by now."""
        fresh: list[int] = []
        while not done.empty():
            one = done.get()
            self._frames += one.block.count
            self._losses += one.losses
            if one.commit is not None:
                fresh.append(one.block.number)
        if fresh:
            self._keeper.publish(fresh)
        self._progress(self._frames, self._total)
