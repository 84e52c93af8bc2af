"""The launches that reduce frames of one slot: every argument filled once, used for ever."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from .cuda_source import binned_name, kernel_name
from .device import Buffer, Launch
from .fixed_point import FixedPoint
from .gpu_buffers import BlockLayout, ConstantBuffers, SlotBuffers, places_at
from .gpu_plan import BLOCK_ROWS, GpuPlan
from .gpu_structures import (
    CALIBRATION,
    CELL_CALIBRATION,
    CELL_PLANES,
    FINISHED,
    FRAMES,
    HOT_CELLS,
    HOT_PLACES,
    PLANES,
    RAISED,
    filled,
)
from .projections import MODES

_HEAL_WARPS: Final = 8
_FINISH_THREADS: Final = 256
_HALVE_THREADS: Final = 256
_TILE: Final = 64
#: Levels that one launch of the pyramid makes from a tile of 64.
_TILE_LEVELS: Final = 6


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
    (height, width), (across, down) = plan.frame_shape, plan.grid
    places = slot.input.address + places_at(plan, slot.frames)
    calibration = _calibration(plan, constants)
    frames = filled(FRAMES, slot.input.address, places, slot.frames, height, width, plan.depth)
    cells = plan.hot.place.size
    hot = filled(HOT_PLACES, constants.start.address, constants.place_in_block.address, slot.healed.address, cells)
    planes = _planes(plan, slot, layout, block) if plan.usual else _cell_planes(plan, slot, layout, block)
    name = _kernel(plan, "reduce_frames" if plan.usual else "reduce_cells")
    reduce = Launch(name, (across, down), (32, BLOCK_ROWS), (frames, calibration, hot, planes))
    heal = [_heal(plan, constants, slot, calibration)] if cells else []
    return (*heal, reduce, _finish(plan, slot, layout, block, places), *_pyramid(plan, slot, layout, block, places))


def _kernel(plan: GpuPlan, kernel: str) -> str:
    if isinstance(plan.fixed, FixedPoint):
        return kernel_name(kernel, plan.factor, *plan.fixed.form)
    return binned_name(kernel, plan.factor, plan.mode)


def _calibration(plan: GpuPlan, constants: ConstantBuffers) -> NDArray[np.void]:
    fixed, gains, addends = plan.fixed, constants.gain_map.address, constants.addend_map.address
    if isinstance(fixed, FixedPoint):
        return filled(CALIBRATION, fixed.gain, fixed.addend, gains, addends, fixed.shift, fixed.fraction)
    gains, addends = gains if fixed.gain_map.size else 0, addends if fixed.addend_map.size else 0
    return filled(CELL_CALIBRATION, fixed.gain, fixed.addend, fixed.lift, gains, addends, fixed.fraction)


def _planes(plan: GpuPlan, slot: SlotBuffers, layout: BlockLayout, block: Buffer) -> NDArray[np.void]:
    xy = _at(layout, block, "z", "max")
    return filled(PLANES, block.address, xy, slot.xz.address, slot.yz.address, slot.shares.address)


def _cell_planes(plan: GpuPlan, slot: SlotBuffers, layout: BlockLayout, block: Buffer) -> NDArray[np.void]:
    mask = block.address + 2 * layout.mask if plan.saturation else 0
    along_z = (_at(layout, block, "z", mode) for mode in MODES)
    raised = _raised(plan, slot, layout)
    return filled(CELL_PLANES, block.address, mask, *along_z, *raised, slot.shares.address, plan.saturation)


def _at(layout: BlockLayout, block: Buffer, axis: str, mode: str) -> int:
    # 0 where nobody asked for it.
    return block.address + 2 * layout.views[axis, mode] if (axis, mode) in layout.views else 0


def _raised(plan: GpuPlan, slot: SlotBuffers, layout: BlockLayout) -> tuple[tuple[int, ...], tuple[int, ...]]:
    lines, columns = plan.levels[0]
    sides = (("y", slot.xz, columns), ("x", slot.yz, lines))
    xz, yz = (
        tuple(
            line.address + 4 * k * slot.frames * size if (axis, mode) in layout.views else 0
            for k, mode in enumerate(MODES)
        )
        for axis, line, size in sides
    )
    return xz, yz


def _finish(plan: GpuPlan, slot: SlotBuffers, layout: BlockLayout, block: Buffer, places: int) -> Launch:
    (lines, columns), (across, down) = plan.levels[0], plan.grid
    xz, yz = (tuple(_at(layout, block, axis, mode) for mode in MODES) for axis in ("y", "x"))
    arguments = (
        np.uint64(places),
        np.uint64(slot.shares.address),
        np.int32(across * down),
        filled(RAISED, *_raised(plan, slot, layout)),
        np.int32(lines),
        np.int32(columns),
        filled(FINISHED, slot.tally.address, xz, yz),
    )
    return Launch("finish_frames", (slot.frames,), (_FINISH_THREADS,), arguments)


def _heal(plan: GpuPlan, constants: ConstantBuffers, slot: SlotBuffers, calibration: NDArray[np.void]) -> Launch:
    (height, width), cells = plan.frame_shape, plan.hot.place.size
    lists = [getattr(constants, str(name)).address for name in (HOT_CELLS.names or ())[:-1]]
    return Launch(
        _kernel(plan, "heal_cells" if plan.usual else "heal_any_cells"),
        (-(-cells // _HEAL_WARPS), slot.frames),
        (32, _HEAL_WARPS),
        (
            np.uint64(slot.input.address),
            np.int32(height),
            np.int32(width),
            calibration,
            filled(HOT_CELLS, *lists, cells),
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
