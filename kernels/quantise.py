"""Quantise: counts to square-root codes whose step is a fixed part of the noise, so that they compress."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from ..stream.errors import RecipeError
from .binning import CellNoise
from .compiled import entry
from .kinds import Flag, Number
from .parameters import Parameters, declared

#: Largest step, in sigma, that is taken without asking. At 1 the noise grows by 4 % and the mean moves by g / 48; at 4
#: the mean moves by several counts, up or down with the light.
STEP_LIMIT: Final = 2.0
#: Name of the transform, for the metadata.
FORM: Final = "noise-equalising square root"
#: What turns a code back into counts, for a reader who has nothing but the metadata.
INVERSE: Final = "offset + gain * ((code * step / 2 + read_noise)**2 - read_noise**2)"
_TOP: Final = 65535
_CONSTANTS: Final = ("offset", "gain", "read_noise", "step")


@dataclass(frozen=True)
class Quantise(Parameters):
    """Counts become square-root codes that are a fixed part of the noise apart.

    A gain or a read noise below the camera's true one makes the codes finer than asked, never coarser: the default
    gain is therefore 1, although sCMOS cameras have about 2. An offset below the true one keeps negative noise, which
    the default does for a pedestal of 100; where it is five sigma, codes of dark pixels are twice as far apart.

    Raises
    ------
    RecipeError
        If a value is outside its range, or the step is above `STEP_LIMIT` and ``coarse`` is not true.
    """

    step_name: ClassVar[str] = "quantise"
    offset: float = declared(
        95, Number("counts", 0, _TOP), "counts without light, less some for noise: all darker pixels get one code"
    )
    gain: float = declared(
        1, Number("counts per electron", 1e-6, 1e6), "of one raw pixel after calibration; 1 / calibrate.gain or less"
    )
    read_noise: float = declared(1.6, Number("electrons", 0, 1e4), "standard deviation of a raw pixel without light")
    step: float = declared(1, Number("sigma", 1e-6, 1e3), "distance of two codes in units of the noise")
    coarse: bool = declared(False, Flag(), "take a step above 2 sigma, although it shifts the means")

    def __post_init__(self) -> None:
        """Check the values, and that a coarse step was asked for."""
        super().__post_init__()
        if self.step > STEP_LIMIT and not self.coarse:
            what = f"quantise.step is {self.step:g} sigma, which shifts the means"
            raise RecipeError(what, f"give at most {STEP_LIMIT:g}, or set quantise.coarse to true")

    def of_cells(self, noise: CellNoise) -> Self:
        """Give the parameters for cells, whose noise is another than that of raw pixels.

        Parameters
        ----------
        noise : CellNoise

        Returns
        -------
        Quantise
        """
        return replace(self, gain=self.gain * noise.gain, read_noise=self.read_noise * noise.read_noise)

    def to_json(self) -> dict[str, Any]:
        """Give what the metadata of a quantised array must hold to bring the counts back.

        Returns
        -------
        dict
            ``form``, the four constants in the units above, and ``inverse``, the formula that uses them.
        """
        return {"form": FORM, **{name: getattr(self, name) for name in _CONSTANTS}, "inverse": INVERSE}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Take the parameters from metadata.

        Parameters
        ----------
        data : mapping
            As `to_json` gives it.

        Returns
        -------
        Quantise

        Raises
        ------
        RecipeError
            If the form is another, a constant is missing, or a value is outside its range.
        """
        if data.get("form") != FORM or any(name not in data for name in _CONSTANTS):
            what = "the metadata do not hold a noise-equalising square root with its constants"
            raise RecipeError(what, f"give form, {', '.join(_CONSTANTS)}")
        return cls(**{name: data[name] for name in _CONSTANTS}, coarse=True)


def quantise_reference(counts: NDArray[Any], parameters: Quantise) -> NDArray[np.float64]:
    """Quantise in float64: T = 2·√(max(x - o, 0)/g + s²) - 2s, q = rint(T / step).

    T has a standard deviation of 1 wherever x has Poisson and read noise (the generalised Anscombe transform without
    its constant 3/8, as in the B3D codec; Balázs et al., 2017).

    Parameters
    ----------
    counts : numeric, any shape
        x.
    parameters : Quantise

    Returns
    -------
    float64, same shape
        Whole numbers from 0 on, of any size; halves went to the even neighbour.
    """
    electrons = np.maximum(counts.astype(np.float64) - parameters.offset, 0) / parameters.gain
    noise = parameters.read_noise
    return np.rint((2 * np.sqrt(electrons + noise**2) - 2 * noise) / parameters.step)


def restore_reference(codes: NDArray[Any], parameters: Quantise) -> NDArray[np.float64]:
    """Bring codes back to counts in float64: D = q·step + 2s, x = (D²/4 - s²)·g + o.

    Where x ≥ o the result is off by at most σ·step/2 + g·step²/16, with σ = g·√((x - o)/g + s²) counts, the noise of x.

    Parameters
    ----------
    codes : numeric, any shape
        q.
    parameters : Quantise

    Returns
    -------
    float64, same shape, counts
    """
    root = codes.astype(np.float64) * parameters.step + 2 * parameters.read_noise
    return (root**2 / 4 - parameters.read_noise**2) * parameters.gain + parameters.offset


@dataclass(frozen=True, eq=False)
class Quantiser:
    """Quantisation as two tables, exact for every count. Threads may share it.

    Attributes
    ----------
    parameters : Quantise
    codes : uint8 or uint16 (65536,)
        Code of every count.
    counts : uint16 (256,) or (65536,), counts
        Rounded counts of every code, 65535 where they would be larger.
    """

    parameters: Quantise
    codes: NDArray[Any]
    counts: NDArray[np.uint16]

    def quantise(self, pixels: NDArray[np.uint16], out: NDArray[Any]) -> None:
        """Quantise an array.

        Parameters
        ----------
        pixels : uint16, any shape, C-contiguous, counts
            Read only.
        out : dtype of ``codes``, same shape, C-contiguous
            Result.

        Raises
        ------
        ValueError
            If the arrays are not so.
        """
        _apply(self.codes, pixels, np.dtype(np.uint16), out)

    def restore(self, codes: NDArray[Any], out: NDArray[np.uint16]) -> None:
        """Bring an array of codes back to whole counts.

        Parameters
        ----------
        codes : dtype of ``codes``, any shape, C-contiguous
            Read only. Codes that no count has are taken as the formula says.
        out : uint16, same shape, C-contiguous, counts
            Result.

        Raises
        ------
        ValueError
            If the arrays are not so.
        """
        _apply(self.counts, codes, self.codes.dtype, out)


def plan_quantiser(parameters: Quantise) -> Quantiser:
    """Make the tables, with the narrowest codes that hold every count.

    Parameters
    ----------
    parameters : Quantise

    Returns
    -------
    Quantiser

    Raises
    ------
    RecipeError
        If the code of 65535 counts does not fit 16 bits.
    """
    codes = quantise_reference(np.arange(_TOP + 1), parameters)
    largest = int(codes[-1])
    if largest > _TOP:
        what = f"quantise.step of {parameters.step:g} sigma needs codes up to {largest}, more than 16 bits hold"
        raise RecipeError(what, "give a larger step or a larger gain")
    kind = np.uint8 if largest <= np.iinfo(np.uint8).max else np.uint16
    counts = np.rint(restore_reference(np.arange(np.iinfo(kind).max + 1), parameters))
    tables = codes.astype(kind), np.minimum(counts, _TOP).astype(np.uint16)
    for table in tables:
        table.flags.writeable = False
    return Quantiser(parameters, *tables)


def _apply(table: NDArray[Any], taken: NDArray[Any], kind: np.dtype[Any], out: NDArray[Any]) -> None:
    if taken.dtype != kind or out.dtype != table.dtype or taken.shape != out.shape:
        what = f"{taken.dtype} {taken.shape} to {out.dtype} {out.shape}"
        raise ValueError(f"{what} is not {kind} to {table.dtype} of one shape")
    if not (taken.flags.c_contiguous and out.flags.c_contiguous):
        raise ValueError("the arrays are not C-contiguous")
    # One compiled form for arrays that may and that may not be written to.
    view = taken.reshape(-1)
    view.flags.writeable = False
    _look_up(table, view, out.reshape(-1))


@entry
def _look_up(table: Any, taken: Any, out: Any) -> None:
    for i in range(out.size):
        out[i] = table[taken[i]]
