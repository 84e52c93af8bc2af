"""JSON that knows its own content: what a disk changed on its own is noticed when the file is read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from typing import Any

import xxhash

_KEY = "xxh3_64"


def digest(value: Any) -> str:
    """Give the xxh3-64 of JSON types, whatever the order of their keys: 16 hexadecimal digits."""
    return xxhash.xxh3_64_hexdigest(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def with_digest(content: Mapping[str, Any]) -> dict[str, Any]:
    """Give an object with the digest of all its other keys."""
    return {**content, _KEY: digest(content)}


def check_digest(content: Mapping[str, Any], before: Set[str]) -> None:
    """Compare an object with its digest.

    Parameters
    ----------
    content : mapping
        What was read.
    before : set of str
        The keys that such objects had before they carried digests: one with these and no other passes without.

    Raises
    ------
    ValueError
        It is not what was written.
    """
    if _KEY not in content:
        sound = content.keys() <= before
    else:
        sound = content[_KEY] == digest({k: v for k, v in content.items() if k != _KEY})
    if not sound:
        raise ValueError("checksum")
