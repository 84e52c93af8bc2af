"""A simulated lightsheet microscope: cells that blink and drift, seen by an sCMOS camera."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...stream.errors import UsageError
from ...stream.model import Plan
from ..source import SourceOptions, check_request
from .cells import FAINTEST, Cells
from .sensor import CELL_SIDE, DRAWS, LEVELS, SHAPES, add_cell, draw_cells, expose
from .simulation import Simulation, parse_simulation

#: A frame is put together from this many bands of rows, each of another exposure: few exposures make many frames,
#: while every pixel keeps its own offset, noise and heat.
BANDS = 16


class Simulated:
    """A source of frames that follow from the seed and the frame number alone.

    Exposures of the background and cells with their noise are drawn when the source is opened; a frame is then bands
    copied from several exposures, with the cells added where they are at that moment. So frame n is the same in every
    process, whichever frames were asked for before.

    Parameters
    ----------
    simulation : Simulation
        What to simulate.
    rate_hz : float or None
        Planned frame rate, frames per second.
    """

    def __init__(self, simulation: Simulation, rate_hz: float | None = None) -> None:
        height, width = simulation.size
        self._plan = Plan(
            shape=(simulation.t, simulation.c, simulation.z, height, width),
            axes=_axes(simulation),
            rate_hz=rate_hz,
            source=f"simulated cells, {height}x{width}, seed {simulation.seed}",
        )
        self._seed = simulation.seed
        self._cells = Cells.scatter(simulation)
        self._stamps = draw_cells(simulation)
        self._exposures = expose(simulation)
        self._bands = [slice(i * height // BANDS, (i + 1) * height // BANDS) for i in range(BANDS)]

    @property
    def plan(self) -> Plan:
        """What the source will yield."""
        return self._plan

    @property
    def cells(self) -> Cells:
        """The truth behind the frames: where the cells are, and how bright."""
        return self._cells

    def fill(self, number: int, out: NDArray[np.uint16]) -> None:
        """Put frame ``number`` into ``out``; see ``Source.fill``."""
        check_request(self._plan, number, out)
        rng = np.random.default_rng([self._seed, 5, number])
        for rows, exposure in zip(self._bands, rng.integers(len(self._exposures), size=BANDS), strict=True):
            out[rows] = self._exposures[exposure, rows]
        _, channel, z = self._plan.index(number)
        seen = self._cells.visible(number, channel, z)
        levels = np.rint(np.log(seen.signal / FAINTEST) / -np.log(FAINTEST) * (LEVELS - 1)).astype(np.int64)
        draws = rng.integers(DRAWS, size=len(levels))
        tops = np.floor(seen.y).astype(np.int64) - CELL_SIDE // 2
        lefts = np.floor(seen.x).astype(np.int64) - CELL_SIDE // 2
        for cell, level, draw, top, left in zip(seen.cell, levels, draws, tops, lefts, strict=True):
            add_cell(self._stamps[cell % SHAPES, level, draw], int(top), int(left), out)

    def close(self) -> None:
        """Give the memory back; harmless when repeated."""
        self._exposures = self._exposures[:0]
        self._stamps = self._stamps[:0]


def open_simulated(settings: str, options: SourceOptions) -> Simulated:
    """Open a simulation by its settings, ``"size=512x512,z=20"``.

    Raises
    ------
    UsageError
        A setting is unknown or out of range, or an option is for recordings only.
    """
    for option, given in (
        ("tile", options.tile),
        ("axes", options.axes),
        ("loop", options.loop if options.loop > 1 else None),
    ):
        if given is not None:
            raise UsageError(
                f"--{option} is for recordings, not for a simulation",
                'set it up instead: "simulated:size=2048x2048,z=50,t=20"',
            )
    return Simulated(parse_simulation(settings), options.rate_hz)


def _axes(simulation: Simulation) -> str:
    sizes = {"t": simulation.t, "c": simulation.c, "z": simulation.z}
    return "".join(letter for letter, size in sizes.items() if size > 1) + "yx"
