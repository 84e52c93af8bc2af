"""Cells that drift through a volume and blink."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .simulation import Simulation

Floats = NDArray[np.float64]
#: Standard deviation of the light sheet's profile along z, planes.
SHEET_PLANES = 2.0
#: Signals weaker than this fraction of the brightest cell's are not shown.
FAINTEST = 0.02


@dataclass(frozen=True, slots=True)
class Visible:
    """The cells that one frame shows.

    Attributes
    ----------
    cell : int64 (n,)
        Which cells.
    y, x : float64 (n,)
        Their centres, pixels.
    signal : float64 (n,)
        Peak signal as a fraction of the brightest cell's, FAINTEST to 1.
    """

    cell: NDArray[np.int64]
    y: Floats
    x: Floats
    signal: Floats


@dataclass(frozen=True)
class Cells:
    """A population of cells, known for every moment.

    Time is counted in frames, so that cells also move while a stack is taken. A cell moves straight on and is
    reflected by the borders of the volume; it flashes at intervals of its own and fades exponentially in between.

    Attributes
    ----------
    volume : tuple of int
        (z, y, x), planes and pixels.
    start : float64 (cells, 3)
        Position (z, y, x) at frame 0.
    velocity : float64 (cells, 3)
        Change a frame.
    brightness : float64 (channels, cells)
        Peak signal right after a flash, 0 to 1.
    period, phase : float64 (cells,)
        Frames between flashes, and the part of it that has passed at frame 0.
    """

    volume: tuple[int, int, int]
    start: Floats
    velocity: Floats
    brightness: Floats
    period: Floats
    phase: Floats

    @classmethod
    def scatter(cls, simulation: Simulation) -> Cells:
        """Place and set in motion the cells of a simulation, from its seed alone."""
        rng = np.random.default_rng([simulation.seed, 1])
        n = simulation.cells
        volume = (simulation.z, *simulation.size)
        return cls(
            volume,
            start=rng.random((n, 3)) * volume,
            velocity=rng.normal(0.0, (0.002, 0.02, 0.02), (n, 3)),
            brightness=rng.uniform(0.2, 1.0, (simulation.c, n)),
            period=rng.uniform(100.0, 600.0, n),
            phase=rng.random(n),
        )

    def positions(self, number: int) -> Floats:
        """Centres (z, y, x) of all cells while a frame is taken, float64 (cells, 3), planes and pixels."""
        size = np.asarray(self.volume, np.float64)
        # A straight path folded at both borders: a triangle wave of period twice the size.
        return size - np.abs((self.start + self.velocity * number) % (2.0 * size) - size)

    def visible(self, number: int, channel: int, z: int) -> Visible:
        """Give the cells that frame ``number``, plane ``z`` of ``channel``, shows."""
        at = self.positions(number)
        flash = 0.3 + 0.7 * np.exp(-3.0 * ((number / self.period + self.phase) % 1.0))
        # Planes are centred at half numbers, as pixels are.
        sheet = np.exp(-0.5 * ((at[:, 0] - z - 0.5) / SHEET_PLANES) ** 2)
        signal = self.brightness[channel] * flash * sheet
        shown = np.flatnonzero(signal >= FAINTEST)
        return Visible(shown, at[shown, 1], at[shown, 2], signal[shown])
