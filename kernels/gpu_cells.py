"""Means over cells on a GPU: the small image that measurements look at."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from .accelerator import Accelerator, blocks_for, check_counts
from .cells import cells_shape

#: Cells (x, y) that a block makes.
_PART: Final = (32, 8)


class GpuCells:
    """Averages images over cells, as `mean_cells`. Not for several threads at once.

    Parameters
    ----------
    accelerator : Accelerator
    shape : tuple of int
        Image (y, x), pixels.
    side : int
        One of `SIDES`.

    Attributes
    ----------
    cells : float32 (ceil(y / side), ceil(x / side)) of the device
        Means of the last image.
    total : uint64 (1,) of the device
        Sum of its pixels.
    """

    def __init__(self, accelerator: Accelerator, shape: tuple[int, int], side: int) -> None:
        self._accelerator, self._shape, self._side = accelerator, shape, side
        self.cells = accelerator.xp.zeros(cells_shape(shape, side), np.float32)
        self.total = accelerator.xp.zeros(1, np.uint64)

    def average(self, image: Any) -> None:
        """Average an image, as `mean_cells_reference`, bit for bit.

        Parameters
        ----------
        image : uint16 (y, x) of the device, C-contiguous
            Read only.

        Raises
        ------
        ValueError
            If the image has another shape or type.
        """
        check_counts(image, self._shape)
        self.total.fill(0)
        lines, columns = self.cells.shape
        grid = blocks_for(columns, _PART[0]), blocks_for(lines, _PART[1])
        size = (np.int32(part) for part in self._shape)
        self._accelerator.launch(f"mean_cells<{self._side}>", grid, _PART, image, *size, self.cells, self.total)
