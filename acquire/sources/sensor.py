"""A simulated sCMOS sensor: exposures without cells, and cells as counts to add to them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .cells import FAINTEST
from .simulation import Simulation

Counts = NDArray[np.uint16]
#: Exposures prepared ahead: at most this many, and at least two, within this many bytes.
EXPOSURES, EXPOSURE_BYTES = 12, 128 * 2**20
#: Variants of a cell prepared ahead: shapes, brightness levels, and draws of the photon noise of each.
SHAPES, LEVELS, DRAWS = 8, 24, 6
#: Side of the square that a cell fills at most, pixels.
CELL_SIDE = 48
_ROWS = 128


@dataclass(frozen=True, slots=True)
class PixelMaps:
    """How the pixels of the sensor differ; float32 (y, x) each.

    Attributes
    ----------
    offset : counts
        Dark level, with the extra dark signal of hot pixels.
    noise : counts
        Read noise, root mean square. Its variance is log-normal over the pixels, as measured on sCMOS sensors: a
        narrow peak with a long tail of noisy pixels.
    """

    offset: NDArray[np.float32]
    noise: NDArray[np.float32]

    @classmethod
    def draw(cls, simulation: Simulation) -> PixelMaps:
        """Make a sensor from the seed of a simulation."""
        rng = np.random.default_rng([simulation.seed, 2])
        shape = simulation.size
        offset = rng.standard_normal(shape, np.float32)
        offset += np.float32(simulation.offset)
        noise = rng.standard_normal(shape, np.float32)
        noise *= np.float32(0.35)
        np.exp(noise, out=noise)
        noise *= np.float32(simulation.read_noise * simulation.gain)
        hot = rng.choice(offset.size, round(simulation.hot * offset.size), replace=False)
        offset.reshape(-1)[hot] += rng.exponential(800.0, hot.size).astype(np.float32)
        noise.reshape(-1)[hot] *= np.float32(5.0)
        return cls(offset, noise)


def expose(simulation: Simulation) -> Counts:
    """Take exposures of the background: uint16 (n, y, x), counts.

    Each is an independent draw of photon noise, gain, read noise and offset over the same sensor. Signals of cells can
    be added afterwards, because the sum of independent Poisson variables is the Poisson variable of the sum.
    """
    maps = PixelMaps.draw(simulation)
    count = max(2, min(EXPOSURES, EXPOSURE_BYTES // (2 * maps.offset.size)))
    bank = np.empty((count, *simulation.size), np.uint16)
    # NumPy's generators release the interpreter lock, and each exposure has its own, so threads do not change them.
    with ThreadPoolExecutor(max_workers=4) as threads:
        list(threads.map(lambda i: _expose_one(simulation, maps, i, bank[i]), range(count)))
    return bank


def _expose_one(simulation: Simulation, maps: PixelMaps, i: int, out: Counts) -> None:
    rng = np.random.default_rng([simulation.seed, 3, i])
    light = _sheet_profile(simulation)
    for y in range(0, out.shape[0], _ROWS):
        rows = slice(y, y + _ROWS)
        noise = rng.standard_normal(out[rows].shape, np.float32)
        noise *= maps.noise[rows]
        noise += maps.offset[rows]
        # Columns share a mean, which makes drawing twice as fast as one mean a pixel would.
        photons = rng.poisson(light, out[rows].shape).astype(np.float32)
        photons *= np.float32(simulation.gain)
        noise += photons
        np.rint(noise, out=noise)
        out[rows] = np.clip(noise, 0, 65535, out=noise)


def _sheet_profile(simulation: Simulation) -> NDArray[np.float64]:
    """Mean background along x, photoelectrons: the sheet enters from the left and is brightest at its waist."""
    x = np.linspace(-1.0, 1.0, simulation.size[1])
    return simulation.background * (0.4 + 0.6 * np.exp(-2.0 * x**2))


def draw_cells(simulation: Simulation) -> Counts:
    """Draw cells with their photon noise: uint16 (shapes, levels, draws, side, side), counts above the background.

    Level k has the peak signal ``level_signals()[k]`` as a fraction of ``simulation.photons``.
    """
    rng = np.random.default_rng([simulation.seed, 4])
    mean = np.stack([_cell_shape(rng) for _ in range(SHAPES)])[:, None, None] * simulation.photons
    mean = mean * level_signals()[:, None, None, None]
    photons = rng.poisson(np.broadcast_to(mean, (SHAPES, LEVELS, DRAWS, CELL_SIDE, CELL_SIDE)))
    return np.clip(np.rint(photons * simulation.gain), 0, 65535).astype(np.uint16)


def add_cell(cell: Counts, top: int, left: int, out: Counts) -> None:
    """Add a cell's counts to a frame where the two overlap; counts saturate, as on a camera.

    Parameters
    ----------
    cell : uint16 (side, side), counts
        What to add.
    top, left : int
        Place of its first row and column on the frame, pixels; may lie outside.
    out : uint16 (y, x), counts
        The frame, changed in place.
    """
    height, width = cell.shape
    target = out[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    y, x = max(-top, 0), max(-left, 0)
    part = cell[y : y + target.shape[0], x : x + target.shape[1]]
    target += np.minimum(part, np.uint16(65535) - target)


def level_signals() -> NDArray[np.float64]:
    """Peak signal of each brightness level, as a fraction, from FAINTEST to 1 in equal ratios."""
    return np.geomspace(FAINTEST, 1.0, LEVELS)


def _cell_shape(rng: np.random.Generator) -> NDArray[np.float64]:
    """One blurred blob of several lobes with peak 1, zero at the border of its square."""
    axis = np.arange(CELL_SIDE) - (CELL_SIDE - 1) / 2
    y, x = np.meshgrid(axis, axis, indexing="ij")
    blob = np.zeros((CELL_SIDE, CELL_SIDE))
    for _ in range(5):
        centre_y, centre_x = rng.uniform(-6.0, 6.0, 2)
        sigma = rng.uniform(2.5, 5.0)
        blob += rng.uniform(0.4, 1.0) * np.exp(-0.5 * ((y - centre_y) ** 2 + (x - centre_x) ** 2) / sigma**2)
    blob *= np.clip(1.0 - np.hypot(y, x) / (CELL_SIDE / 2), 0.0, 0.25) * 4.0
    return blob / blob.max()
