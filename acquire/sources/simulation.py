"""The settings of a simulated acquisition."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from ...stream.errors import UsageError
from .frame_size import parse_size

_LARGEST_SIDE = 8192


@dataclass(frozen=True, slots=True)
class Simulation:
    """What ``simulated:key=value,…`` may set.

    Attributes
    ----------
    size : tuple of int
        Sensor (y, x), pixels.
    t, c, z : int
        Time points, channels, planes of a stack.
    seed : int
        Everything random follows from it.
    cells : int
        Cells in the volume.
    photons : float
        Peak signal of the brightest cells, photoelectrons a pixel.
    background : float
        Light beside the cells where the sheet is brightest, photoelectrons a pixel.
    offset : float
        Mean dark level of the camera, counts.
    gain : float
        Counts a photoelectron.
    read_noise : float
        Median over the pixels of the read noise, root mean square, photoelectrons.
    hot : float
        Fraction of the pixels that are hot.
    """

    size: tuple[int, int] = (2048, 2048)
    t: int = 20
    c: int = 1
    z: int = 50
    seed: int = 1
    cells: int = 200
    photons: float = 600.0
    background: float = 12.0
    offset: float = 100.0
    gain: float = 2.2
    read_noise: float = 1.4
    hot: float = 1e-4


#: Smallest and largest value of each number; the bounds keep every count of a lone cell below saturation.
_BOUNDS: dict[str, tuple[float, float]] = {
    "t": (1, 10**9),
    "c": (1, 1000),
    "z": (1, 100_000),
    "seed": (0, 2**63 - 1),
    "cells": (0, 5000),
    "photons": (0, 20_000),
    "background": (0, 1000),
    "offset": (0, 10_000),
    "gain": (0.01, 10),
    "read_noise": (0, 100),
    "hot": (0, 0.1),
}


def parse_simulation(text: str) -> Simulation:
    """Read ``"size=512x512,z=20"``; what is not named keeps its default.

    Raises
    ------
    UsageError
        A key is unknown or given twice, or a value is no number within its bounds.
    """
    given: dict[str, tuple[int, int] | float | int] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals or (key != "size" and key not in _BOUNDS):
            keys = ", ".join(field.name for field in dataclasses.fields(Simulation))
            raise UsageError(f"simulated has no setting {item!r}", f"use key=value with {keys}")
        if key in given:
            raise UsageError(f"simulated setting {key!r} is given twice", "give it once")
        given[key] = _size(value) if key == "size" else _number(key, value)
    return dataclasses.replace(Simulation(), **given)


def _size(value: str) -> tuple[int, int]:
    size = parse_size(value, "simulated setting size")
    if max(size) > _LARGEST_SIDE:
        raise UsageError(f"simulated size {value!r} is too large", f"give at most {_LARGEST_SIDE}x{_LARGEST_SIDE}")
    return size


def _number(key: str, value: str) -> float | int:
    low, high = _BOUNDS[key]
    whole = isinstance(getattr(Simulation(), key), int)
    try:
        number = int(value) if whole else float(value)
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        kind = "a whole number" if whole else "a number"
        raise UsageError(f"simulated setting {key}={value} is out of range", f"give {kind} from {low:g} to {high:g}")
    return number
