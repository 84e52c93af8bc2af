"""What yields frames to the agent."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..stream.errors import SourceError, UsageError
from ..stream.model import Plan


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source is to be played.

    Attributes
    ----------
    tile : tuple of int or None
        Sensor size (y, x), pixels, that a recorded field is repeated over; None leaves it at its own size.
    loop : int
        How often a recording is played, along t.
    rate_hz : float or None
        Planned frame rate, frames per second; None for as fast as it can.
    axes : str or None
        Meaning of the planes of a recording, slowest first, with sizes where they are ambiguous: ``"t"``,
        ``"t=10,z=50"``, ``"t10z50"``, ``"tzyx"``. None: what the file says, else one stack.
    """

    tile: tuple[int, int] | None = None
    loop: int = 1
    rate_hz: float | None = None
    axes: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no source can play."""
        if self.tile is not None and min(self.tile) < 1:
            raise UsageError(f"tile {self.tile[0]}x{self.tile[1]} has no pixels", "give --tile HxW, at least 1x1")
        if self.loop < 1:
            raise UsageError(f"loop {self.loop} plays nothing", "give --loop 1 or more")
        if self.rate_hz is not None and not (math.isfinite(self.rate_hz) and self.rate_hz > 0):
            raise UsageError(f"rate {self.rate_hz} Hz is not a positive number", "give --rate in frames per second")


class Source(Protocol):
    """What yields the frames of one acquisition, in order, into buffers that the caller owns."""

    @property
    def plan(self) -> Plan:
        """What the source will yield."""
        ...

    def fill(self, number: int, out: NDArray[np.uint16]) -> None:
        """Put frame ``number`` into ``out``; blocks until the frame exists.

        Parameters
        ----------
        number : int
            Frame number, larger at every call.
        out : uint16 (y, x), counts
            C-contiguous, of the plan's frame shape.

        Raises
        ------
        SourceError
            The frame cannot be had; the message names where it was to come from, and the remedy.
        """
        ...

    def close(self) -> None:
        """Give back files and memory; harmless when repeated."""
        ...


def check_request(plan: Plan, number: int, out: NDArray[np.uint16]) -> None:
    """Refuse a ``fill`` that the plan does not allow.

    Raises
    ------
    SourceError
        The number is not one of the plan's, or ``out`` is no C-contiguous uint16 array of its frame shape.
    """
    if not 0 <= number < plan.frames:
        raise SourceError(f"frame {number} was asked of a source with {plan.frames} frames", "follow the plan")
    if out.shape != plan.frame_shape or out.dtype != np.uint16 or not out.flags.c_contiguous:
        raise SourceError(
            f"a buffer {out.dtype} {out.shape} was given for frames uint16 {plan.frame_shape}",
            "give one C-contiguous uint16 array (y, x)",
        )
