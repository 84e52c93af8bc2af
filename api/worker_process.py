"""The worker process: puts kernels, sinks and the worker of ``stream`` together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..kernels.device import Device
from ..kernels.device_choice import Wish, choose_device, describe
from ..kernels.gpu_ring import SLOTS as GPU_SLOTS
from ..sinks.commits import intact_commits, settle
from ..sinks.disk import check_space, free_bytes, reserve_of
from ..sinks.failure import said
from ..sinks.layout import of_stage, part_bytes
from ..sinks.runfile import StoredRun, load_run, maps_folder, read_run
from ..sinks.writer import StoreWriter, writing_bytes
from ..stream.budget import Need
from ..stream.model import Block, Commit, Plan
from ..stream.ranges import Ranges
from ..stream.tools import Prepared, Writer
from .alarms import LOST_GPU
from .planned import reduction_of, reduction_without_maps
from .tokens import read_token

#: One block fills, one is written, one is between: more only costs memory.
SLOTS = 3
#: What an open run takes beside its blocks: arrays of tensorstore, a thread.
RUN_BYTES = 4 * 2**20
#: What a step beside the lane takes at most for its scratch, on top of what it says: histograms, samples, a spectrum.
STEP_BYTES = 4 * 2**20
#: Bytes a pixel of the frame that calibration maps take at most while they are read and folded, both together.
MAP_BYTES = 40
#: Of so many runs it is remembered what they need, until they are taken up.
WAITING_RUNS = 64


@dataclass(frozen=True)
class ReservingWriter:
    """Writes only while the disk has more than its reserve: a disk that is full to the last byte breaks other things.

    Attributes
    ----------
    inner : Writer
        Does the writing.
    data : Path
        On the disk that is watched.
    reserve_bytes : int
        What stays free.
    """

    inner: Writer
    data: Path
    reserve_bytes: int

    def write(self, block: Block, parts: Mapping[str, NDArray[Any]]) -> int:
        """Write, or raise ``NoSpaceError``."""
        need = sum(p.nbytes for p in parts.values())
        check_space(self.data, need, reserve_of(free_bytes(self.data)[1], self.reserve_bytes))
        return self.inner.write(block, parts)

    def committed(self, block: int) -> Commit | None:
        """Give a block's commit record, if there is a whole one."""
        return self.inner.committed(block)

    def commit(self, commit: Commit) -> None:
        """Write the commit record."""
        self.inner.commit(commit)

    def close(self) -> None:
        """Free what is held."""
        self.inner.close()


def device_of(wish: Wish, *, had_gpu: bool) -> tuple[Device | None, str]:
    """Open the device of a worker, and say what it is.

    A worker that loses its GPU ends, its agents send again what it had not acknowledged, and in its next life it takes
    the CPU if the GPU does not come back: slower, and with an alarm, but no frame is lost.

    Parameters
    ----------
    wish : str
        As `choose_device`.
    had_gpu : bool
        Whether the worker had a GPU in its last life.

    Returns
    -------
    device : Device or None
    told : str
        For the report; begins with `LOST_GPU` where the CPU stands in for a GPU.

    Raises
    ------
    NoDeviceError
        A GPU is wished for, there never was one, and none can be used.
    """
    device = choose_device("auto" if had_gpu else wish)
    return device, LOST_GPU if had_gpu and device is None else str(describe(device))


@dataclass(frozen=True)
class PrepareOnDisk:
    """Makes runs ready from their stores.

    Attributes
    ----------
    reserve_bytes : int
        Disk that is never filled.
    device : Device, optional
        A GPU to reduce on.
    """

    reserve_bytes: int
    device: Device | None = None
    _needs: dict[str, Need] = field(default_factory=dict[str, Need], init=False, repr=False, compare=False)

    def need(self, store: str) -> tuple[Plan, Need]:
        """Tell what a run will take, from its description alone; a run that waits for memory is asked for often."""
        stored = read_run(Path(store))
        run = stored.run
        if run.id not in self._needs:
            if len(self._needs) >= WAITING_RUNS:
                self._needs.clear()
            self._needs[run.id] = self._need(store, stored)
        return run.plan, self._needs[run.id]

    def _need(self, store: str, stored: StoredRun) -> Need:
        plan, block = stored.run.plan, stored.run.plan.blocks[0]
        parts = [part_bytes(plan, p, block) for p in of_stage(stored.products, "block")]
        maps = math.prod(plan.frame_shape) * MAP_BYTES if any(maps_folder(Path(store)).iterdir()) else 0
        pinned = GPU_SLOTS * plan.frame_bytes if self.device else 0
        beside = sum(STEP_BYTES + step.held_bytes for step in reduction_without_maps(stored.run).steps)
        return Need(RUN_BYTES + maps, sum(parts) + pinned + beside, writing_bytes(plan, stored.products))

    def __call__(self, store: str) -> Prepared:
        """Read the run, plan its reduction, open its arrays; buffers are allocated when frames come."""
        path = Path(store)
        run, products, maps = load_run(path)
        self._needs.pop(run.id, None)
        reduction = reduction_of(run, maps)
        writer = ReservingWriter(StoreWriter(path, run.plan, products), path, self.reserve_bytes)
        with said(f"read the commit records of {store}"):
            settle(path)
            committed = Ranges.of(commit.block for commit in intact_commits(path))
        slots = min(SLOTS, len(run.plan.blocks))
        return Prepared(run, read_token(path), committed, slots, partial(reduction.reducer, self.device), writer)
