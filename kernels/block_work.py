"""A block at work: the lane and the steps beside it, all on the CPU, or as far as they can on a GPU."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..stream.errors import DeviceLostError
from ..stream.model import Block, FrameStats
from ..stream.report import IN_PLACE_OF_GPU
from ..stream.tables import Rows
from .device import Device
from .gpu_lane import GpuLane
from .gpu_plan import plan_gpu
from .gpu_reducers import GPU_REDUCERS
from .lane import Lane, LanePlan
from .step import Arrays, Planned, StepReducer

log = logging.getLogger(__name__)


class BlockWork(Protocol):
    """What makes the products of one block after another, frame by frame, with all buffers that this takes."""

    def begin(self, block: Block) -> None:
        """Start a block; what the last one left is forgotten."""
        ...

    def take(self, at: int, pixels: NDArray[np.uint16]) -> None:
        """Take the raw frame at a place of the block, in any order, each once; it is free again at once."""
        ...

    def stats(self, at: int) -> FrameStats:
        """Give the numbers of a frame that was taken, after waiting for it."""
        ...

    def level0(self, at: int) -> NDArray[np.uint16]:
        """Give the plane of level 0 of a frame that was taken, uint16 (y', x')."""
        ...

    def finish(self, present: NDArray[np.bool_]) -> tuple[Arrays, dict[str, Rows]]:
        """Complete the block, of which these frames (t, c, z) came; gives all arrays by path, and rows by table."""
        ...


class HostWork:
    """A block on the CPU.

    Parameters
    ----------
    plan : LanePlan
    steps : sequence of Planned
        Those beside the lane, in their order.
    """

    def __init__(self, plan: LanePlan, steps: Sequence[Planned]) -> None:
        self._lane = Lane(plan)
        self._steps = [step.reducer() for step in steps if step.reducer]
        self._stats: dict[int, FrameStats] = {}

    def begin(self, block: Block) -> None:
        """Start a block."""
        self._stats.clear()
        self._lane.begin(block.extent)
        for step in self._steps:
            step.begin(block)

    def take(self, at: int, pixels: NDArray[np.uint16]) -> None:
        """Reduce a frame."""
        self._stats[at] = self._lane.add(at, pixels)
        for step in self._steps:
            step.add(at, pixels, self._lane.level0(at))

    def stats(self, at: int) -> FrameStats:
        """Give the numbers of a frame."""
        return self._stats[at]

    def level0(self, at: int) -> NDArray[np.uint16]:
        """Give a plane of level 0."""
        return self._lane.level0(at)

    def finish(self, present: NDArray[np.bool_]) -> tuple[Arrays, dict[str, Rows]]:
        """Complete the block."""
        arrays, tables = self._lane.finish(present), dict[str, Rows]()
        for step in self._steps:
            tables |= step.finish(arrays, present)
        return arrays, tables


class GpuWork:
    """A block on a GPU. Steps that have no form there look at each frame when it comes back.

    A frame is sent, with the work of the steps behind that of the lane in the stream of its slot; nobody waits for it
    but who needs its slot again, or its numbers.

    Parameters
    ----------
    lane : GpuLane
    steps : sequence of Planned
        Those beside the lane, in their order.
    device : Device

    Raises
    ------
    DeviceLostError
        The device has too little memory, or cannot be used; so every method, when it is lost.
    """

    def __init__(self, lane: GpuLane, steps: Sequence[Planned], device: Device) -> None:
        self._lane, self._device = lane, device
        self._there: list[StepReducer] = []
        self._here: list[StepReducer] = []
        self._steps: list[StepReducer] = []
        for step in steps:
            if step.on_gpu:
                # Only here: where no step has a form, none is compiled.
                with device.on(lane.stream) as accelerator:
                    self._there.append(GPU_REDUCERS[step.on_gpu.name](accelerator, *step.on_gpu.told))
            elif step.reducer:
                self._here.append(step.reducer())
            self._steps.append(self._there[-1] if step.on_gpu else self._here[-1])
        lane.accompany(self._asked if self._there else None, self._back if self._here else None)

    def begin(self, block: Block) -> None:
        """Start a block."""

        def forget() -> None:
            for step in self._there:
                step.begin(block)

        self._lane.begin(block.extent, forget if self._there else None)
        for step in self._here:
            step.begin(block)

    def take(self, at: int, pixels: NDArray[np.uint16]) -> None:
        """Send a frame to the device."""
        self._lane.send(at, pixels)

    def stats(self, at: int) -> FrameStats:
        """Give the numbers of a frame, after waiting for it."""
        return self._lane.stats(at)

    def level0(self, at: int) -> NDArray[np.uint16]:
        """Fetch a plane of level 0."""
        return self._lane.level0(at)

    def finish(self, present: NDArray[np.bool_]) -> tuple[Arrays, dict[str, Rows]]:
        """Complete the block; the device is done with all of its frames first."""
        arrays, tables = self._lane.finish(present), dict[str, Rows]()
        for step in self._steps:
            with self._device.on(self._lane.stream) if step in self._there else nullcontext():
                tables |= step.finish(arrays, present)
        return arrays, tables

    def _asked(self, at: int, raw: NDArray[np.uint16], level0: NDArray[np.uint16]) -> None:
        for step in self._there:
            step.add(at, raw, level0)

    def _back(self, at: int, raw: NDArray[np.uint16], level0: NDArray[np.uint16]) -> None:
        for step in self._here:
            step.add(at, raw, level0)


def open_work(plan: LanePlan, steps: Sequence[Planned], device: Device | None) -> tuple[BlockWork, str]:
    """Allocate the buffers for one block on the device, or on the CPU where there is none.

    The CPU takes over, and the log says so, where the kernels of the GPU do not do what the recipe asks for, and where
    the GPU has no room or cannot be used: a slower reduction is better than none.

    Parameters
    ----------
    plan : LanePlan
    steps : sequence of Planned
        Those beside the lane, in their order.
    device : Device or None
        None: the CPU.

    Returns
    -------
    work : BlockWork
    instead : str
        What it works on in place of a GPU, and why, for an alarm; else empty.
    """
    if device is None:
        return HostWork(plan, steps), ""
    gpu = plan_gpu(plan)
    if isinstance(gpu, str):
        log.warning("blocks are reduced on the CPU: %s", gpu)
        return HostWork(plan, steps), ""
    try:
        return GpuWork(GpuLane(gpu, device), steps, device), ""
    except DeviceLostError as error:
        log.warning("blocks are reduced on the CPU: %s", error)
        return HostWork(plan, steps), f"{IN_PLACE_OF_GPU}: {error.what}"
