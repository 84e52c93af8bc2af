"""What a text must be so that ICAT can store it as it is: said without ICAT, to whoever opens a run."""

from __future__ import annotations

import re

_UNSENDABLE = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")


def java_length(text: str) -> int:
    """Give how many characters ICAT counts: those beyond the basic plane are two each, as in Java."""
    return len(text) + sum(ord(character) > 0xFFFF for character in text)


def unsendable(text: str) -> str:
    """Give the first character that no XML message can carry as it is; empty where all can be."""
    found = _UNSENDABLE.search(text)
    return found[0] if found else ""
