"""What a parameter may be: a number, a whole number, one of a few, a switch, a list."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Protocol

#: Beyond this a number cannot be a camera's offset or gain, and float32 maps could not hold it.
LARGEST: Final = 3.4e38


class Kind(Protocol):
    """What values a parameter takes."""

    @property
    def what(self) -> str:
        """Say what they are, for error messages: "a number of counts from 0 to 65535"."""
        ...

    def accept(self, data: Any) -> Any:
        """Turn plain data into a value, or raise ValueError."""
        ...

    def schema(self) -> dict[str, Any]:
        """Give the JSON Schema of the plain data."""
        ...


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number.

    Attributes
    ----------
    unit : str
        In the plural, "counts"; empty where there is none.
    low, high : float
        Smallest and largest value.
    above : bool
        Whether ``low`` itself is too small.
    """

    unit: str = ""
    low: float = -LARGEST
    high: float = LARGEST
    above: bool = False

    @property
    def what(self) -> str:
        """Say what it is."""
        return f"a finite number{_of(self.unit)}{_range(self.low, self.high, self.above)}"

    def accept(self, data: Any) -> int | float:
        """Take a number within the range."""
        if isinstance(data, bool) or not isinstance(data, int | float) or not self.low <= data <= self.high:
            raise ValueError
        if self.above and data == self.low:
            raise ValueError
        return data

    def schema(self) -> dict[str, Any]:
        """Give the JSON Schema."""
        low = "exclusiveMinimum" if self.above else "minimum"
        return {"type": "number", low: self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number; ``unit``, ``low`` and ``high`` as for `Number`."""

    unit: str = ""
    low: int = 0
    high: float = 2**31 - 1

    @property
    def what(self) -> str:
        """Say what it is."""
        return f"a whole number{_of(self.unit)}{_range(self.low, self.high, above=False)}"

    def accept(self, data: Any) -> int:
        """Take a whole number within the range, also written as 4.0."""
        number = Number(low=self.low, high=self.high).accept(data)
        if number != math.floor(number):
            raise ValueError
        return int(number)

    def schema(self) -> dict[str, Any]:
        """Give the JSON Schema."""
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few numbers or words.

    Attributes
    ----------
    options : tuple of int or str
        All of one type.
    unit : str
        As for `Number`.
    """

    options: tuple[Any, ...]
    unit: str = ""

    @property
    def what(self) -> str:
        """Say what it is."""
        *most, last = map(str, self.options)
        return f"{', '.join(most)} or {last}{f' {self.unit}' if self.unit else ''}"

    def accept(self, data: Any) -> Any:
        """Take one of the options; numbers also written as 4.0."""
        if isinstance(data, bool) or data not in self.options:
            raise ValueError
        return self.options[self.options.index(data)]

    def schema(self) -> dict[str, Any]:
        """Give the JSON Schema."""
        return {"enum": list(self.options)}


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    what: str = "true or false"
    unit: str = ""

    def accept(self, data: Any) -> bool:
        """Take true or false."""
        if not isinstance(data, bool):
            raise ValueError
        return data

    def schema(self) -> dict[str, Any]:
        """Give the JSON Schema."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Several:
    """A list without repetitions, kept in the order of ``each`` or sorted.

    Attributes
    ----------
    each : Kind
        What its members are.
    most : int
        How many there may be.
    unit : str
        As for `Number`.
    """

    each: Number | Whole | Choice
    most: int = 64
    unit: str = ""

    @property
    def what(self) -> str:
        """Say what it is."""
        return f"a list of at most {self.most}, each {self.each.what}"

    def accept(self, data: Any) -> tuple[Any, ...]:
        """Take a list."""
        if not isinstance(data, list | tuple) or len(data) > self.most:
            raise ValueError
        members = {self.each.accept(member) for member in data}
        order = self.each.options.index if isinstance(self.each, Choice) else None
        return tuple(sorted(members, key=order))

    def schema(self) -> dict[str, Any]:
        """Give the JSON Schema."""
        return {"type": "array", "items": self.each.schema(), "maxItems": self.most}


@dataclass(frozen=True, slots=True)
class Pixels:
    """A list of pixels (y, x)."""

    what: str = "a list [[y, x], ...]"
    unit: str = "pixels"

    def accept(self, data: Any) -> tuple[tuple[int, int], ...]:
        """Take a list of pairs; sorted, each once."""
        if not isinstance(data, list | tuple):
            raise ValueError
        coordinate = Whole()
        pixels: set[tuple[int, int]] = set()
        for pair in data:
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise ValueError
            pixels.add((coordinate.accept(pair[0]), coordinate.accept(pair[1])))
        return tuple(sorted(pixels))

    def schema(self) -> dict[str, Any]:
        """Give the JSON Schema."""
        pair = {"type": "array", "items": Whole().schema(), "minItems": 2, "maxItems": 2}
        return {"type": "array", "items": pair}


#: Sides that the pixels of a level can have, for steps that look at one: their parameter ``bin``.
LEVEL_SIDE: Final = Choice((1, 2, 4, 8, 16, 32, 64), "raw pixels")


def _of(unit: str) -> str:
    return f" of {unit}" if unit else ""


def _range(low: float, high: float, above: bool) -> str:
    least = f"above {low:g}" if above else f"at least {low:g}"
    if high >= 2**31 - 1:
        return "" if low <= -LARGEST else f" {least}" if above else f", {least}"
    return f" {least} and at most {high:g}" if above else f" from {low:g} to {high:g}"
