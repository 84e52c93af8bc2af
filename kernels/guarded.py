"""Somebody else's function, called so that its errors cost a value and never a frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from .parameters import Parameters

log = structlog.get_logger()


class Guarded:
    """A function of a step, and what to do when it fails.

    Any exception, and any result that is not what the step said, is reported in one log line for each run and worker;
    the caller then leaves the value out.

    Parameters
    ----------
    step : str
        Name, for the log.
    function : callable
        Takes arrays, and the parameters if there are any.
    parameters : Parameters, optional
        Passed on to it.
    """

    def __init__(self, step: str, function: Callable[..., Any], parameters: Parameters | None) -> None:
        self._step = step
        self._function = function
        self._more = () if parameters is None else (parameters,)
        self._told = False

    def __call__(self, array: NDArray[Any], check: Callable[[Any], Any]) -> Any:
        """Call the function.

        Parameters
        ----------
        array : array
            Handed over so that it cannot be written to.
        check : callable
            Turns what the function gives into what is stored, or raises.

        Returns
        -------
        Any
            What ``check`` gives; None if anything failed.
        """
        safe = array.view()
        safe.flags.writeable = False
        try:
            return check(self._function(safe, *self._more))
        except Exception as error:  # noqa: BLE001 - any of them would lose frames that the function only looks at
            if not self._told:
                self._told = True
                why = f"{type(error).__name__}: {error}".partition("\n")[0]
                log.warning(
                    "a step failed; frames are kept, what it makes of them is left out", step=self._step, why=why
                )
            return None


def fitting(result: Any, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """See that an array can be stored without a change.

    Parameters
    ----------
    result : array_like
    shape : tuple of int
        It must have.
    dtype : str
        It will be stored as. Numbers with a fraction do not become whole ones by themselves, nor do whole ones wrap.

    Returns
    -------
    array

    Raises
    ------
    ValueError
        If it cannot.
    """
    array, target = np.asarray(result), np.dtype(dtype)
    if array.shape != shape:
        raise ValueError(f"gave an array {array.shape}, and {shape} was announced")
    if array.dtype.kind not in ("fiub" if target.kind == "f" else "iub"):
        raise ValueError(f"gave {array.dtype}, and {target} was announced; round or convert it")
    if target.kind != "f" and array.size and not np.can_cast(array.dtype, target):
        low, high, limits = array.min(), array.max(), np.iinfo(target)
        if low < limits.min or high > limits.max:
            raise ValueError(f"gave values from {low} to {high}, which {target} does not hold")
    return array


def blank(dtype: str) -> float:
    """Give what stands for a value that is not there: NaN, or 0 in whole numbers."""
    return np.nan if np.dtype(dtype).kind == "f" else 0
