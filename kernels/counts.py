"""Counts as compiled code takes them: of the shape it was made for, and read only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def read_only_counts(array: NDArray[np.uint16], shape: tuple[int, ...], what: str = "the image") -> NDArray[np.uint16]:
    """Give a view that cannot be written to: one compiled form for arrays that may and that may not be written to.

    Parameters
    ----------
    array : uint16, C-contiguous, counts
    shape : tuple of int
        What it must have.
    what : str
        What it is called if it does not fit.

    Returns
    -------
    uint16

    Raises
    ------
    ValueError
        If it has another type, shape or layout.
    """
    if array.dtype != np.uint16 or array.shape != shape or not array.flags.c_contiguous:
        raise ValueError(f"{what} is {array.dtype} {array.shape}, not C-contiguous uint16 {shape}")
    view = array.view()
    view.flags.writeable = False
    return view
