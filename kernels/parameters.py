"""Parameters of a step: each declared once, with its default, what it may be, and one line of help."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from ..stream.errors import RecipeError
from .kinds import Kind


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


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a step.

    Attributes
    ----------
    name : str
    default : int, float, str, bool or tuple
        Value where the recipe is silent.
    kind : Kind
        What it may be, with its unit.
    help : str
        One line.
    mappable : bool
        Whether a file, a map with a value for each pixel, may stand for it.
    """

    name: str
    default: Any
    kind: Kind
    help: str
    mappable: bool = False

    @property
    def what(self) -> str:
        """What it may be, for error messages."""
        if not self.mappable:
            return self.kind.what
        return f"{self.kind.what} or a {'' if isinstance(self.default, tuple) else 'map '}file"


def declared(default: Any, kind: Kind, help: str, *, mappable: bool = False) -> Any:  # noqa: A002 - the field's word
    """Declare a field of `Parameters`; the arguments are the attributes of `Parameter`."""
    return field(default=default, metadata={"kind": kind, "help": help, "mappable": mappable})


@dataclass(frozen=True)
class Parameters:
    """What a step is told; subclasses declare their fields with `declared`.

    Raises
    ------
    RecipeError
        If a value is not what its parameter may be.
    """

    #: Name of the step, for messages.
    step_name: ClassVar[str] = ""

    def __post_init__(self) -> None:
        """Check every value, and bring it to its type."""
        for parameter in declared_of(type(self)).values():
            value = getattr(self, parameter.name)
            if not (parameter.mappable and isinstance(value, MapFile | MapReference)):
                object.__setattr__(self, parameter.name, _take(f"{self.step_name}.{parameter.name}", parameter, value))


def declared_of(parameters: type[Parameters]) -> dict[str, Parameter]:
    """Give the parameters that a class declares, by name, in their order.

    Raises
    ------
    TypeError
        If the class declares some and is no dataclass, which would pass over them in silence.
    """
    if any(isinstance(value, Field) for value in vars(parameters).values()):
        raise TypeError(f"put @dataclass(frozen=True) before the class {parameters.__name__}")
    return {f.name: _parameter(f) for f in fields(parameters)}


def _parameter(declaration: Field[Any]) -> Parameter:
    told = declaration.metadata
    return Parameter(declaration.name, declaration.default, told["kind"], told["help"], told["mappable"])


def accept(recipe: str, step: str, parameter: Parameter, data: Any, folder: Path | None) -> Any:
    """Turn plain data into the value of a parameter.

    Parameters
    ----------
    recipe, step : str
        Names for the message.
    parameter : Parameter
    data : Any
        A number, a word, a list, the name of a map file, or the object that stands for a map.
    folder : Path or None
        Where relative file names start; None where files are not allowed, because the recipe came over the network or
        from a store.

    Raises
    ------
    RecipeError
        If the data does not fit it.
    """
    key = f"{step}.{parameter.name}"
    if parameter.mappable and isinstance(data, str) and data and folder is not None:
        return MapFile(folder / Path(data).expanduser())
    if parameter.mappable and isinstance(data, Mapping) and _is_reference(key, data):
        return MapReference(data["map"], data["file"], data["xxh3"])
    return _take(f"{key} of recipe '{recipe}'", parameter, data)


def _take(key: str, parameter: Parameter, data: Any) -> Any:
    try:
        return parameter.kind.accept(data)
    except (ValueError, OverflowError, TypeError):
        shown = json.dumps(data, default=str)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        raise RecipeError(f"{key} is {shown}", f"it must be {parameter.what}") from None


def _is_reference(key: str, data: Mapping[str, Any]) -> bool:
    texts = all(isinstance(value, str) for value in data.values())
    if set(data) != {"map", "file", "xxh3"} or not texts or data["map"] != key:
        return False
    return re.fullmatch(r"[0-9a-f]{16}", data["xxh3"]) is not None
