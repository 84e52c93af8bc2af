"""The thread that makes the blocks of one run durable, in order, and never gives up while the run lives."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .clock import wall_ns
from .errors import DeviceLostError, StoreError
from .histogram import Histogram
from .messages import BlockDone
from .model import Block, Commit, Frame, FrameStats
from .ranges import Ranges
from .tools import Reducer, Writer


@dataclass(frozen=True)
class Job:
    """A block that is whole and reduced.

    Attributes
    ----------
    block : Block
        Which.
    frames, stats : sequences
        What it holds, by frame number, and the numbers of each frame.
    reducer : Reducer
        Holds the products until the block is durable.
    reduced : Histogram
        Camera to reduced, of its frames.
    """

    block: Block
    frames: Sequence[Frame]
    stats: Sequence[FrameStats]
    reducer: Reducer
    reduced: Histogram


@dataclass(frozen=True)
class Done:
    """A block that is durable, and how long that took.

    Attributes
    ----------
    job : Job
        What was written.
    message : BlockDone
        For the head.
    seconds : float
        From the start of the write to the durable commit record.
    """

    job: Job
    message: BlockDone
    seconds: float


class WritingThread:
    """Writes the blocks of a run.

    Parameters
    ----------
    run : str
        Run id.
    worker, device : str
        Who writes, and what it reduces on, for the commit record.
    frame_bytes : int
        Of one raw frame.
    writer : Writer
        Of the run's store.
    done : callable
        Called, in this thread, with each durable block.
    make_room : callable
        Called, in this thread, before each write: encoding takes memory.
    retry_s : float
        Pause before a write that failed is tried again.
    """

    def __init__(
        self,
        run: str,
        worker: str,
        device: str,
        frame_bytes: int,
        writer: Writer,
        done: Callable[[str, Done], None],
        make_room: Callable[[], None] = lambda: None,
        retry_s: float = 1.0,
    ) -> None:
        self.run = run
        self.trouble = ""
        self.lost: DeviceLostError | None = None
        self._worker = worker
        self._device = device
        self._frame_bytes = frame_bytes
        self._writer = writer
        self._done = done
        self._make_room = make_room
        self._retry_s = retry_s
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"write-{run}", daemon=True)
        self._thread.start()

    def put(self, job: Job) -> None:
        """Hand over a block; its reducer must not be touched until it is done."""
        self._jobs.put(job)

    def close(self) -> None:
        """Stop after the write that is under way; blocks that wait are dropped (their agent still holds them)."""
        self._stop.set()
        self._jobs.put(None)
        self._thread.join()
        self._writer.close()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None and not self._stop.is_set():
            self._write_until_durable(job)
            del job  # or it would keep the memory of its slot while this thread waits for the next one

    def _write_until_durable(self, job: Job) -> None:
        """Write; while the disk refuses, keep the block and say so: nothing is acknowledged that is not durable."""
        while not self._stop.is_set():
            try:
                done = self._write(job)
            except StoreError as error:
                self.trouble = str(error)
                self._stop.wait(self._retry_s)
            except DeviceLostError as error:
                self.lost = error  # what was reduced is gone with the device: the worker ends, the agent sends again
                return
            except Exception as error:  # noqa: BLE001 - a thread that ended would hold the run for ever, and say nothing
                self.trouble = f"cannot write block {job.block.number}: {error!r}"
                self._stop.wait(self._retry_s)
            else:
                self.trouble = ""
                self._done(self.run, done)
                return

    def _write(self, job: Job) -> Done:
        began = time.perf_counter()
        commit = write_block(job, self._writer, self._worker, self._device, self._frame_bytes, self._make_room)
        return Done(job, self._message(job, commit), time.perf_counter() - began)

    def _message(self, job: Job, commit: Commit) -> BlockDone:
        durable = Histogram()
        now = wall_ns()
        for frame in job.frames:
            durable.observe((now - frame.timestamp_ns) / 1e9)
        return BlockDone(
            run=self.run,
            block=commit.block,
            frames=Ranges.of(f.number for f in commit.frames),
            raw_bytes=commit.raw_bytes,
            stored_bytes=commit.stored_bytes,
            reduced=(tuple(job.reduced.counts), job.reduced.total_s),
            durable=(tuple(durable.counts), durable.total_s),
        )


def write_block(
    job: Job,
    writer: Writer,
    worker: str,
    device: str,
    frame_bytes: int,
    make_room: Callable[[], None] = lambda: None,
) -> Commit:
    """Make a block durable: its products, then its commit record.

    Parameters
    ----------
    job : Job
    writer : Writer
    worker, device : str
        Who writes, and what it reduces on where the reducer does not say otherwise, for the record.
    frame_bytes : int
        Of one raw frame.
    make_room : callable
        Called before anything is encoded.

    Returns
    -------
    Commit
        The block's record; an earlier one where that holds these frames and more.

    Raises
    ------
    StoreError
        The block is not committed.
    """
    earlier = _earlier(job, writer)
    if earlier is not None:
        return earlier
    make_room()
    parts = job.reducer.finish()
    stored = writer.write(job.block, parts)
    commit = Commit(
        block=job.block.number,
        frames=tuple(job.frames),
        stats=tuple(job.stats),
        worker=worker,
        committed_ns=wall_ns(),
        raw_bytes=frame_bytes * len(job.frames),
        stored_bytes=stored,
        products=tuple(parts),
        tables=job.reducer.tables(),
        device=job.reducer.instead or device,
    )
    writer.commit(commit)
    return commit


def _earlier(job: Job, writer: Writer) -> Commit | None:
    """Give the record of a block that is durable with these frames and more: it must not lose them.

    An agent that died after its frames were durable, but before it heard so, comes back with those of its spool; and
    of a recording that is reduced once more, a frame may not be readable any more.
    """
    if len(job.frames) == job.block.count:
        return None
    earlier = writer.committed(job.block.number)
    held = {(f.number, f.checksum) for f in earlier.frames} if earlier else set()
    return earlier if held.issuperset((f.number, f.checksum) for f in job.frames) else None
