"""One record of a spool: a header block that checks itself, then the frame's pixels.

Records of a run lie at a fixed stride, so that the next one is found whatever happened to the one before. Header and
pixels each fill whole blocks of 4096 bytes, as direct I/O needs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import xxhash

from ..stream.direct_io import PAGE_BYTES
from ..stream.model import Frame

#: Bytes of a file of records, about: large enough that a new one costs nothing, small enough to be empty again soon.
SEGMENT_BYTES = 256 * 2**20
VERSION = 1

_MAGIC = b"octospoo"
#: magic, version, key of the run, number, time, payload bytes, xxh3-64 of the payload; then xxh3-64 of all these.
_FIELDS = struct.Struct("<8sQQQqQQ")
_SUM = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class RecordLayout:
    """How the records of one run are laid out.

    Attributes
    ----------
    frame_bytes : int
        Bytes of one frame.
    key : int
        Tells the records of one run from those of another, 64 bits.
    """

    frame_bytes: int
    key: int

    @property
    def stride(self) -> int:
        """Bytes from one record to the next."""
        return PAGE_BYTES + self.padded_bytes

    @property
    def padded_bytes(self) -> int:
        """Bytes of a frame, filled up to whole blocks."""
        return -(-self.frame_bytes // PAGE_BYTES) * PAGE_BYTES

    def header(self, frame: Frame) -> bytes:
        """Give the beginning of a record; the rest of its block is zero."""
        fields = _FIELDS.pack(
            _MAGIC, VERSION, self.key, frame.number, frame.timestamp_ns, self.frame_bytes, frame.checksum
        )
        return fields + _SUM.pack(xxhash.xxh3_64_intdigest(fields))

    def frame(self, block: bytes) -> Frame | None:
        """Read the header of a record; None where it is damaged or not of this run.

        Parameters
        ----------
        block : bytes
            The beginning of the record; nothing in it is trusted before its checksum is right.
        """
        if len(block) < _FIELDS.size + _SUM.size:
            return None
        fields = block[: _FIELDS.size]
        if _SUM.unpack_from(block, _FIELDS.size)[0] != xxhash.xxh3_64_intdigest(fields):
            return None
        magic, version, key, number, timestamp_ns, nbytes, checksum = _FIELDS.unpack(fields)
        if (magic, version, key, nbytes) != (_MAGIC, VERSION, self.key, self.frame_bytes):
            return None
        return Frame(number, timestamp_ns, checksum)


def capacity_of(layout: RecordLayout) -> int:
    """Give how many records a file has at most."""
    return max(1, SEGMENT_BYTES // layout.stride)


def is_blank(block: bytes) -> bool:
    """Tell whether nothing was ever written there: preallocated space reads as zeros."""
    return not any(block)
