"""Which bytes of a file a ``Range`` header asks for; decided without touching the file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

_SINGLE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes ``first … first + count - 1`` of a file.

    Attributes
    ----------
    first, count : int
        Offset and length, bytes.
    """

    first: int
    count: int

    def content_range(self, size: int) -> str:
        """Give the value of ``Content-Range`` for a file of ``size`` bytes."""
        return f"bytes {self.first}-{self.first + self.count - 1}/{size}"


def span_of(header: str | None, size: int) -> Span | Literal["unsatisfiable"] | None:
    """Read a ``Range`` header (RFC 9110 section 14).

    Parameters
    ----------
    header : str or None
        ``bytes=a-b``, ``bytes=a-`` or ``bytes=-n``.
    size : int
        Size of the file, bytes.

    Returns
    -------
    Span, "unsatisfiable" or None
        None: send the whole file, because nothing was asked, or something that a server may ignore (another unit, a
        malformed or a multiple range).
    """
    asked = _SINGLE.fullmatch(header.strip()) if header else None
    if asked is None or asked[0].endswith("=-"):
        return None
    if not asked[1]:
        count = min(int(asked[2]), size)
        return Span(size - count, count) if count else "unsatisfiable"
    first = int(asked[1])
    last = min(int(asked[2]), size - 1) if asked[2] else size - 1
    if asked[2] and int(asked[2]) < first:
        return None
    return Span(first, last - first + 1) if first < size else "unsatisfiable"
