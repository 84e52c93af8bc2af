"""Filling a large sensor with a small recorded field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

#: Planes by which tiles differ from their neighbour along y and x: primes, so that no two tiles near each other show
#: the same plane. A plain repetition would compress several times better than real frames and flatter every figure.
STEP_Y, STEP_X = 7, 13


@dataclass(frozen=True)
class Tiling:
    """How a recorded stack covers a sensor.

    Pixel (z, y, x) of the tiled stack is ``D[(z + 7 (y div h) + 13 (x div w)) mod Z, y mod h, x mod w]`` of the
    recorded stack ``D`` of size (Z, h, w).

    Attributes
    ----------
    depth : int
        Z, planes in the recorded stack.
    field : tuple of int
        (h, w) of the recorded planes, pixels.
    sensor : tuple of int
        (H, W) of the frames to make, pixels; no multiple of ``field`` is needed.
    """

    depth: int
    field: tuple[int, int]
    sensor: tuple[int, int]

    @cached_property
    def tiles(self) -> tuple[tuple[int, slice, slice], ...]:
        """For each tile its shift along z and its place (y, x); the last ones may reach beyond the sensor."""
        h, w = self.field
        height, width = self.sensor
        return tuple(
            ((STEP_Y * i + STEP_X * j) % self.depth, slice(y, y + h), slice(x, x + w))
            for i, y in enumerate(range(0, height, h))
            for j, x in enumerate(range(0, width, w))
        )

    def compose(self, z: int, plane: Callable[[int], NDArray[np.uint16]], out: NDArray[np.uint16]) -> None:
        """Put frame z of the tiled stack into ``out``, uint16 (H, W).

        Parameters
        ----------
        z : int
            Place in the stack, from 0.
        plane : callable
            Gives plane z of the recorded stack, uint16 (h, w).
        out : uint16 (H, W), counts
            Every pixel is written.
        """
        for shift, y, x in self.tiles:
            target = out[y, x]
            target[...] = plane((z + shift) % self.depth)[: target.shape[0], : target.shape[1]]
