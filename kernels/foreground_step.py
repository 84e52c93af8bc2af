"""The step `foreground`: labels of the specimen, and cells without any left out of all levels.

A cell is 64 × 64 pixels of one plane of level 0; in level k it is 64 / 2ᵏ pixels wide, so that a level stays the 2 × 2
mean of the one before it. Levels whose pixels are larger than a cell are halved again. Projections are of the whole
stack.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ..stream.model import Block, Plan, Product
from ..stream.tables import Column, Rows, Table
from .compiled import entry
from .foreground import LEAST_Z_STEP, SAMPLE_BYTES, Foreground, ForegroundMasker, Mask, samples_of
from .pyramid import halve
from .row_buffer import RowBuffer
from .step import Arrays, GpuForm, Planned, Setting, Step, part_size

#: Side of a cell, level-0 pixels, and its binary digits.
CELL: Final = 64
_DIGITS: Final = CELL.bit_length() - 1
#: What is measured of every stack.
TABLE: Final = Table(
    "foreground",
    (
        Column("frame", "int64", "", "number of the first frame of the stack"),
        Column("level", "float64", "count", "a smoothed pixel of level 0 above it is foreground"),
        Column("foreground", "uint64", "", "number of foreground pixels"),
        Column("background_cells", "uint32", "", "cells of 64 x 64 pixels of a plane without a foreground pixel"),
    ),
    "the foreground of every stack; of one with lost frames, that of the others",
)


class Masks(Protocol):
    """What masks one stack after another, as `ForegroundMasker`."""

    def mask(self, stack: NDArray[np.uint16], out: NDArray[np.uint8]) -> Mask:
        """Mask a stack (z, y, x) in host memory."""
        ...


class ForegroundReducer:
    """Masks the stacks of one block after another.

    Parameters
    ----------
    plan : Plan
    levels : tuple of Product
    parameters : Foreground
    make : callable
        Makes what masks a stack: `ForegroundMasker`, or what has its verb.
    """

    def __init__(
        self,
        plan: Plan,
        levels: tuple[Product, ...],
        parameters: Foreground,
        make: Callable[[tuple[int, int, int], Foreground, tuple[int, int, int]], Masks] = ForegroundMasker,
    ) -> None:
        t, c, z = plan.blocks.step
        self._block, self._omit = plan.blocks[0], parameters.omit
        self._levels = tuple(level.path for level in levels)
        height, width = levels[0].shape[3:]
        self._masker = make((z, height, width), parameters, (1, CELL, CELL))
        # Filled, not only asked for: the system hands a page out when it is first written to.
        self._labels = np.full(part_size(levels[0], plan), 0, np.uint8)
        self._rows = RowBuffer(TABLE, t * c)

    def begin(self, block: Block) -> None:
        """Start a block."""
        self._block = block

    def add(self, at: int, raw: NDArray[np.uint16], level0: NDArray[np.uint16]) -> None:
        """Wait: the level is that of the whole stack."""

    def finish(self, arrays: Arrays, present: NDArray[np.bool_]) -> Mapping[str, Rows]:
        """Mask every stack; planes that never came are background."""
        levels = [arrays[path].reshape(-1, *arrays[path].shape[2:]) for path in self._levels]
        labels = self._labels[: levels[0].size].reshape(levels[0].shape)
        there = present.reshape(-1, present.shape[2])
        for stack, planes in enumerate(there):
            if planes.any():
                self._mask(stack, planes, [level[stack] for level in levels], labels[stack])
            else:
                labels[stack] = 0
        arrays["labels/foreground"] = labels.reshape(arrays["0"].shape)
        return {TABLE.name: self._rows.take(self._block.first, present.shape[2], np.asarray(there.any(axis=1)))}

    def _mask(
        self, stack: int, planes: NDArray[np.bool_], levels: list[NDArray[np.uint16]], labels: NDArray[np.uint8]
    ) -> None:
        whole = planes.all()
        # Planes that were lost are no dark planes: the others are masked as if they were neighbours.
        counts = levels[0] if whole else levels[0][planes]
        found = self._masker.mask(counts, labels[: len(counts)])
        self._rows.put(stack, found.level, found.foreground, int(found.background.sum()))
        background = found.background
        if not whole:
            # From behind: no plane moves to where one still waits.
            for at, place in reversed(list(enumerate(np.flatnonzero(planes)))):
                labels[place] = labels[at]
            labels[~planes] = 0
            background = np.zeros((len(planes), *background.shape[1:]), bool)
            background[planes] = found.background
        if self._omit and background.any():
            omit_cells(levels, background)


def omit_cells(levels: list[NDArray[np.uint16]], background: NDArray[np.bool_]) -> None:
    """Set cells to 0 in every level.

    Parameters
    ----------
    levels : list of uint16 (z, y, x)
        Level 0 first, each the 2 × 2 mean of the one before, which is what they are afterwards, too.
    background : bool (z, y / 64, x / 64), rounded up
        True where a cell becomes 0.
    """
    for k, level in enumerate(levels):
        if k <= _DIGITS:
            _clear(level, background, CELL >> k)
            continue
        for fine, coarse in zip(levels[k - 1], level, strict=True):
            halve(fine, coarse)


@entry
def _clear(level: Any, background: Any, side: int) -> None:
    for z in range(level.shape[0]):
        for y in range(level.shape[1]):
            line, cells = level[z, y], background[z, y // side]
            for i in range(cells.size):
                if cells[i]:
                    line[i * side : min((i + 1) * side, line.size)] = 0


def _plan(parameters: Foreground, setting: Setting) -> Planned:
    plan, level0 = setting.plan, setting.levels[0]
    parameters = replace(parameters, z_step=parameters.z_step or _z_step(plan, level0))
    labels = Product(
        "labels/foreground",
        "tczyx",
        level0.shape,
        "uint8",
        level0.factor_yx,
        shows="label",
        meaning="1 where the smoothed pixel is above the level of its stack, which the table foreground has",
        sparse=True,
    )
    return Planned(
        (labels, *(_changed(p) for p in setting.products if parameters.omit and _changes(p))),
        (TABLE,),
        reducer=lambda: ForegroundReducer(plan, setting.levels, parameters),
        on_gpu=GpuForm("foreground", (plan, setting.levels, parameters)),
        changes=parameters.omit,
        held_bytes=_held_bytes((plan.blocks.step[2], level0.shape[3], level0.shape[4])),
    )


def _held_bytes(stack: tuple[int, int, int]) -> int:
    # The planes that came of a stack that lost some, side by side; and what its level is taken from, ranked twice.
    return 2 * math.prod(stack) + SAMPLE_BYTES * samples_of(stack)


def _z_step(plan: Plan, level0: Product) -> float:
    z, x = plan.pixel.z_um, plan.pixel.x_um
    step = z / (x * level0.factor_yx) if z and x else 1.0
    return min(max(step, LEAST_Z_STEP), 1000) if math.isfinite(step) and step > 0 else 1.0


def _changes(product: Product) -> bool:
    return product.path.isdigit() or product.follows == "level 0"


def _changed(product: Product) -> Product:
    if not product.path.isdigit():
        # It is of the stack before cells were left out.
        return replace(product, follows="")
    told = f"cells of {CELL} x {CELL} pixels of level 0 without foreground are 0"
    return replace(product, attributes={**product.attributes, "omitted": told}, sparse=True)


STEP: Final = Step(
    "foreground",
    "stack",
    "labels of the specimen; cells without any are left out",
    Foreground,
    _plan,
    whole_stacks=True,
)
