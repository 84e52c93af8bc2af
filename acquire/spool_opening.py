"""The beginning of a spool: where its run was opened and all that is needed to open it again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgpack
import xxhash

from ..stream import messages as m
from ..stream.errors import WireError
from ..stream.wire import decode, encode
from .durable import write_file
from .spool_errors import SpoolError

#: Written twice, because the frames are worth nothing without it.
NAMES = ("opening", "opening-copy")

_MAGIC = b"octostream spool 1\n"
_SUM_BYTES = 8


@dataclass(frozen=True)
class SpoolOpening:
    """What was known when a spool was made.

    Attributes
    ----------
    opening : Open
        What was, or is yet to be, asked of the tier; its token is a secret.
    to : str
        Address of the tier.
    limit_bytes : int
        Bytes of frames that the spool may hold.
    created_ns : int
        Wall clock when it was made, nanoseconds since 1970.
    """

    opening: m.Open
    to: str
    limit_bytes: int
    created_ns: int

    @property
    def key(self) -> int:
        """Tells records of this run from those of another, 64 bits."""
        return xxhash.xxh3_64_intdigest(self.opening.token.encode())

    def write(self, directory: Path) -> None:
        """Write it down, durable but for the names of the files.

        Raises
        ------
        OSError
            As the system says.
        """
        parts = [bytes(part) for part in encode(self.opening)]
        facts = {"to": self.to, "limit_bytes": self.limit_bytes, "created_ns": self.created_ns, "parts": parts}
        body = cast("bytes", msgpack.packb(facts))
        data = _MAGIC + xxhash.xxh3_64_digest(body) + body
        for name in NAMES:
            write_file(directory / name, data)


def read_opening(directory: Path) -> SpoolOpening:
    """Read the beginning of a spool, from whichever copy is whole.

    Raises
    ------
    SpoolError
        There is no spool, or both copies are damaged.
    """
    found = [_read(directory / name) for name in NAMES]
    body = next((data for data in found if data), None)
    if body is None and not any(os.path.lexists(directory / name) for name in NAMES):
        raise SpoolError(f"{directory} is no spool", "see `octostream spool list` for those that there are")
    if body is None:
        what = f"the spool {directory.name} cannot be used: both copies of its beginning are damaged"
        raise SpoolError(what, "its frames cannot be sent; discard it")
    try:
        return _unpack(body)
    except (WireError, ValueError, KeyError, TypeError) as error:
        what = f"the spool {directory.name} was written by another release ({error})"
        raise SpoolError(what, "open it with the release that wrote it") from error


def _read(path: Path) -> bytes | None:
    """Give the body of one copy; None where it is not what was written."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    begin = len(_MAGIC) + _SUM_BYTES
    body = data[begin:]
    whole = data.startswith(_MAGIC) and data[len(_MAGIC) : begin] == xxhash.xxh3_64_digest(body)
    return body if whole else None


def _unpack(body: bytes) -> SpoolOpening:
    facts: dict[str, Any] = msgpack.unpackb(body)
    opening = decode(facts["parts"])
    if not isinstance(opening, m.Open):
        raise TypeError(f"it begins with {type(opening).__name__}")
    return SpoolOpening(opening, str(facts["to"]), int(facts["limit_bytes"]), int(facts["created_ns"]))
