"""The steps of the lightsheet recipe, their parameters, and what each parameter may be."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..stream.errors import RecipeError

#: Beyond this a number cannot be a camera's offset or gain, and float32 maps could not hold it.
_LARGEST: Final = 3.4e38


@dataclass(frozen=True, slots=True)
class MapFile:
    """A map or list that is still a file on the machine of the agent.

    Attributes
    ----------
    path : Path
    """

    path: Path


@dataclass(frozen=True, slots=True)
class MapReference:
    """A map or list that travels beside the recipe.

    Attributes
    ----------
    map : str
        Key among the maps, ``"calibrate.gain"``.
    file : str
        Name of the file it was read from, without folders.
    xxh3 : str
        xxh3-64 of the array's bytes, 16 hexadecimal digits.
    """

    map: str
    file: str
    xxh3: str


Pixels = tuple[tuple[int, int], ...]
Value = int | float | MapFile | MapReference | Pixels


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a step.

    Attributes
    ----------
    default : int, float or tuple
        Value where the recipe is silent.
    what : str
        What it may be, for error messages.
    accept : callable
        Turns plain data into a value, or raises ValueError.
    mappable : bool
        Whether a file may stand for it.
    """

    default: int | float | Pixels
    what: str
    accept: Callable[[Any], int | float | Pixels]
    mappable: bool = False


def _number(data: Any) -> int | float:
    if isinstance(data, bool) or not isinstance(data, int | float) or not -_LARGEST <= data <= _LARGEST:
        raise ValueError
    return data


def _positive(data: Any) -> int | float:
    if _number(data) <= 0:
        raise ValueError
    return data


def _whole(low: int, high: float) -> Callable[[Any], int]:
    def accept(data: Any) -> int:
        number = _number(data)
        if number != math.floor(number) or not low <= number <= high:
            raise ValueError
        return int(number)

    return accept


def _factor(data: Any) -> int:
    number = _whole(1, 4)(data)
    if number == 3:
        raise ValueError
    return number


def _pixels(data: Any) -> Pixels:
    if not isinstance(data, list | tuple):
        raise ValueError
    coordinate = _whole(0, 2**31 - 1)
    pixels = set()
    for pair in data:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise ValueError
        pixels.add((coordinate(pair[0]), coordinate(pair[1])))
    return tuple(sorted(pixels))


#: In the order in which the steps act. The default offset equals the default pedestal, and is what sCMOS cameras are
#: usually set to: unless told otherwise, level 0 keeps the counts of the raw frames.
STEPS: Final[Mapping[str, Mapping[str, Parameter]]] = {
    "calibrate": {
        "offset": Parameter(100, "a finite number of counts or a map file", _number, mappable=True),
        "gain": Parameter(1, "a finite number above 0 or a map file", _positive, mappable=True),
    },
    "hot_pixels": {"pixels": Parameter((), "a list [[y, x], ...] or a file", _pixels, mappable=True)},
    "bin": {"factor": Parameter(2, "1, 2 or 4", _factor)},
    "encode": {"pedestal": Parameter(100, "a whole number of counts, 0 to 65535", _whole(0, 65535))},
    "pyramid": {"until": Parameter(256, "a whole number of pixels, at least 1", _whole(1, 2**31 - 1))},
    "projections": {},
    "statistics": {},
}


def parameter(recipe: str, step: str, name: str) -> Parameter:
    """Look a parameter up.

    Parameters
    ----------
    recipe, step, name : str
        The recipe's name is for the message.

    Returns
    -------
    Parameter

    Raises
    ------
    RecipeError
        If there is no such step, or the step has no such parameter; the message lists the valid ones.
    """
    if step not in STEPS:
        raise RecipeError(f"recipe '{recipe}' has no step '{step}'", f"its steps are {', '.join(STEPS)}")
    if name not in STEPS[step]:
        valid = f"its parameters are {', '.join(STEPS[step])}" if STEPS[step] else "it takes none"
        raise RecipeError(f"step '{step}' of recipe '{recipe}' has no parameter '{name}'", valid)
    return STEPS[step][name]


def accept(recipe: str, step: str, name: str, data: Any, folder: Path | None) -> Value:
    """Turn plain data into the value of a parameter.

    Parameters
    ----------
    recipe, step, name : str
    data : Any
        A number, a list, the name of a map file, or the object that stands for a map.
    folder : Path or None
        Where relative file names start; None where files are not allowed, because the recipe came over the network or
        from a store.

    Returns
    -------
    int, float, MapFile, MapReference, or tuple of (y, x)

    Raises
    ------
    RecipeError
        If the step or parameter does not exist, or the data does not fit it.
    """
    declared = parameter(recipe, step, name)
    if declared.mappable and isinstance(data, str) and data and folder is not None:
        return MapFile(folder / Path(data).expanduser())
    if declared.mappable and isinstance(data, Mapping) and _is_reference(f"{step}.{name}", data):
        return MapReference(data["map"], data["file"], data["xxh3"])
    try:
        return declared.accept(data)
    except (ValueError, OverflowError):
        shown = json.dumps(data, default=str)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        what = f"{step}.{name} of recipe '{recipe}' is {shown}"
        raise RecipeError(what, f"it must be {declared.what}") from None


def _is_reference(key: str, data: Mapping[str, Any]) -> bool:
    texts = all(isinstance(value, str) for value in data.values())
    if set(data) != {"map", "file", "xxh3"} or not texts or data["map"] != key:
        return False
    return re.fullmatch(r"[0-9a-f]{16}", data["xxh3"]) is not None
