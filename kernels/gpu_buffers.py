"""What the lane has on a device: maps and lists, what one slot works in, and where the products of a block lie."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .device import Buffer, Device, constant
from .gpu_plan import GpuPlan
from .gpu_structures import TALLY
from .projections import MODES
from .views import USUAL, kept_as


@dataclass(frozen=True)
class ConstantBuffers:
    """What every slot reads: maps and hot-pixel lists, on the device."""

    gain_map: Buffer
    addend_map: Buffer
    start: Buffer
    place_in_block: Buffer
    place: Buffer
    pixel_start: Buffer
    weight: Buffer
    donor_start: Buffer
    donor: Buffer
    gain: Buffer
    subtrahend: Buffer

    @classmethod
    def of(cls, plan: GpuPlan, device: Device) -> ConstantBuffers:
        """Put the arrays of a plan on the device.

        Parameters
        ----------
        plan : GpuPlan
        device : Device

        Returns
        -------
        ConstantBuffers
        """
        arrays = {"gain_map": plan.fixed.gain_map, "addend_map": plan.fixed.addend_map}
        arrays |= {field.name: getattr(plan.hot, field.name) for field in fields(plan.hot)}
        return cls(**{name: constant(device, array) for name, array in arrays.items()})


@dataclass(frozen=True)
class SlotBuffers:
    """What one slot works in.

    Attributes
    ----------
    frames : int
        Frames of one launch.
    input : Buffer
        Raw frames, uint16 (frames, y, x), then from `SlotBuffers.places` on the place of each in the block, int32.
    xz, yz : Buffer
        uint32 (`MODES`, frames, x') and (`MODES`, frames, y'), zero between launches.
    shares, tally : Buffer
        `TALLY` (frames, blocks of threads) and (frames,).
    healed : Buffer
        uint16 (frames, cells with listed pixels).
    """

    frames: int
    input: Buffer
    xz: Buffer
    yz: Buffer
    shares: Buffer
    tally: Buffer
    healed: Buffer

    @classmethod
    def of(cls, plan: GpuPlan, device: Device, frames: int = 1) -> SlotBuffers:
        """Allocate for so many frames a launch."""
        (y, x), (across, down) = plan.levels[0], plan.grid
        return cls(
            frames,
            input=device.buffer(input_bytes(plan, frames)),
            xz=device.buffer(4 * len(MODES) * frames * x),
            yz=device.buffer(4 * len(MODES) * frames * y),
            shares=device.buffer(TALLY.itemsize * frames * across * down),
            tally=device.buffer(TALLY.itemsize * frames),
            healed=device.buffer(max(16, 2 * frames * plan.hot.place.size)),
        )


def places_at(plan: GpuPlan, frames: int) -> int:
    """Give the byte of a slot's input where the places begin: after the frames, at a multiple of 16."""
    return -(-2 * frames * plan.frame_shape[0] * plan.frame_shape[1] // 16) * 16


def input_bytes(plan: GpuPlan, frames: int) -> int:
    """Give the size of a slot's input, places included."""
    return places_at(plan, frames) + 4 * frames


@dataclass(frozen=True)
class BlockLayout:
    """Where the products of a block lie in one buffer, uint16; all begin at multiples of 16 bytes but the levels.

    Attributes
    ----------
    levels : tuple of int
        First element of every level, (frames, y, x), one after the other without gaps.
    mask : int
        First element of the label of saturation, uint8 (frames, y', x'), if there is one.
    views : mapping
        First element of every projection by axis and mode: along y (frames, x'), along x (frames, y'), along z
        (stacks, y', x'), of which means are sums in uint32 and minima are 65535 - value.
    running : int
        First element of those along z, which must be zero before the first frame of a block.
    size : int
        Elements in all.
    """

    levels: tuple[int, ...]
    mask: int
    views: Mapping[tuple[str, str], int]
    running: int
    size: int

    @classmethod
    def of(cls, plan: GpuPlan) -> BlockLayout:
        """Lay the products of a plan's largest block out."""
        ends = np.cumsum([plan.frames * y * x for y, x in plan.levels]).tolist()
        mask = end = _aligned(ends[-1])
        end += -(-plan.frames * math.prod(plan.levels[0]) // 2) if plan.saturation else 0
        views: dict[tuple[str, str], int] = {}
        running = 0
        for along_z in (False, True):
            running = _aligned(end)
            for view, shape in view_shapes(plan).items():
                if (view[0] == "z") is along_z:
                    views[view] = _aligned(end)
                    end = views[view] + math.prod(shape) * np.dtype(kept_as(*view)).itemsize // 2
        return cls((0, *ends[:-1]), mask, views, running, size=max(end, running))


def view_shapes(plan: GpuPlan) -> dict[tuple[str, str], tuple[int, ...]]:
    """Give the shapes of the projections that the pass makes, by axis and mode; the usual pass always makes three."""
    y, x = plan.levels[0]
    shapes = {"z": (plan.stacks, y, x), "y": (plan.frames, x), "x": (plan.frames, y)}
    return {view: shapes[view[0]] for view in (USUAL if plan.usual else plan.views.chosen)}


def part_of(host: NDArray[np.uint16], first: int, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Give the part of a block's products in host memory that begins at an element of `BlockLayout`."""
    size = -(-math.prod(shape) * np.dtype(dtype).itemsize // 2)
    return host[first : first + size].view(dtype)[: math.prod(shape)].reshape(shape)


def _aligned(element: int) -> int:
    return -(-element // 8) * 8
