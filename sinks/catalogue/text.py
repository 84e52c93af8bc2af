"""Text in queries and fields of ICAT: quoted, never pasted; cut only where nothing is lost by it."""

from __future__ import annotations

from .failures import ParkedError


def literal(text: str) -> str:
    """Give a JPQL string literal: quotes are doubled, nothing else has a meaning in it.

    Raises
    ------
    ParkedError
        It has characters that no XML message can carry.
    """
    return "'" + checked(text).replace("'", "''") + "'"


def checked(text: str, limit: int = 4000, what: str = "a text") -> str:
    """Give a text back if ICAT can store it as it is.

    Raises
    ------
    ParkedError
        It is longer than the field, or has characters that no XML message can carry.
    """
    if len(text) > limit:
        raise ParkedError(f"{what} has {len(text)} characters, ICAT stores {limit}", "give a shorter one")
    for character in text:
        code = ord(character)
        if (code < 0x20 and character not in "\t\n\r") or 0xD800 <= code <= 0xDFFF or code in (0xFFFE, 0xFFFF):
            raise ParkedError(f"{what} has the character U+{code:04X}", "leave it out: no XML message can carry it")
    return text


def shortened(text: str, limit: int = 255) -> str:
    """Give a text for people that fits a field; what is cut stands elsewhere in full."""
    clean = "".join(c if c.isprintable() and not 0xD800 <= ord(c) <= 0xDFFF else " " for c in text)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
