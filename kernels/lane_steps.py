"""The steps that one pass over the raw frame does, whichever of them a recipe names; those it leaves out do nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from . import projections
from .binning import FACTORS, MODES
from .kinds import Choice, Number, Pixels, Several, Whole
from .parameters import MapFile, MapReference, Parameters, declared
from .step import Step


@dataclass(frozen=True)
class Calibrate(Parameters):
    """n = (D - offset) · gain; left out, n = D."""

    step_name: ClassVar[str] = "calibrate"
    # The default offset equals the default pedestal, and is what sCMOS cameras are usually set to: unless told
    # otherwise, level 0 keeps the counts of the raw frames.
    offset: float | MapFile | MapReference = declared(
        100, Number("counts"), "what the camera adds to every pixel", mappable=True
    )
    gain: float | MapFile | MapReference = declared(
        1, Number("units per count", 0, above=True), "what a count is worth after the offset", mappable=True
    )


@dataclass(frozen=True)
class HotPixels(Parameters):
    """Listed pixels take the median of their unlisted neighbours."""

    step_name: ClassVar[str] = "hot_pixels"
    pixels: tuple[tuple[int, int], ...] | MapFile | MapReference = declared(
        (), Pixels(), "pixels that are wrong, y before x", mappable=True
    )


@dataclass(frozen=True)
class Bin(Parameters):
    """Level 0 has one pixel for each cell of factor × factor raw pixels; left out, one for each raw pixel.

    A cell at the border has the pixels that are there. Sums are not scaled: what exceeds 65535 with the pedestal is
    stored as 65535.
    """

    step_name: ClassVar[str] = "bin"
    factor: int = declared(2, Choice(FACTORS), "side of a cell, raw pixels")
    mode: str = declared("mean", Choice(MODES), "what becomes of its pixels; binomial is a smooth mean, [1, 3, 3, 1]")


@dataclass(frozen=True)
class Encode(Parameters):
    """clip(rint(n + pedestal), 0, 65535); left out, the pedestal is 0."""

    step_name: ClassVar[str] = "encode"
    pedestal: int = declared(100, Whole("counts", 0, 65535), "added to every pixel, so that negative values survive")


@dataclass(frozen=True)
class Pyramid(Parameters):
    """Further levels, each the 2 × 2 mean of the one before; left out, there is level 0 alone."""

    step_name: ClassVar[str] = "pyramid"
    until: int = declared(256, Whole("pixels", 1), "the last level is the first whose larger side is at most this")


@dataclass(frozen=True)
class Projections(Parameters):
    """Projections of every stack of level 0 along its axes."""

    step_name: ClassVar[str] = "projections"
    along: tuple[str, ...] = declared(
        ("z", "y", "x"), Several(Choice(("z", "y", "x"))), "axes to look along: z gives xy, y gives xz, x gives yz"
    )
    modes: tuple[str, ...] = declared(
        ("max",), Several(Choice(projections.MODES)), "what is made of the values there: max, min, mean"
    )


@dataclass(frozen=True)
class Saturation(Parameters):
    """Marks the pixels of level 0 that have a saturated raw pixel under them: their value is too low."""

    step_name: ClassVar[str] = "saturation"
    level: int = declared(65535, Whole("counts", 1, 65535), "a raw pixel at or above it is saturated")


@dataclass(frozen=True)
class Statistics(Parameters):
    """Per frame on raw counts: minimum, maximum, mean, saturated pixels. Made in any case: the account needs them."""

    step_name: ClassVar[str] = "statistics"


#: In the order in which they act.
LANE: Final = (
    Step("calibrate", "map", "n = (D - offset) · gain, by numbers or maps", Calibrate),
    Step("hot_pixels", "map", "listed pixels take the median of their unlisted neighbours", HotPixels),
    Step("bin", "map", "level 0: mean, sum, maximum or binomial mean over cells of raw pixels", Bin),
    Step("encode", "map", "rounded to 16 bits on a pedestal", Encode),
    Step("pyramid", "map", "coarser levels for viewers, each half the size", Pyramid),
    Step("projections", "fold", "maxima, minima or means of level 0 over z, y and x", Projections),
    Step("saturation", "map", "labels where a raw pixel is at the end of the camera's range", Saturation),
    Step("statistics", "map", "minimum, maximum, mean, saturated pixels of the raw frame", Statistics),
)
