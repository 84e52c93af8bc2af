"""Saturation mask: which pixels of level 0 have a raw pixel under them that is at the end of the camera's range."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..stream.model import Plan, Product
from .binning import bin_reference
from .cell_rows import max_cells
from .compiled import piece

PATH: Final = "labels/saturation"


def saturation_reference(frames: NDArray[np.uint16], factor: int, level: int) -> NDArray[np.uint8]:
    """Mark the cells of ``factor`` × ``factor`` raw pixels of which any is at or above a level.

    Parameters
    ----------
    frames : uint16 (..., y, x), raw counts
    factor : int
        Binning. In the binomial mean, too, only the pixels of the cell itself count.
    level : int, counts

    Returns
    -------
    uint8 (..., ceil(y / factor), ceil(x / factor))
        1 where marked, else 0.
    """
    return (bin_reference(frames.astype(np.float64), factor, "max") >= level).astype(np.uint8)


def saturation_product(plan: Plan, size: tuple[int, int], factor: int, level: int) -> Product:
    """Describe the mask of a run; ``size`` is that of level 0 (y, x)."""
    meaning = f"1 where a raw pixel of the cell is at {level} counts or above"
    return Product(PATH, "tczyx", (*plan.shape[:3], *size), "uint8", factor, shows="label", meaning=meaning)


@piece
def mark_cells(band: Any, factor: int, level: int, column: Any, cells: Any, out: Any) -> None:
    """Mark one row of cells; asked only of rows whose maximum reaches the level.

    Parameters
    ----------
    band : uint16 (1 … factor, x)
        The raw rows of the cells.
    factor, level : int
    column, cells : int32 (x,), (x',)
        Scratch.
    out : uint8 (x',)
        Result.
    """
    max_cells(band, factor, column, cells)
    for x in range(out.size):
        out[x] = np.uint8(cells[x] >= level)
