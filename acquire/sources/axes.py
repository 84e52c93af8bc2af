"""Which plane of a recording is which (t, c, z)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...stream.errors import SourceError, UsageError

_EXAMPLE = 'say what the planes are, slowest first, for example --axes "t=10,z=50"'


@dataclass(frozen=True, slots=True)
class Layout:
    """The order in which a recording holds its planes.

    Attributes
    ----------
    letters : str
        Axes of the planes as they lie in the file, slowest first; a subset of ``"tcz"`` in any order.
    sizes : tuple of int
        Length along each.
    """

    letters: str
    sizes: tuple[int, ...]

    @property
    def tcz(self) -> tuple[int, int, int]:
        """Sizes along (t, c, z); 1 where the recording has no such axis."""
        t, c, z = (self._size(letter) for letter in "tcz")
        return t, c, z

    @property
    def axes(self) -> str:
        """The axes that the recording has, in the order of ``Plan.axes``."""
        return "".join(letter for letter in "tcz" if letter in self.letters) + "yx"

    def position(self, number: int) -> int:
        """Place in the file of plane ``number`` in t, c, z order, both from 0."""
        _, c_size, z_size = self.tcz
        stack, z = divmod(number, z_size)
        t, c = divmod(stack, c_size)
        at = {"t": t, "c": c, "z": z}
        place = 0
        for letter, size in zip(self.letters, self.sizes, strict=True):
            place = place * size + at[letter]
        return place

    def _size(self, letter: str) -> int:
        place = self.letters.find(letter)
        return 1 if place < 0 else self.sizes[place]


def lay_out(dims: Sequence[tuple[str, int]], declared: str | None, name: str) -> Layout:
    """Decide what the planes of a recording are.

    Without ``declared``, axes that the file names t, c or z are those; one axis without a meaning (the pages of a
    plain TIFF) is z: one stack. Axes of length 1 that are none of these are dropped.

    Parameters
    ----------
    dims : sequence of (str, int)
        Letter and length of each axis that the file has in front of y and x, slowest first.
    declared : str or None
        What the operator says instead, see ``SourceOptions.axes``.
    name : str
        The recording, for messages.

    Raises
    ------
    UsageError
        ``declared`` cannot be read, or does not fit the number of planes.
    SourceError
        The file has axes that are none of t, c, z, and ``declared`` is None.
    """
    if declared is not None:
        return _declared_layout(dims, declared, name)
    known = [(letter.lower(), size) for letter, size in dims if letter.lower() in "tcz" or size > 1]
    strange = [letter for letter, _ in known if letter not in "tcz"]
    if len(strange) == 1 and all(letter != "z" for letter, _ in known):
        known = [("z" if letter == strange[0] else letter, size) for letter, size in known]
    elif strange or len({letter for letter, _ in known}) < len(known):
        shape = ", ".join(f"{letter.upper()} {size}" for letter, size in dims)
        raise SourceError(f"{name} does not say which of its axes ({shape}) are t, c and z", _EXAMPLE)
    return Layout("".join(letter for letter, _ in known), tuple(size for _, size in known))


def parse_axes(text: str) -> list[tuple[str, int | None]]:
    """Read ``"tz"``, ``"t=10,z"`` or ``"t10z50yx"`` as axes with their sizes, None where not given.

    Raises
    ------
    UsageError
        The text is something else, or names an axis twice.
    """
    plain = re.sub(r"[\s,]", "", text.lower()).removesuffix("yx")
    if not re.fullmatch(r"(?:[tcz](?:=?[0-9]{1,9})?)*", plain):
        raise UsageError(f"axes {text!r} cannot be read", _EXAMPLE)
    found = re.findall(r"([tcz])=?([0-9]*)", plain)
    if len({letter for letter, _ in found}) < len(found):
        raise UsageError(f"axes {text!r} name an axis twice", _EXAMPLE)
    return [(letter, int(size) if size else None) for letter, size in found]


def _declared_layout(dims: Sequence[tuple[str, int]], declared: str, name: str) -> Layout:
    axes = parse_axes(declared)
    planes = math.prod(size for _, size in dims)
    open_ends = [letter for letter, size in axes if size is None]
    long = [size for _, size in dims if size > 1]
    if len(open_ends) > 1 and len(open_ends) == len(axes):
        lengths = [size for _, size in dims] if len(dims) == len(axes) else long
        if len(lengths) == len(axes):
            axes = [(letter, size) for (letter, _), size in zip(axes, lengths, strict=True)]
            open_ends = []
    if len(open_ends) > 1:
        raise UsageError(f"axes {declared!r} leave open how the {planes} planes of {name} are divided", _EXAMPLE)
    given = math.prod(size for _, size in axes if size is not None)
    if open_ends:
        rest = planes // max(given, 1)
        axes = [(letter, rest if size is None else size) for letter, size in axes]
    sizes = tuple(size or 0 for _, size in axes)
    if math.prod(sizes) != planes:
        raise UsageError(f"axes {declared!r} do not fit the {planes} planes of {name}", _EXAMPLE)
    return Layout("".join(letter for letter, _ in axes), sizes)
