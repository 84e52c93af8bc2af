"""Structures that kernels are called with, as the CUDA C++ of the lane declares them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray


def _structure(**members: str) -> np.dtype[np.void]:
    return np.dtype(list(members.items()), align=True)


CALIBRATION: Final = _structure(gain="i8", addend="i8", gains="u8", addends="u8", shift="i4", fraction="i4")
CELL_CALIBRATION: Final = _structure(gain="i8", addend="i8", lift="i8", gains="u8", addends="u8", fraction="i4")
FRAMES: Final = _structure(raw="u8", place="u8", count="i4", height="i4", width="i4", stack="i4")
HOT_CELLS: Final = _structure(
    place="u8", pixel_start="u8", weight="u8", donor_start="u8", donor="u8", gain="u8", subtrahend="u8", cells="i4"
)
HOT_PLACES: Final = _structure(start="u8", place="u8", healed="u8", cells="i4")
PLANES: Final = _structure(level0="u8", xy="u8", xz="u8", yz="u8", tally="u8")
CELL_PLANES: Final = _structure(
    level0="u8", mask="u8", xy_high="u8", xy_depth="u8", xy_sum="u8", xz="3u8", yz="3u8", tally="u8", level="i4"
)
RAISED: Final = _structure(xz="3u8", yz="3u8")
FINISHED: Final = _structure(tally="u8", xz="3u8", yz="3u8")
#: Raw counts of a frame in numbers; ``depth`` is 65535 - min.
TALLY: Final = _structure(squares="u8", sum="u8", depth="u4", high="u4", saturated="u4", unused="u4")
#: By name, for a test that compares sizes with those of the CUDA C++.
STRUCTURES: Final = {
    "Calibration": CALIBRATION,
    "CellCalibration": CELL_CALIBRATION,
    "Frames": FRAMES,
    "HotCells": HOT_CELLS,
    "HotPlaces": HOT_PLACES,
    "Planes": PLANES,
    "CellPlanes": CELL_PLANES,
    "Raised": RAISED,
    "Finished": FINISHED,
    "Tally": TALLY,
}


def filled(structure: np.dtype[np.void], *values: Any) -> NDArray[np.void]:
    """Fill a structure; one element, which CuPy passes by value."""
    return np.array([values], structure)
