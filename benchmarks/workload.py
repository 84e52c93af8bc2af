"""What every contestant works on: the same frames from memory, cut into the same blocks, for the same time."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..acquire.source import SourceOptions
from ..acquire.sources.opening import open_source
from ..kernels.recipe import Recipe
from ..kernels.reduction import Reduction, plan_reduction
from ..stream.clock import monotonic_s
from ..stream.errors import UsageError
from ..stream.model import Plan

#: Planes of one stack, as in the recording.
STACK_FRAMES = 88
#: Camera offset of the recording, counts.
OFFSET = 98
#: The rate that blocks are planned for, frames a second; whether anybody keeps to it is another matter.
RATE_HZ = 100.0
#: Frames kept ready in memory take at most this much; 88 frames of 2048 x 2048 fit.
BANK_BYTES = 768 * 2**20
#: No contestant is fed faster than this on average, so that a run has an end on any disk. Bytes of raw frames a second.
CEILING_BYTES_S = 2e9
#: The recording compresses by more than this even with a pyramid of the raw frames beside it.
LEAST_COMPRESSION = 1.5


@dataclass(frozen=True)
class Workload:
    """Frames of a recorded stack, tiled to the size of a sensor.

    Attributes
    ----------
    sample : Path
        The recorded lattice light-sheet stack.
    size : tuple of int
        Frame (y, x), pixels.
    """

    sample: Path
    size: tuple[int, int]

    def __post_init__(self) -> None:
        """Refuse sizes that no contestant can take."""
        if min(self.size) < 16 or max(self.size) > 8192:
            height, width = self.size
            raise UsageError(f"frames of {height}x{width} cannot be compared", "give --size from 16x16 to 8192x8192")

    @property
    def frame_bytes(self) -> int:
        """Bytes of one raw frame."""
        return 2 * self.size[0] * self.size[1]

    @property
    def bank_frames(self) -> int:
        """Frames that are kept ready; they are played again and again."""
        return max(1, min(STACK_FRAMES, BANK_BYTES // self.frame_bytes))

    def bank(self) -> NDArray[np.uint16]:
        """Prepare the frames, uint16 (n, y, x), counts.

        Raises
        ------
        SourceError
            The recording cannot be read.
        """
        frames = np.zeros((self.bank_frames, *self.size), np.uint16)
        source = open_source(str(self.sample), SourceOptions(tile=self.size))
        try:
            for number, frame in enumerate(frames):
                source.fill(number, frame)
        finally:
            source.close()
        return frames

    def plan(self, seconds: float) -> Plan:
        """Plan a run that even the fastest contestant cannot finish within the time.

        Parameters
        ----------
        seconds : float
            Time that frames are fed for.
        """
        most = math.ceil(seconds * CEILING_BYTES_S / self.frame_bytes)
        return Plan(
            shape=(max(1, math.ceil(most / STACK_FRAMES)), 1, STACK_FRAMES, *self.size),
            rate_hz=RATE_HZ,
            source=f"{self.sample.name}, tiled to {self.size[0]}x{self.size[1]}",
        )

    def recipe(self) -> Recipe:
        """Give the reductions that are asked for: the default ones, with the recording's offset."""
        return Recipe.load("lightsheet", [f"calibrate.offset={OFFSET}"])

    def reduction(self, seconds: float) -> Reduction:
        """Give the products of a run, for their shapes and names."""
        return plan_reduction(self.recipe(), self.plan(seconds))

    def need_bytes(self, seconds: float) -> int:
        """Bytes of disk that one run of the hungriest contestant may take: raw frames, compressed, and a pyramid."""
        return int(self.plan(seconds).frames * self.frame_bytes / LEAST_COMPRESSION)

    def as_json(self) -> dict[str, Any]:
        """Give it as JSON types."""
        return {"sample": str(self.sample), "size": list(self.size)}


def parse_size(text: str) -> tuple[int, int]:
    """Read ``HxW``.

    Raises
    ------
    UsageError
        It is something else.
    """
    found = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text)
    if found is None:
        raise UsageError(f"--size {text!r} is not a frame size", "write HxW, for example 2048x2048")
    return int(found[1]), int(found[2])


def frame_numbers(plan: Plan, seconds: float, clock: Callable[[], float] = monotonic_s) -> Iterator[int]:
    """Give frame numbers until the time is over or the plan is done, by whole blocks, at least one.

    Parameters
    ----------
    plan : Plan
        Cut into blocks.
    seconds : float
        From the first number on.
    clock : callable
        Monotonic clock, seconds.
    """
    end = clock() + seconds
    for block in plan.blocks:
        if block.number and clock() >= end:
            return
        yield from block.frames
