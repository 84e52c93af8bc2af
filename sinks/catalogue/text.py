"""Text in queries and fields of ICAT: quoted, never pasted; cut only where nothing is lost by it."""

from __future__ import annotations

import re
from typing import Final

from .failures import ParkedError
from .storable import java_length, unsendable

#: Most characters of a location, since ICAT's schema 6.2.
MAX_LOCATION: Final = 511

#: The ampersands that suds would leave alone.
_ENTITY = re.compile(r"&(?=(?:amp|lt|gt|quot|apos);)")


def literal(text: str) -> str:
    """Give a JPQL string literal: quotes are doubled, nothing else has a meaning in it.

    Raises
    ------
    ParkedError
        It has characters that no XML message can carry.
    """
    return "'" + sent(checked(text)).replace("'", "''") + "'"


def checked(text: str, limit: int = 4000, what: str = "a text") -> str:
    """Give a text back if ICAT can store it as it is.

    Raises
    ------
    ParkedError
        It is longer than the field, or has characters that no XML message can carry as they are.
    """
    if (length := java_length(text)) > limit:
        raise ParkedError(f"{what} has {length} characters, ICAT stores {limit}", "give a shorter one")
    if character := unsendable(text):
        raise ParkedError(
            f"{what} has the character U+{ord(character):04X}", "leave it out: no XML message can carry it"
        )
    return text


def sent(text: str) -> str:
    """Give a text as suds must be given it: what looks like an XML entity it would take for one escaped already."""
    return _ENTITY.sub("&amp;", text)


def shortened(text: str, limit: int = 255) -> str:
    """Give a text for people that fits a field; what is cut stands elsewhere in full."""
    clean = "".join(c if c.isprintable() else " " for c in text)
    if java_length(clean) > limit:
        clean = clean[: limit - 1]
        while java_length(clean) > limit - 1:
            clean = clean[:-1]
        clean += "…"
    return clean
