"""NumPy and zarr-python doing the same work, in one process."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..stream.model import Block, FrameStats, Plan
from .contestant import Task
from .measurement import Measurement
from .meter import Meter
from .numpy_reduction import Constants, Reduced, reduce_plain, reduce_tuned
from .numpy_store import XY, NumpyStore
from .workload import OFFSET, frame_numbers

STORE = "numpy.zarr"


def work(task: Task) -> Measurement:
    """Reduce and write until the time is over; everything is durable at the end.

    Option: ``tuned``, whether to use every trick: few passes and temporaries, frames of a block reduced by as many
    threads as there are cores, and the block before written meanwhile.
    """
    bank, reduction = task.workload.bank(), task.workload.reduction(task.seconds)
    plan = reduction.plan
    store = NumpyStore(task.folder / STORE, plan, reduction.products)
    with Meter({"process": [os.getpid()]}) as meter:
        numbers = frame_numbers(plan, task.seconds)
        frames = _record(bank, plan, numbers, store, levels=len(reduction.lane.levels), tuned=task.options["tuned"])
    return Measurement(
        frames=frames,
        seconds=meter.seconds,
        cpu_s=meter.cpu_s,
        peak_bytes=meter.peak_bytes - bank.nbytes,
        raw_bytes=frames * plan.frame_bytes,
        stored_bytes=store.stored_bytes,
    )


def _record(
    bank: NDArray[np.uint16], plan: Plan, numbers: Iterator[int], store: NumpyStore, *, levels: int, tuned: bool
) -> int:
    reduce_frame, constants = reduce_tuned if tuned else reduce_plain, Constants(OFFSET)
    table: list[tuple[FrameStats, int]] = []

    def reduce(number: int) -> tuple[Reduced, int]:
        frame = bank[number % len(bank)]
        return reduce_frame(frame, levels, constants), xxhash.xxh3_64_intdigest(frame.data)

    threads = len(os.sched_getaffinity(0)) if tuned else 1
    with ThreadPoolExecutor(threads) as pool, ThreadPoolExecutor(1) as writer:
        writing: Future[None] | None = None
        for block, _ in groupby(numbers, plan.blocks.block_of):
            done = list(pool.map(reduce, block.frames))
            table += [(reduced.stats, checksum) for reduced, checksum in done]
            parts = gather(block, [reduced for reduced, _ in done])
            if writing is not None:
                writing.result()
            writing = writer.submit(store.write, block, parts)
            if not tuned:
                writing.result()
        if writing is not None:
            writing.result()
    store.finish(table)
    return len(table)


def gather(block: Block, frames: list[Reduced]) -> Mapping[str, NDArray[np.uint16]]:
    """Put the frames of a block together.

    Returns
    -------
    mapping
        By product path, uint16: levels (t, c, z, y, x), ``projections/xy`` (t, c, y, x), ``xz`` (t, c, z, x), ``yz``
        (t, c, z, y).
    """

    def stacked(images: list[NDArray[np.uint16]]) -> NDArray[np.uint16]:
        return np.stack(images).reshape(*block.extent, *images[0].shape)

    levels = {str(k): stacked([f.levels[k] for f in frames]) for k in range(len(frames[0].levels))}
    return {
        **levels,
        XY: levels["0"].max(axis=2),
        "projections/xz": stacked([f.xz for f in frames]),
        "projections/yz": stacked([f.yz for f in frames]),
    }
