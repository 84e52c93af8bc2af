"""One file of a spool: records of a fixed size, found again whatever happened to their neighbours."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..stream.direct_io import PAGE_BYTES
from ..stream.model import Frame
from .spool_record import RecordLayout, is_blank

#: What reading gives where the disk or the file is damaged, rather than the process hindered.
DAMAGE = (errno.EIO, errno.ENOENT, errno.EISDIR, errno.ENODATA, errno.EUCLEAN, errno.EBADMSG)


def segment_path(directory: Path, sequence: int) -> Path:
    """Give the path of a segment."""
    return directory / f"segment-{sequence:08d}"


def segments_of(directory: Path) -> dict[int, Path]:
    """Give the segments of a spool by sequence number, in order."""
    found = {p.name.removeprefix("segment-"): p for p in directory.iterdir() if p.name.startswith("segment-")}
    return {int(name): found[name] for name in sorted(found) if name.isdecimal() and len(name) == 8}


@dataclass(frozen=True)
class Scan:
    """What the headers of a segment say.

    Attributes
    ----------
    frames : dict of int to Frame
        By place in the file, from 0.
    damaged : int
        Places where something else stands than a record of this run.
    nbytes : int
        Bytes of the file.
    used_bytes : int
        Bytes up to the end of the last record; the rest is room that was never used.
    """

    frames: dict[int, Frame]
    damaged: int
    nbytes: int
    used_bytes: int


def scan(path: Path, layout: RecordLayout, capacity: int) -> Scan:
    """Read every header of a segment; damage of any kind costs the records that it hit.

    Parameters
    ----------
    path : Path
        Of the segment.
    layout : RecordLayout
        Of the records.
    capacity : int
        Records that a segment has at most; what lies beyond is not looked at.

    Raises
    ------
    OSError
        The process is hindered, by permissions for example, or the disk does not answer at all.
    """
    frames: dict[int, Frame] = {}
    damaged = used = 0
    try:
        with opened(path, os.O_NONBLOCK | os.O_NOFOLLOW) as handle:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                return Scan({}, 1, 0, 0)
            slots = min(capacity, -(-status.st_size // layout.stride))
            for slot, block in enumerate(_blocks(handle, layout.stride, slots)):
                if is_blank(block):
                    continue
                used = slot + 1
                frame = layout.frame(block)
                if frame is not None and slot * layout.stride + PAGE_BYTES + layout.frame_bytes <= status.st_size:
                    frames[slot] = frame
                else:
                    damaged += 1
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP):  # gone, or something else in its place
            raise
        return Scan({}, 1, 0, 0)
    return Scan(frames, damaged, status.st_size, min(used * layout.stride, status.st_size))


def _blocks(handle: int, stride: int, count: int) -> Iterator[bytes]:
    """Give the header block of each record; what the disk cannot read is given as something that no header is."""
    with suppress(OSError):  # it is advice
        os.posix_fadvise(
            handle, 0, 0, os.POSIX_FADV_RANDOM
        )  # headers are far apart: reading ahead would read the pixels
    for slot in range(count):
        try:
            yield os.pread(handle, PAGE_BYTES, slot * stride)
        except OSError as error:
            if error.errno not in DAMAGE:
                raise
            yield b"?"


@contextmanager
def opened(path: Path, flags: int = 0) -> Iterator[int]:
    """Open a file for reading, and close it."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        yield handle
    finally:
        os.close(handle)
