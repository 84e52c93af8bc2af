"""Text in queries and fields of ICAT: quoted, never pasted; cut only where nothing is lost by it."""

from __future__ import annotations

import re

from .failures import ParkedError

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
    for character in text:
        code = ord(character)
        if (code < 0x20 and character not in "\t\n") or 0xD800 <= code <= 0xDFFF or code in (0xFFFE, 0xFFFF):
            raise ParkedError(f"{what} has the character U+{code:04X}", "leave it out: no XML message can carry it")
    return text


def sent(text: str) -> str:
    """Give a text as suds must be given it: what looks like an XML entity it would take for one escaped already."""
    return _ENTITY.sub("&amp;", text)


def java_length(text: str) -> int:
    """Give how many characters ICAT counts: those beyond the basic plane are two each, as in Java."""
    return len(text) + sum(ord(character) > 0xFFFF for character in text)


def shortened(text: str, limit: int = 255) -> str:
    """Give a text for people that fits a field; what is cut stands elsewhere in full."""
    clean = "".join(c if c.isprintable() else " " for c in text)
    if java_length(clean) > limit:
        clean = clean[: limit - 1]
        while java_length(clean) > limit - 1:
            clean = clean[:-1]
        clean += "…"
    return clean
