"""The lane of a reduction on the device that a worker has."""

from __future__ import annotations

import logging
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ..stream.errors import DeviceLostError
from ..stream.model import FrameStats
from ..stream.report import IN_PLACE_OF_GPU
from .device import Device
from .gpu_lane import GpuLane
from .gpu_plan import plan_gpu
from .lane import Lane, LanePlan
from .step import Arrays

log = logging.getLogger(__name__)

#: What a worker works on whose GPU has no room for a block.
FULL_GPU: Final = f"{IN_PLACE_OF_GPU} that has no room"


class AnyLane(Protocol):
    """What a block is reduced by, frame by frame: `Lane` on the CPU, `GpuLane` on a GPU."""

    def begin(self, extent: tuple[int, int, int]) -> None:
        """Start a block of (t, c, z) frames; what the last one left is forgotten."""
        ...

    def add(self, at: int, pixels: NDArray[np.uint16]) -> FrameStats:
        """Reduce one frame, in any order, each once."""
        ...

    def level0(self, at: int) -> NDArray[np.uint16]:
        """Give the plane of level 0 of a frame that was added, uint16 (y', x')."""
        ...

    def finish(self, present: NDArray[np.bool_]) -> Arrays:
        """Complete the block: array of every product by path."""
        ...


def open_lane(plan: LanePlan, device: Device | None) -> tuple[AnyLane, str]:
    """Allocate the buffers for one block on the device, or on the CPU where there is none.

    The CPU takes over, and the log says so, where the kernels of the GPU do not do what the recipe asks for, and where
    the GPU has no room: a slower reduction is better than none.

    Parameters
    ----------
    plan : LanePlan
    device : Device or None
        None: the CPU.

    Returns
    -------
    lane : AnyLane
    instead : str
        What it works on in place of a GPU that has no room, for an alarm; else empty.
    """
    if device is None:
        return Lane(plan), ""
    gpu = plan_gpu(plan)
    if isinstance(gpu, str):
        log.warning("blocks are reduced on the CPU: %s", gpu)
        return Lane(plan), ""
    try:
        return GpuLane(gpu, device), ""
    except DeviceLostError as error:
        log.warning("blocks are reduced on the CPU: %s", error)
        return Lane(plan), FULL_GPU
