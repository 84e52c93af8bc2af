"""Listed hot pixels take the median of their unlisted neighbours."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..stream.errors import RecipeError
from .binning import Cells
from .compiled import piece
from .encode import encode_cell

#: Farthest that an unlisted neighbour may be, pixels. A larger hole is a dead region: there is nothing to heal it from.
REACH: Final = 32


def heal_reference(image: NDArray[np.float64], listed: NDArray[np.int32]) -> NDArray[np.float64]:
    """Replace listed pixels by the median of their unlisted neighbours.

    The neighbours are the 8 around the pixel, fewer at the border. Where all of them are listed too, the window grows
    by one pixel on every side until it holds an unlisted one; the median is over all unlisted pixels of that window.

    Parameters
    ----------
    image : float64 (y, x)
        Calibrated values.
    listed : int32 (n, 2)
        (y, x) of each hot pixel.

    Returns
    -------
    float64 (y, x)
        A healed copy: no listed pixel contributes to any other.
    """
    bad = np.zeros(image.shape, bool)
    bad[listed[:, 0], listed[:, 1]] = True
    healed = image.copy()
    for y, x in listed.tolist():
        for reach in range(1, REACH + 1):
            window = np.s_[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
            if not bad[window].all():
                healed[y, x] = np.median(image[window][~bad[window]])
                break
    return healed


class HotCells(NamedTuple):
    """The listed pixels by the binned cell they fall in, and where each takes its value from.

    Three nested lists, each as offsets into the next: row of cells → cell → listed pixel → donors. The first donor is
    the pixel itself, whose share the cell loses; the others are the neighbours whose median it gains. A pixel that
    several cells share, as in the binomial mean, is listed in each. Where a cell is the largest of its pixels, nothing
    can be taken out of it: its good pixels are listed too, each as its own only neighbour.

    Values are in the unit of the cells that are healed: raw counts, times the gain map where there is one. A gain or
    offset that is a number can wait, because the median of a·n + b is a · median(n) + b for a > 0.

    Attributes
    ----------
    row_start : int64 (y' + 1,)
        Where each row's cells begin.
    cell_x : int64 (cells,)
        Column of each cell.
    pixel_start : int64 (cells + 1,)
        Where each cell's listed pixels begin.
    weight : float64 (pixels,)
        Of each listed pixel in its cell.
    donor_start : int64 (pixels + 1,)
        Where each listed pixel's donors begin.
    donor_y, donor_x : int32 (donors,)
        Position of each donor in the raw frame.
    mapped : bool
        Whether donors have an offset or a gain of their own.
    offset, gain : float64 (donors,), or (1,) and unused
        Calibration of each donor.
    scratch : float64 (2, most donors of a pixel)
        Room to sort; not to be shared by threads.
    """

    row_start: NDArray[np.int64]
    cell_x: NDArray[np.int64]
    pixel_start: NDArray[np.int64]
    weight: NDArray[np.float64]
    donor_start: NDArray[np.int64]
    donor_y: NDArray[np.int32]
    donor_x: NDArray[np.int32]
    mapped: bool
    offset: NDArray[np.float64]
    gain: NDArray[np.float64]
    scratch: NDArray[np.float64]


def plan_hot_cells(
    listed: NDArray[np.int32],
    offset: float | NDArray[np.float32],
    gain: float | NDArray[np.float32],
    frame_shape: tuple[int, int],
    cells: Cells,
) -> HotCells:
    """Find the donors of every listed pixel, in the order of the cells.

    Parameters
    ----------
    listed : int32 (n, 2)
        (y, x) of each hot pixel, inside the frame; repeats are harmless.
    offset, gain : float, or float32 (y, x)
        Calibration.
    frame_shape : tuple of int
        Raw frame (y, x), pixels.
    cells : Cells

    Returns
    -------
    HotCells

    Raises
    ------
    RecipeError
        If a listed pixel has no unlisted one within `REACH` pixels.
    """
    width = frame_shape[1]
    hot = np.unique(listed[:, 0].astype(np.int64) * width + listed[:, 1])
    pixels, sources, starts = _donor_lists(hot, frame_shape, cells)
    of_pixel, cell, weight = _cells_of(pixels, frame_shape, cells)
    order = np.argsort(cell, kind="stable")
    of_pixel, cell, weight = of_pixel[order], cell[order], weight[order]
    found, counts = np.unique(cell, return_counts=True)
    lengths = np.diff(starts)[of_pixel]
    donor_start = _starts(lengths)
    at = np.arange(donor_start[-1]) + np.repeat(starts[of_pixel] - donor_start[:-1], lengths)
    donor_y, donor_x = np.divmod(sources[at], width)
    mapped = isinstance(offset, np.ndarray) or isinstance(gain, np.ndarray)
    own_gain = np.float64(gain) if isinstance(gain, np.ndarray) or cells.largest else np.float64(1)
    unused, rows = np.zeros(1), cells.row_weight.size
    return HotCells(
        row_start=np.searchsorted(found // cells.column_weight.size, np.arange(rows + 1)).astype(np.int64),
        cell_x=found % cells.column_weight.size,
        pixel_start=_starts(counts),
        weight=weight,
        donor_start=donor_start,
        donor_y=donor_y.astype(np.int32),
        donor_x=donor_x.astype(np.int32),
        mapped=mapped,
        offset=np.broadcast_to(np.float64(offset), frame_shape)[donor_y, donor_x] if mapped else unused,
        gain=np.broadcast_to(own_gain, frame_shape)[donor_y, donor_x] if mapped else unused,
        scratch=np.zeros((2, int(lengths.max(initial=2)))),
    )


def _donor_lists(
    hot: NDArray[np.int64], frame_shape: tuple[int, int], cells: Cells
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    # Pixels that cells list (flat positions), their donors one after another, and where each one's donors begin.
    owner, source = _donors(hot, hot, frame_shape)
    good = _good_of(hot, frame_shape, cells.factor) if cells.largest else hot[:0]
    pixels = np.concatenate([hot, good])
    own, alone = np.arange(pixels.size), np.arange(hot.size, pixels.size)
    owner, source = np.concatenate([own, owner, alone]), np.concatenate([pixels, source, good])
    order = np.argsort(owner, kind="stable")
    return pixels, source[order], _starts(np.bincount(owner, minlength=pixels.size))


def _good_of(hot: NDArray[np.int64], frame_shape: tuple[int, int], factor: int) -> NDArray[np.int64]:
    # The unlisted pixels of every cell with a listed one.
    height, width = frame_shape
    corner = np.unique(hot // width // factor * factor * width + hot % width // factor * factor)
    side = np.arange(factor)
    y, x = (corner // width)[:, None, None] + side[:, None], (corner % width)[:, None, None] + side
    y, x = np.broadcast_arrays(y, x)
    there = (y < height) & (x < width)
    return np.setdiff1d((y * width + x)[there], hot)


def _cells_of(
    pixels: NDArray[np.int64], frame_shape: tuple[int, int], cells: Cells
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    # (index into pixels, cell, weight) of every pair.
    y, x = np.divmod(pixels, frame_shape[1])
    rows, columns = cells.row_weight.size, cells.column_weight.size
    reach = range(-(-cells.taps.size // cells.factor))
    pairs: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
    for down in reach:
        for right in reach:
            cell_y, cell_x = (y + cells.before) // cells.factor - down, (x + cells.before) // cells.factor - right
            tap_y, tap_x = y + cells.before - cell_y * cells.factor, x + cells.before - cell_x * cells.factor
            inside = (cell_y >= 0) & (cell_y < rows) & (cell_x >= 0) & (cell_x < columns)
            at = np.flatnonzero(inside & (tap_y < cells.taps.size) & (tap_x < cells.taps.size))
            weight = (cells.taps[tap_y[at]] * cells.taps[tap_x[at]]).astype(np.float64)
            pairs.append((at, cell_y[at] * columns + cell_x[at], weight))
    owner, cell, weight = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return owner, cell, weight


def _starts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _donors(
    pixels: NDArray[np.int64], hot: NDArray[np.int64], frame_shape: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    # (index into pixels, flat position of an unlisted neighbour) of every pair. A ring is enough where the window has
    # grown, because everything inside it is listed.
    height, width = frame_shape
    y, x = np.divmod(pixels, width)
    left = np.arange(pixels.size)
    owners: list[NDArray[np.int64]] = [left[:0]]
    sources: list[NDArray[np.int64]] = [left[:0]]
    for reach in range(1, REACH + 1):
        if not left.size:
            break
        side = np.arange(-reach, reach + 1)
        dy, dx = (part.ravel() for part in np.meshgrid(side, side, indexing="ij"))
        ring = np.maximum(abs(dy), abs(dx)) == reach
        ny, nx = y[left, None] + dy[ring], x[left, None] + dx[ring]
        flat = ny * width + nx
        good = (ny >= 0) & (ny < height) & (nx >= 0) & (nx < width) & ~np.isin(flat, hot)
        owners.append(np.broadcast_to(left[:, None], good.shape)[good])
        sources.append(flat[good])
        left = left[~good.any(axis=1)]
    if left.size:
        at = f"y {y[left[0]]}, x {x[left[0]]}"
        what = f"hot_pixels.pixels lists every pixel within {REACH} of {at}"
        raise RecipeError(what, "list single pixels and small clusters; a dead region cannot be healed")
    return np.concatenate(owners), np.concatenate(sources)


@piece
def heal_cells(
    raw: Any,
    row: int,
    hot: Any,
    cells: Any,
    largest: bool,
    unit: float,
    gain: float,
    base: float,
    base_row: Any,
    row_weight: float,
    column_weight: Any,
    averaged: bool,
    pedestal: float,
    out: Any,
) -> None:
    """Encode the cells of one row that hold listed pixels again, with the median in place of each.

    Parameters
    ----------
    raw : uint16 (y, x)
        The frame.
    row : int
        Row of cells.
    hot : HotCells
    cells : float64 (x',)
        Sums of that row, the listed pixels included; or the largest.
    largest : bool
        As in `Cells`.
    unit : float
        What a cell is worth in the unit of the healed values.
    gain, base, base_row, row_weight, column_weight, averaged, pedestal
        As for `encode_edges`.
    out : uint16 (x',)
        That row of level 0; the cells with listed pixels are overwritten.
    """
    # Taken out of the tuple once: a call that passes it on would copy all of it for every pixel.
    pixel_start, donor_start, donor_y, donor_x = hot.pixel_start, hot.donor_start, hot.donor_y, hot.donor_x
    mapped, donor_offset, donor_gain, weights = hot.mapped, hot.offset, hot.gain, hot.weight
    values, ranked = hot.scratch[0], hot.scratch[1]
    for cell in range(hot.row_start[row], hot.row_start[row + 1]):
        change, top = 0.0, -np.inf
        for pixel in range(pixel_start[cell], pixel_start[cell + 1]):
            own = donor_start[pixel]
            size = donor_start[pixel + 1] - own
            for i in range(size):
                value = np.float64(raw[donor_y[own + i], donor_x[own + i]])
                if mapped:
                    value = (value - donor_offset[own + i]) * donor_gain[own + i]
                values[i] = value
            median = _median(values[1:size], ranked)
            top = max(top, median)
            change += weights[pixel] * (median - values[0])
        x = hot.cell_x[cell]
        total = (top if largest else cells[x] * unit + change) * gain
        out[x] = encode_cell(total, x, base, base_row, row_weight * column_weight[x], averaged, pedestal)


@piece
def _median(values: Any, ranked: Any) -> Any:
    # Each value goes to its rank: for the usual eight that is faster than a sort, whose branches nobody can predict.
    for i in range(values.size):
        rank = 0
        for j in range(values.size):
            rank += (values[j] < values[i]) | ((values[j] == values[i]) & (j < i))
        ranked[rank] = values[i]
    return 0.5 * (ranked[(values.size - 1) // 2] + ranked[values.size // 2])
