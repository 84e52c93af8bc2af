"""A recording as planes that can be read in any order, and the memory that keeps the ones in use."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...stream.model import Pixel

#: Recordings up to this size are held in memory whole; larger ones are read plane by plane.
CACHE_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True)
class Recording:
    """What a recording says about itself.

    Attributes
    ----------
    shape : tuple of int
        (t, c, z, y, x).
    axes : str
        Those that it really has, as in ``Plan.axes``.
    pixel : Pixel
        Sampling, micrometres.
    channels : tuple of str
        One label a channel, or none.
    exposure_ms : float or None
        Exposure time, milliseconds.
    """

    shape: tuple[int, int, int, int, int]
    axes: str
    pixel: Pixel = field(default_factory=Pixel)
    channels: tuple[str, ...] = ()
    exposure_ms: float | None = None

    @property
    def planes(self) -> int:
        """Number of planes."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Size of a plane (y, x), pixels."""
        return self.shape[3], self.shape[4]

    @property
    def plane_bytes(self) -> int:
        """Bytes of one plane as uint16."""
        return 2 * self.shape[3] * self.shape[4]


class Planes(Protocol):
    """Random access to the planes of a recording."""

    @property
    def recording(self) -> Recording:
        """What the recording says about itself."""
        ...

    def read(self, number: int, out: NDArray[np.uint16]) -> None:
        """Put plane ``number``, counted in t, c, z order (z fastest), into ``out``, uint16 (y, x).

        Raises
        ------
        SourceError
            The plane cannot be read; the message names the file and the place in it.
        """
        ...

    def close(self) -> None:
        """Close the files; harmless when repeated."""
        ...


class PlaneCache:
    """The most recently used planes of a recording, in one array of bounded size.

    Parameters
    ----------
    planes : Planes
        Where they come from.
    limit_bytes : int
        Size of the array, bytes; one plane is kept in any case.
    """

    def __init__(self, planes: Planes, limit_bytes: int = CACHE_BYTES) -> None:
        recording = planes.recording
        slots = min(recording.planes, max(1, limit_bytes // recording.plane_bytes))
        self._planes = planes
        self._held = np.empty((slots, *recording.plane_shape), np.uint16)
        self._free = list(range(slots))[::-1]
        self._slot_of: OrderedDict[int, int] = OrderedDict()

    @property
    def holds_all(self) -> bool:
        """Whether the whole recording fits."""
        return len(self._held) == self._planes.recording.planes

    def plane(self, number: int) -> NDArray[np.uint16]:
        """Give a plane, uint16 (y, x), to be read before the next call and not written to.

        Raises
        ------
        SourceError
            The plane cannot be read.
        """
        slot = self._slot_of.get(number)
        if slot is None:
            slot = self._free.pop() if self._free else self._slot_of.popitem(last=False)[1]
            try:
                self._planes.read(number, self._held[slot])
            except BaseException:
                # The slot holds part of a plane now: no number leads to it, and the next plane takes it.
                self._free.append(slot)
                raise
            self._slot_of[number] = slot
        else:
            self._slot_of.move_to_end(number)
        return self._held[slot]
