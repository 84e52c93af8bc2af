"""Where the pixels of the frames lie that an agent holds: in its ring, in the spool, or on their way to a worker."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..stream.direct_io import page_memory
from ..stream.errors import OctostreamError
from ..stream.model import Frame
from .overrun import to_spool
from .ring import Ring
from .spooling import Spooling

#: Frames that are read back from the spool lie in so many bytes of buffers, and in no more buffers than this.
READ_BACK_BYTES = 64 * 2**20
READ_BACK_FRAMES = 64
#: While the spool takes nothing more, it is asked again so often.
ASK_AGAIN_S = 0.5

Done = Callable[[], bool]


@dataclass(slots=True)
class _InRing:
    frame: Frame
    slot: int
    sent: Done | None = None
    spooling: bool = False
    released: bool = False

    @property
    def idle(self) -> bool:
        """Nobody reads the slot any more."""
        return not self.spooling and (self.sent is None or self.sent())


class Payloads:
    """Keeps the pixels of held frames; for the agent's thread only.

    Frames come into the ring. When it is nearly full and the tier takes no more, the oldest that wait go to the spool
    and their slots are free again. What is sent from the spool is read back into a few buffers of its own, so that
    replay and capture never wait for each other's memory.

    Parameters
    ----------
    ring : Ring
        Memory that the source fills.
    spooling : Spooling or None
        The way to the spool, where the run has one.
    """

    def __init__(self, ring: Ring, spooling: Spooling | None) -> None:
        self.ring = ring
        self.spool_full = ""
        self._spooling = spooling
        self._ring: dict[int, _InRing] = {}
        self._in_spool: set[int] = set()
        self._leaving: list[_InRing] = []
        self._under_way = 0
        self._asked_s = 0.0
        self._buffers: list[NDArray[np.uint8]] = []
        self._reading: list[tuple[NDArray[np.uint8], Done]] = []

    @property
    def held(self) -> int:
        """Frames that are not yet durable."""
        return len(self._ring) + len(self._in_spool)

    def read_back_buffers(self, frame_bytes: int) -> int:
        """Make the buffers for frames from the spool; gives how many."""
        if self._spooling is None:
            return 0
        count = max(2, min(READ_BACK_FRAMES, READ_BACK_BYTES // frame_bytes))
        self._buffers = [np.frombuffer(page_memory(frame_bytes), np.uint8) for _ in range(count)]
        return count

    def captured(self, frame: Frame, slot: int) -> None:
        """Keep a frame that the source put into a slot."""
        self._ring[frame.number] = _InRing(frame, slot)

    def pixels(self, frame: Frame) -> memoryview:
        """Give the bytes of a frame that is to be sent; ``sent`` must follow.

        Raises
        ------
        OctostreamError
            It lies in the spool and is damaged: it is held no longer.
        """
        here = self._ring.get(frame.number)
        if here is not None:
            return self.ring[here.slot].data.cast("B")
        assert self._spooling is not None
        buffer = self._buffers.pop()
        try:
            self._spooling.spool.read(frame.number, buffer.data)
        except OctostreamError:
            self._buffers.append(buffer)
            self._in_spool.discard(frame.number)
            raise
        self._reading.append((buffer, _never))
        return buffer.data

    def sent(self, frame: Frame, done: Done) -> None:
        """Note that ZeroMQ reads the bytes that ``pixels`` gave last, until ``done``."""
        here = self._ring.get(frame.number)
        if here is not None:
            here.sent = done
        else:
            self._reading[-1] = (self._reading[-1][0], done)

    def release(self, numbers: Collection[int]) -> None:
        """Forget frames that are durable."""
        in_spool = self._in_spool.intersection(numbers)
        for number in numbers:
            here = self._ring.pop(number, None)
            if here is not None:
                here.released = True
                self._leaving.append(here)
        if in_spool and self._spooling is not None:
            self._in_spool -= in_spool
            self._spooling.forget(in_spool)
            self.spool_full = ""

    def spooled(self, number: int) -> bool:
        """Note that a frame lies in the spool; False where it is durable at the tier by now."""
        here = self._take_from_spooler(number)
        self.spool_full = ""
        if here.released:
            assert self._spooling is not None
            self._spooling.forget([number])
            return False
        del self._ring[number]
        self._in_spool.add(number)
        self._leaving.append(here)
        return True

    def found(self, number: int) -> None:
        """Note that a frame lay in the spool before this agent began."""
        self._in_spool.add(number)

    def not_spooled(self, number: int, why: str) -> None:
        """Note that the spool did not take a frame; it stays where it is."""
        self._take_from_spooler(number)
        self.spool_full = why

    def _take_from_spooler(self, number: int) -> _InRing:
        here = self._ring.get(number) or next(k for k in self._leaving if k.frame.number == number)
        here.spooling = False
        self._under_way -= 1
        return here

    def collect(self) -> int:
        """Give back the slots that nobody reads any more; gives how many buffers for read-back became free.

        A frame may still be on its way to a second worker when the first one has made it durable.
        """
        waiting: list[_InRing] = []
        for here in self._leaving:
            if here.idle:
                self.ring.give(here.slot)
            else:
                waiting.append(here)
        self._leaving = waiting
        done = [buffer for buffer, is_done in self._reading if is_done()]
        self._reading = [(buffer, is_done) for buffer, is_done in self._reading if not is_done()]
        self._buffers += done
        return len(done)

    def relieve(self, is_under_way: Callable[[int], bool], away: bool, now: float) -> None:
        """Have frames spooled where the ring runs full and the tier takes no more, or is ``away``."""
        if self._spooling is None or (self.spool_full and now - self._asked_s < ASK_AGAIN_S):
            return
        # What ZeroMQ still reads would not free its slot.
        candidates = (number for number, here in self._ring.items() if here.idle)
        free = self.ring.free + self._under_way
        for number in to_spool(candidates, is_under_way, free, len(self.ring), away=away):
            self._asked_s = now
            self._spool(self._ring[number])

    def park(self) -> None:
        """Have everything spooled that is not durable: the agent ends before the run does."""
        for here in self._ring.values():
            if not here.spooling:
                self._spool(here)

    def let_go(self) -> None:
        """Give all memory back: the agent is over. Its owner may keep it for long, to look at how the run ended."""
        self.ring.let_go()
        self._buffers.clear()
        self._reading.clear()

    def _spool(self, here: _InRing) -> None:
        assert self._spooling is not None
        here.spooling = True
        self._under_way += 1
        self._spooling.put(here.frame, self.ring[here.slot])


def _never() -> bool:
    return False
