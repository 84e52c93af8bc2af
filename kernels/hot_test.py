"""The step `hot_test`: Keller's elbow test on some stacks of a run, as a list of pixels.

It measures and heals nothing: `hot_pixels` heals, and needs its list before the first frame. What this step finds in
one run is for the recipe of the next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ..stream.model import Block, Plan
from ..stream.tables import Column, Rows, Table, columns_of, rows_of
from .elbow import find_outliers
from .kinds import Number, Whole
from .parameters import Parameters, declared
from .stack_sums import StackSums
from .step import Arrays, GpuForm, Planned, Setting, Step

#: What is found in every stack that is tested.
TESTS: Final = Table(
    "hot_test",
    (
        Column("frame", "int64", "", "number of the first frame of the stack"),
        Column("planes", "uint32", "", "frames that were tested"),
        Column("share", "float32", "percent", "pixels found; above hot_test.most none is listed: it is noise"),
        Column("deviation_limit", "float32", "count", "a pixel with more deviation is hot"),
        Column("brightness_limit", "float32", "", "a pixel with more brightness is hot"),
    ),
    "stacks in which hot pixels were looked for",
)
PIXELS: Final = Table(
    "hot_pixels",
    (
        Column("frame", "int64", "", "number of the first frame of the stack"),
        Column("y", "uint32", "pixel", "row on the sensor"),
        Column("x", "uint32", "pixel", "column on the sensor"),
        Column("deviation", "float32", "count", "how far its standard deviation over z is from that of its neighbours"),
        Column("brightness", "float32", "", "how far its mean over z is from theirs, as a part of it"),
    ),
    "pixels that vary along z otherwise than their neighbours, or are brighter or darker",
)
#: Bytes of the sums of one pixel, of each stack that is tested; and of what the test of one stack takes: deviation,
#: brightness and one of them ranked, in float64, and masks.
_SUM_BYTES: Final = 12
_TEST_BYTES: Final = 3 * 8 + 8


@dataclass(frozen=True)
class HotTest(Parameters):
    """Which raw pixels vary along z otherwise than their neighbours, or are brighter or darker (Keller's elbow test).

    On pure noise the test finds 15 to 25 % of all pixels: a curve without outliers has an elbow, too.
    """

    step_name: ClassVar[str] = "hot_test"
    background: float = declared(100, Number("counts", 0, 65535), "what the camera adds to every pixel")
    most: float = declared(2, Number("percent", 1e-3, 100), "where more pixels are found, none is listed: it is noise")
    every: int = declared(
        100, Whole("stacks", 1), "one of so many is tested, at 2048 x 2048 in 0.5 s and 2.3 ms a frame"
    )


class AnySums(Protocol):
    """Sums over the planes of a stack, wherever they are."""

    @property
    def count(self) -> int:
        """Planes so far."""
        ...

    def clear(self) -> None:
        """Forget all planes."""
        ...

    def add(self, frames: Any) -> None:
        """Add planes (z, y, x)."""
        ...

    def finish(self) -> StackSums:
        """Give the sums in host memory."""
        ...


class HotTestReducer:
    """Tests some stacks of one block after another.

    Parameters
    ----------
    plan : Plan
    parameters : HotTest
    make : callable
        Allocates the sums of a stack: `StackSums`, or what has its verbs on a device.
    """

    def __init__(self, plan: Plan, parameters: HotTest, make: Callable[[tuple[int, int]], AnySums] = StackSums) -> None:
        self._planes, self._parameters = plan.shape[2], parameters
        self._spare = [make(plan.frame_shape) for _ in range(_tested(plan, parameters))]
        self._depth, self._sums = 1, dict[int, AnySums]()
        self._block = plan.blocks[0]

    def begin(self, block: Block) -> None:
        """Start a block."""
        self._block, self._depth = block, block.extent[2]
        first = block.first // self._planes
        # Of a stack that spans several blocks the first part is tested.
        stacks = range(first, first + block.extent[0] * block.extent[1]) if not block.origin[2] else range(0)
        tested = [stack - first for stack in stacks if stack % self._parameters.every == 0]
        self._sums = dict(zip(tested, self._spare, strict=False))
        for sums in self._sums.values():
            sums.clear()

    def add(self, at: int, raw: NDArray[np.uint16], level0: NDArray[np.uint16]) -> None:
        """Add a frame of a stack that is tested."""
        sums = self._sums.get(at // self._depth)
        if sums is not None:
            sums.add(raw[None])

    def finish(self, arrays: Arrays, present: NDArray[np.bool_]) -> Mapping[str, Rows]:
        """Test the stacks, those that lost frames by the others."""
        tests: list[tuple[float, ...]] = []
        pixels: list[tuple[NDArray[Any], ...]] = []
        for stack, sums in self._sums.items():
            if sums.count:
                self._test(self._block.first + stack * self._planes, sums, tests, pixels)
        listed = [np.concatenate(parts) for parts in zip(*pixels, strict=True)] if pixels else [()] * 5
        return {TESTS.name: rows_of(TESTS, tests), PIXELS.name: columns_of(PIXELS, listed)}

    def _test(
        self, frame: int, sums: AnySums, tests: list[tuple[float, ...]], pixels: list[tuple[NDArray[Any], ...]]
    ) -> None:
        found = find_outliers(sums.finish(), self._parameters.background)
        share = 100 * float(found.mask.mean())
        tests.append((frame, sums.count, share, found.deviation_limit, found.brightness_limit))
        if share <= self._parameters.most:
            y, x = np.nonzero(found.mask)
            pixels.append((np.full(y.size, frame), y, x, found.deviation[y, x], found.brightness[y, x]))


def _tested(plan: Plan, parameters: HotTest) -> int:
    t, c, _ = plan.blocks.step
    return math.ceil(t * c / parameters.every)


def _plan(parameters: HotTest, setting: Setting) -> Planned:
    plan = setting.plan
    return Planned(
        (),
        (TESTS, PIXELS),
        reducer=lambda: HotTestReducer(plan, parameters),
        on_gpu=GpuForm("hot_test", (plan, parameters)),
        held_bytes=(_tested(plan, parameters) * _SUM_BYTES + _TEST_BYTES) * math.prod(plan.frame_shape),
    )


STEP: Final = Step("hot_test", "stack", "pixels that look hot in some stacks, as a list", HotTest, _plan)
