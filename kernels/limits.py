"""What a number in the parameters of a reduction may be."""

from __future__ import annotations

from ..stream.errors import RecipeError


def check_number(key: str, value: float, unit: str, low: float, high: float) -> None:
    """Check a parameter that is a number.

    Parameters
    ----------
    key : str
        ``"step.parameter"``.
    value : float
    unit : str
        In the plural, for the message.
    low, high : float
        Smallest and largest value allowed.

    Raises
    ------
    RecipeError
        If the value is no finite number from low to high.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise RecipeError(f"{key} is {value}", f"it must be a number of {unit} from {low:g} to {high:g}")


def check_whole(key: str, value: int, unit: str, low: int, high: int) -> None:
    """Check a parameter that is a whole number; the parameters are those of `check_number`.

    Raises
    ------
    RecipeError
        If the value is no whole number from low to high.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high or value % 1:
        raise RecipeError(f"{key} is {value}", f"it must be a whole number of {unit} from {low} to {high}")
