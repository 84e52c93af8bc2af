"""Maximum projections of level 0 along z (xy), y (xz) and x (yz)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled import piece


def projections_reference(level0: NDArray[np.uint16]) -> dict[str, NDArray[np.uint16]]:
    """Project every stack of level 0 along each axis.

    Parameters
    ----------
    level0 : uint16 (t, c, z, y, x)

    Returns
    -------
    dict
        ``xy`` (t, c, y, x), ``xz`` (t, c, z, x), ``yz`` (t, c, z, y), all uint16.
    """
    return {"xy": level0.max(axis=2), "xz": level0.max(axis=3), "yz": level0.max(axis=4)}


@piece
def project_row(row: Any, xy: Any, xz: Any) -> Any:
    """Merge one row of level 0 into the running projections and give its own maximum, the yz value.

    Parameters
    ----------
    row : uint16 (x,)
        Row y of one plane.
    xy : uint16 (x,)
        Row y of the stack's xy projection, raised in place.
    xz : uint16 (x,)
        The plane's maximum over the rows so far, raised in place.
    """
    top = np.uint16(0)
    for x in range(row.size):
        value = row[x]
        xy[x] = max(xy[x], value)
        xz[x] = max(xz[x], value)
        top = max(top, value)
    return top
