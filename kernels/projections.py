"""Projections of level 0 along z (xy), y (xz) and x (yz): maximum, minimum, mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compiled import piece

#: What is made of the values along an axis.
MODES: Final = ("max", "min", "mean")
#: Projection along an axis: its name, and the axes that are left.
ALONG: Final = {"z": ("xy", "tcyx"), "y": ("xz", "tczx"), "x": ("yz", "tczy")}
#: Values along an axis whose sum fits 32 bits for certain (65537 · 65535 < 2³²).
MOST: Final = 65537


def projection_name(axis: str, mode: str) -> str:
    """Name a projection: ``xy`` is the maximum along z, ``xy-min`` and ``xy-mean`` are the others."""
    return ALONG[axis][0] if mode == "max" else f"{ALONG[axis][0]}-{mode}"


def projections_reference(level0: NDArray[np.uint16], modes: Sequence[str] = ("max",)) -> dict[str, NDArray[np.uint16]]:
    """Project every stack of level 0 along each axis.

    Parameters
    ----------
    level0 : uint16 (t, c, z, y, x)
    modes : sequence of str
        Of `MODES`.

    Returns
    -------
    dict
        By `projection_name`: ``xy`` (t, c, y, x), ``xz`` (t, c, z, x), ``yz`` (t, c, z, y) and the like, all uint16;
        means rounded half to even.
    """
    of = {"max": np.max, "min": np.min, "mean": _rounded_mean}
    return {projection_name(axis, mode): of[mode](level0, axis=2 + k) for k, axis in enumerate(ALONG) for mode in modes}


def _rounded_mean(level0: NDArray[np.uint16], axis: int) -> NDArray[np.uint16]:
    return rounded_share(level0.sum(axis=axis, dtype=np.uint64), level0.shape[axis])


def rounded_share(sums: NDArray[Any], count: int | NDArray[np.int64]) -> NDArray[np.uint16]:
    """Divide whole sums of counts by how many they are of, rint(Σ / count) half to even.

    Exact: a quotient that is no half is farther from one than float64 resolves, for any count that a run has.
    """
    share = sums / np.asarray(count, np.float64)
    return np.rint(share, out=share).astype(np.uint16)


class Targets(NamedTuple):
    """Where the projections of one frame go, as the compiled pass takes it; those that nobody asked for are empty.

    Attributes
    ----------
    usual : bool
        Whether they are the three maxima.
    xy_max, xy_min : uint16 (y', x')
        The stack's running maximum and minimum over z, changed in place.
    xy_sum : uint32 (y', x')
        The stack's running sum over z, raised in place.
    xz_max, xz_min, xz_mean : uint16 (x',)
        Of the plane, over y; overwritten.
    yz_max, yz_min, yz_mean : uint16 (y',)
        Of the plane, over x; overwritten.
    column_sum : uint32 (x',)
        Scratch.
    """

    usual: bool
    xy_max: NDArray[np.uint16]
    xy_min: NDArray[np.uint16]
    xy_sum: NDArray[np.uint32]
    xz_max: NDArray[np.uint16]
    xz_min: NDArray[np.uint16]
    xz_mean: NDArray[np.uint16]
    yz_max: NDArray[np.uint16]
    yz_min: NDArray[np.uint16]
    yz_mean: NDArray[np.uint16]
    column_sum: NDArray[np.uint32]


@piece
def project_row(row: Any, xy: Any, xz: Any) -> Any:
    """Merge one row of level 0 into the usual three maxima and give its own, the yz value.

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


@piece
def merge_max(row: Any, into: Any) -> None:
    """Raise ``into``, uint16 (x,), to the row where that is larger."""
    for x in range(row.size):
        into[x] = max(into[x], row[x])


@piece
def merge_min(row: Any, into: Any) -> None:
    """Lower ``into``, uint16 (x,), to the row where that is smaller."""
    for x in range(row.size):
        into[x] = min(into[x], row[x])


@piece
def merge_sum(row: Any, into: Any) -> None:
    """Add the row to ``into``, uint32 (x,)."""
    for x in range(row.size):
        into[x] = np.uint32(into[x] + np.uint32(row[x]))


@piece
def row_extremes(row: Any) -> Any:
    """Give the minimum and maximum of a row, uint16 (x,)."""
    low, high = np.uint16(65535), np.uint16(0)
    for x in range(row.size):
        low, high = min(low, row[x]), max(high, row[x])
    return low, high


@piece
def row_mean(row: Any) -> Any:
    """Give the mean of a row, uint16 (x,), rounded half to even."""
    total = np.uint32(0)
    for x in range(row.size):
        total = np.uint32(total + np.uint32(row[x]))
    return np.uint16(np.rint(np.float64(total) / row.size))


@piece
def share_row(sums: Any, count: int, out: Any) -> None:
    """Divide a row of sums, uint32 (x,), by a count, as `rounded_share`."""
    for x in range(out.size):
        out[x] = np.uint16(np.int32(np.rint(np.float64(sums[x]) / np.float64(count))))
