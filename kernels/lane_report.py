"""What the one pass over a raw frame does together, and how much memory it moves for a frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .lane import LanePlan


@dataclass(frozen=True)
class LaneReport:
    """The pass in numbers, all computed.

    What lies in a cache because it was just made costs nothing: rows of cells, level 0 while the further levels are
    made of it, a frame while it is copied. A line that is written without having been read is first fetched by the CPU
    (write-allocate), so it counts as read, too.

    Attributes
    ----------
    fused : tuple of str
        Steps that it does, in the order in which they act.
    read_bytes : int
        Of a frame: the raw counts once, 2·Y·X; maps, 2 or 4 bytes a raw pixel for gains and 2, 4 or 8 a cell for
        offsets (a pixel, where a cell is the largest of its pixels); the running projections along z, 2 bytes a pixel
        of level 0, 4 for means; and all of ``written_bytes`` but these projections, by write-allocate.
    written_bytes : int
        All levels, projections along z as read, those along y and x, and the frame again if it is kept. Of a label of
        saturation only rows with saturated pixels are written: it does not count.
    """

    fused: tuple[str, ...]
    read_bytes: int
    written_bytes: int

    @property
    def moved_bytes(self) -> int:
        """Read and written."""
        return self.read_bytes + self.written_bytes


def lane_report(plan: LanePlan) -> LaneReport:
    """Say what the pass of a plan does, and what it moves.

    Parameters
    ----------
    plan : LanePlan
    """
    frame = 2 * math.prod(plan.frame_shape)
    running = sum(_bytes_along_z(plan, mode) for axis, mode in plan.views.chosen if axis == "z")
    once = sum(2 * math.prod(size) for size in plan.levels) + (frame if plan.keep_raw else 0)
    once += sum(2 * plan.levels[0][axis == "y"] for axis, _ in plan.views.chosen if axis != "z")
    return LaneReport(plan.parts, frame + _map_bytes(plan) + running + once, running + once)


def _bytes_along_z(plan: LanePlan, mode: str) -> int:
    return (4 if mode == "mean" else 2) * math.prod(plan.levels[0])


def _map_bytes(plan: LanePlan) -> int:
    # The arrays that the pass really reads; those that stand in for a number have one element or none.
    calibration, narrow = plan.calibration, plan.narrow
    gains = narrow.codes if narrow.coded else calibration.gain_map
    bases = narrow.base_codes if narrow.float32 else calibration.base_map
    return sum(array.nbytes for array in (gains, bases, calibration.pixel_base) if array.size > 1)
