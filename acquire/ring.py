"""Frame buffers of an agent, allocated once and used again."""

from __future__ import annotations

import math
import threading

import numpy as np
from numpy.typing import NDArray

from ..stream.direct_io import page_memory
from ..stream.errors import UsageError
from ..stream.model import Plan

#: An agent holds at most this many bytes of frames in memory.
RING_BYTES = 900 * 2**20


class Ring:
    """A fixed set of frame buffers.

    Parameters
    ----------
    frame_shape : tuple of int
        (y, x), pixels.
    slots : int
        How many frames.
    """

    def __init__(self, frame_shape: tuple[int, int], slots: int) -> None:
        memory = page_memory(slots * frame_shape[0] * frame_shape[1] * 2)
        self._frames: NDArray[np.uint16] = np.frombuffer(memory, np.uint16).reshape(slots, *frame_shape)
        self._frames.fill(0)  # touches every page now, so that no frame pays for it later
        self._slots = slots
        self._free = list(range(slots))
        self._changed = threading.Condition()
        self._closed = False

    @classmethod
    def for_plan(cls, plan: Plan, memory_bytes: int = RING_BYTES) -> Ring:
        """Make a ring that holds two blocks and what is on its way, and a third block where memory allows.

        Two blocks are the least with which capture goes on while a block is made durable.

        Raises
        ------
        UsageError
            They do not fit into the memory.
        """
        block = plan.blocks[0].count
        least = min(2 * block + min(8, block), plan.frames)
        fitting = memory_bytes // plan.frame_bytes
        if fitting < least:
            what = f"{memory_bytes / 2**20:.0f} MiB of memory hold {fitting} frames, this run needs {least}"
            raise UsageError(what, f"allow {math.ceil(least * plan.frame_bytes / 2**20)} MiB at least")
        return cls(plan.frame_shape, min(3 * block + 16, fitting, plan.frames))

    def __len__(self) -> int:
        """Count the slots."""
        return self._slots

    @property
    def used(self) -> int:
        """Slots that hold a frame."""
        return self._slots - len(self._free)

    @property
    def free(self) -> int:
        """Slots that hold none."""
        return len(self._free)

    def take(self, timeout_s: float) -> int | None:
        """Take a free slot, waiting for one; None where none came free in time or the ring is closed."""
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._free) or self._closed, timeout_s) or self._closed:
                return None
            return self._free.pop()

    def give(self, slot: int) -> None:
        """Give a slot back."""
        with self._changed:
            self._free.append(slot)
            self._changed.notify()

    def close(self) -> None:
        """Wake whoever waits: no slot will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def let_go(self) -> None:
        """Give the memory back, as soon as nobody else has a buffer of it; there are none to be had any more."""
        self.close()
        self._frames = self._frames[:0].copy()

    def __getitem__(self, slot: int) -> NDArray[np.uint16]:
        """Give the buffer of a slot, uint16 (y, x)."""
        return self._frames[slot]
