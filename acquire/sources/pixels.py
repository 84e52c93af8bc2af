"""Which kinds of pixel a recording may hold."""

from __future__ import annotations

import numpy as np

from ...stream.errors import SourceError

_KINDS = {
    "b": "bilevel (1-bit)",
    "i": "signed {bits}-bit integer",
    "u": "unsigned {bits}-bit integer",
    "f": "{bits}-bit floating-point",
    "c": "{bits}-bit complex",
}
_REMEDY = "convert to unsigned 16-bit grey levels, in Fiji by Image > Type > 16-bit"


def check_pixels(dtype: np.dtype[np.generic], name: str) -> None:
    """Accept uint16, and uint8, which is widened; refuse all else by name.

    Raises
    ------
    SourceError
        The pixels are of another type.
    """
    if dtype.kind == "u" and dtype.itemsize <= 2:
        return
    kind = _KINDS.get(dtype.kind, "{dtype}").format(bits=8 * dtype.itemsize, dtype=dtype)
    raise SourceError(f"{name} has {kind} pixels ({dtype.name}), which frames cannot hold", _REMEDY)


def colour_refused(kind: str, name: str) -> SourceError:
    """Make the error for a recording whose pixels are colours (``"RGB"``, ``"palette"``)."""
    return SourceError(
        f"{name} has {kind} colour pixels, but a frame is one grey level a pixel",
        "split the colours into channels (Fiji: Image > Color > Split Channels) and save 16-bit grey levels",
    )


def size_changed(name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> SourceError:
    """Make the error for the first page or file whose size is not that of the ones before."""
    return SourceError(
        f"{name} is {_size(found)}, the ones before it are {_size(expected)}",
        "all frames must have one size: crop them alike, or replay the parts apart",
    )


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(str(n) for n in shape)
