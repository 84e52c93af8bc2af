"""The launches that reduce frames of one slot: structures as the CUDA C++ declares them, filled once, used for ever."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .cuda_source import kernel_name
from .device import Buffer, Device, Launch, constant
from .gpu_plan import BLOCK_ROWS, GpuPlan

_HEAL_WARPS: Final = 8
_FINISH_THREADS: Final = 256
_HALVE_THREADS: Final = 256
_TILE: Final = 64
#: Levels that one launch of the pyramid makes from a tile of 64.
_TILE_LEVELS: Final = 6


def _structure(**members: str) -> np.dtype[np.void]:
    return np.dtype(list(members.items()), align=True)


_CALIBRATION: Final = _structure(gain="i8", addend="i8", gains="u8", addends="u8", shift="i4", fraction="i4")
_FRAMES: Final = _structure(raw="u8", place="u8", count="i4", height="i4", width="i4", stack="i4")
_HOT_CELLS: Final = _structure(
    place="u8", pixel_start="u8", donor_start="u8", donor="u8", gain="u8", subtrahend="u8", cells="i4"
)
_HOT_PLACES: Final = _structure(start="u8", place="u8", healed="u8", cells="i4")
_PLANES: Final = _structure(level0="u8", xy="u8", xz="u8", yz="u8", tally="u8")
_FINISHED: Final = _structure(tally="u8", xz="u8", yz="u8")
#: Raw counts of a frame in numbers; ``depth`` is 65535 - min.
TALLY: Final = _structure(squares="u8", sum="u8", depth="u4", high="u4", saturated="u4", unused="u4")
#: By name, for a test that compares sizes with those of the CUDA C++.
STRUCTURES: Final = {
    "Calibration": _CALIBRATION,
    "Frames": _FRAMES,
    "HotCells": _HOT_CELLS,
    "HotPlaces": _HOT_PLACES,
    "Planes": _PLANES,
    "Finished": _FINISHED,
    "Tally": TALLY,
}


@dataclass(frozen=True)
class ConstantBuffers:
    """What every slot reads: maps and hot-pixel lists, on the device."""

    gain_map: Buffer
    addend_map: Buffer
    start: Buffer
    place_in_block: Buffer
    place: Buffer
    pixel_start: Buffer
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
        uint32 (frames, x') and (frames, y'), zero between launches.
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
            xz=device.buffer(4 * frames * x),
            yz=device.buffer(4 * frames * y),
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
    xz, yz, xy : int
        First element of (frames, x'), (frames, y') and (stacks, y', x').
    size : int
        Elements in all.
    """

    levels: tuple[int, ...]
    xz: int
    yz: int
    xy: int
    size: int

    @classmethod
    def of(cls, plan: GpuPlan) -> BlockLayout:
        """Lay the products of a plan's largest block out."""
        ends = np.cumsum([plan.frames * y * x for y, x in plan.levels]).tolist()
        (y, x), at = plan.levels[0], []
        end = ends[-1]
        for size in (plan.frames * x, plan.frames * y, plan.stacks * y * x):
            at.append(-(-end // 8) * 8)
            end = at[-1] + size
        return cls((0, *ends[:-1]), *at, size=end)


def plan_launches(
    plan: GpuPlan, constants: ConstantBuffers, slot: SlotBuffers, layout: BlockLayout, block: Buffer
) -> tuple[Launch, ...]:
    """Fill the arguments of every launch that reduces the frames in a slot, in order.

    Parameters
    ----------
    plan : GpuPlan
    constants : ConstantBuffers
    slot : SlotBuffers
    layout : BlockLayout
    block : Buffer
        The products of the block, as laid out.

    Returns
    -------
    tuple of Launch
        Hot pixels, if there are any; the one pass; the end of it; the pyramid, if there is one.
    """
    fixed, hot = plan.fixed, plan.hot
    shaped = (plan.factor, *fixed.form)
    (height, width), (lines, columns), (across, down) = plan.frame_shape, plan.levels[0], plan.grid
    places = slot.input.address + places_at(plan, slot.frames)
    at = {name: block.address + 2 * getattr(layout, name) for name in ("xy", "xz", "yz")}
    calibration = _filled(
        _CALIBRATION,
        (
            fixed.gain,
            fixed.addend,
            constants.gain_map.address,
            constants.addend_map.address,
            fixed.shift,
            fixed.fraction,
        ),
    )
    frames = _filled(_FRAMES, (slot.input.address, places, slot.frames, height, width, plan.depth))
    cells = hot.place.size
    hot_places = (constants.start.address, constants.place_in_block.address, slot.healed.address, cells)
    planes = (block.address, at["xy"], slot.xz.address, slot.yz.address, slot.shares.address)
    reduce = Launch(
        kernel_name("reduce_frames", *shaped),
        (across, down),
        (32, BLOCK_ROWS),
        (frames, calibration, _filled(_HOT_PLACES, hot_places), _filled(_PLANES, planes)),
    )
    finish = Launch(
        "finish_frames",
        (slot.frames,),
        (_FINISH_THREADS,),
        (
            np.uint64(places),
            np.uint64(slot.shares.address),
            np.int32(across * down),
            np.uint64(slot.xz.address),
            np.uint64(slot.yz.address),
            np.int32(lines),
            np.int32(columns),
            _filled(_FINISHED, (slot.tally.address, at["xz"], at["yz"])),
        ),
    )
    heal = [_heal(plan, constants, slot, calibration)] if cells else []
    return (*heal, reduce, finish, *_pyramid(plan, slot, layout, block, places))


def _heal(plan: GpuPlan, constants: ConstantBuffers, slot: SlotBuffers, calibration: NDArray[np.void]) -> Launch:
    (height, width), cells = plan.frame_shape, plan.hot.place.size
    lists = [getattr(constants, str(name)).address for name in (_HOT_CELLS.names or ())[:-1]]
    return Launch(
        kernel_name("heal_cells", plan.factor, *plan.fixed.form),
        (-(-cells // _HEAL_WARPS), slot.frames),
        (32, _HEAL_WARPS),
        (
            np.uint64(slot.input.address),
            np.int32(height),
            np.int32(width),
            calibration,
            _filled(_HOT_CELLS, (*lists, cells)),
            np.uint64(slot.healed.address),
        ),
    )


def _pyramid(plan: GpuPlan, slot: SlotBuffers, layout: BlockLayout, block: Buffer, places: int) -> list[Launch]:
    launches = []
    for first in range(0, len(plan.levels) - 1, _TILE_LEVELS):
        y, x = plan.levels[first]
        level = np.uint64(block.address + 2 * layout.levels[first])
        made = min(_TILE_LEVELS, len(plan.levels) - 1 - first)
        numbers = (np.int32(n) for n in (plan.frames, y, x, made))
        grid = (-(-x // _TILE), -(-y // _TILE), slot.frames)
        launches.append(Launch("halve_levels", grid, (_HALVE_THREADS,), (np.uint64(places), level, *numbers)))
    return launches


def _filled(structure: np.dtype[np.void], values: tuple[Any, ...]) -> NDArray[np.void]:
    # One element: CuPy passes such an array by value.
    return np.array([values], structure)
