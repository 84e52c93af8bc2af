"""Translation on a GPU: an image moved by a shift."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from .accelerator import Accelerator, blocks_for, check_counts
from .translation import split

#: Pixels (x, y) that a block moves.
_PART: Final = (32, 8)


class GpuTranslator:
    """Moves images of a device, as `translate`, bit for bit.

    Parameters
    ----------
    accelerator : Accelerator
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator

    def translate(self, image: Any, dy: float, dx: float, fill: int, out: Any) -> None:
        """Move the content of an image.

        Parameters
        ----------
        image : uint16 (y, x) of the device, C-contiguous
            Read only.
        dy, dx, fill
            As for `translate_reference`.
        out : uint16 (y, x), C-contiguous
            Result; another array than the image.

        Raises
        ------
        ValueError
            If an array is not so.
        """
        check_counts(image, (None, None))
        check_counts(out, image.shape)
        height, width = image.shape
        grid = blocks_for(width, _PART[0]), blocks_for(height, _PART[1])
        move = (np.int32(part) for part in (*split(dy), *split(dx)))
        known = np.int32(height), np.int32(width), *move, np.uint16(fill)
        self._accelerator.launch("translate", grid, _PART, image, *known, out)
