"""What a block gives out of buffers that have a place for each of its frames, on whatever device they were filled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .step import Arrays


def by_frame(buffers: Mapping[str, NDArray[Any]], extent: tuple[int, int, int], present: NDArray[np.bool_]) -> Arrays:
    """Complete the arrays of a block that have a part for each frame; of frames that never came it is 0.

    Parameters
    ----------
    buffers : mapping
        By path, (frames of the largest block, ...), C-contiguous; changed in place.
    extent : tuple of int
        Of the block (t, c, z), frames.
    present : bool (t, c, z)
        Which frames came.

    Returns
    -------
    dict
        Views (t, c, z, ...) by path.
    """
    lost = np.flatnonzero(~present.reshape(-1))
    made: Arrays = {}
    for path, buffer in buffers.items():
        buffer[lost] = 0
        # The frames of a block are consecutive, so a smaller block is the beginning of the buffer.
        made[path] = buffer[: math.prod(extent)].reshape(*extent, *buffer.shape[1:])
    return made
