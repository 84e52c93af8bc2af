"""A device in this process: keeps the promise of `Device`, as late and in as strange an order as it allows.

Nothing happens when it is asked for. Work waits in its stream until somebody waits for an event; then streams take
turns in a random order, as far as events permit. Who writes to pinned memory too early, or forgets to order two
streams, gets wrong results.
"""

from __future__ import annotations

import ctypes
import mmap
import random
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from octostream.kernels.device import Description
from octostream.stream.errors import DeviceLostError

from .accelerator import EmulatedAccelerator
from .build import run_kernel

_PAGE = mmap.PAGESIZE
_LIBC = ctypes.CDLL(None, use_errno=True)
#: What memory holds that nobody wrote.
POISON = 0xA5


class Guarded:
    """Memory between two pages that nobody may touch; behind it are at most 15 bytes of its own page."""

    def __init__(self, nbytes):
        self.nbytes = nbytes
        pages = -(-nbytes // _PAGE)
        self._map = mmap.mmap(-1, (pages + 2) * _PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        for page in (0, pages + 1):
            assert _LIBC.mprotect(ctypes.c_void_p(start + page * _PAGE), ctypes.c_size_t(_PAGE), 0) == 0
        first = _PAGE + (pages * _PAGE - nbytes) // 16 * 16
        self.address = start + first
        self.bytes = np.frombuffer(self._map, np.uint8, nbytes, first)


@dataclass
class Event:
    number: int = 0
    come: int = 0


@dataclass
class Stream:
    work: deque = field(default_factory=deque)


class EmulatedDevice:
    """Runs kernels by the emulator; ``seed`` chooses the order of streams, and of threads within a launch.

    ``overlaps`` counts how often two kernels that change projections might have run at the same time.
    """

    def __init__(self, seed=0, *, fail_after=None):
        self._random = random.Random(seed)
        self._seed = seed
        self._streams = []
        self.calls_left = fail_after
        self.log = []
        self.overlaps = 0

    def describe(self):
        return Description("gpu", "emulated", 2**30, "9.0", "g++")

    def buffer(self, nbytes):
        self._count("buffer")
        return Guarded(nbytes)

    def pinned(self, shape, dtype):
        self._count("pinned")
        return np.zeros(shape, dtype)

    def stream(self):
        self._streams.append(Stream())
        return self._streams[-1]

    def event(self):
        return Event()

    def timer(self):
        return Event()

    def elapsed_ms(self, first, last):
        assert first.come
        assert last.come
        return 1.0

    def array(self, buffer, start, shape, dtype):
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return buffer.bytes[start : start + size].view(dtype).reshape(shape)

    @contextmanager
    def on(self, stream):
        """All that was asked of the stream before is done; what is done in the context is one possible order."""
        self._count("on")
        while stream.work:
            self._go_on()
        yield EmulatedAccelerator(self._seed, self._count)

    def prepare(self, kernels):
        self._count("prepare")

    def upload(self, target, source, stream):
        assert source.nbytes <= target.nbytes
        self._ask("upload", stream, lambda: target.bytes.__setitem__(np.s_[: source.nbytes], flat(source)))

    def download(self, target, source, start, stream):
        assert start + target.nbytes <= source.nbytes
        part = source.bytes[start : start + target.nbytes]
        self._ask("download", stream, lambda: np.copyto(flat(target), part))

    def clear(self, target, start, nbytes, stream):
        assert start + nbytes <= target.nbytes
        self._ask("clear", stream, lambda: target.bytes[start : start + nbytes].fill(0))

    def launch(self, launch, stream):
        order = self._random.randrange(1, 2**31) if self._seed else 0
        self._ask(
            launch.kernel,
            stream,
            lambda: run_kernel(launch.kernel, launch.grid, launch.block, launch.arguments, seed=order),
        )

    def record(self, event, stream):
        event.number += 1
        number = event.number
        self._ask("record", stream, lambda: setattr(event, "come", max(event.come, number)))

    def order(self, stream, event):
        number = event.number
        self._count("order")
        stream.work.append(("order", lambda: event.come >= number, lambda: None))

    def wait(self, event):
        self._count("wait")
        number = event.number
        while event.come < number:
            self._go_on()

    def _go_on(self):
        ready = [s for s in self._streams if s.work and s.work[0][1]()]
        if not ready:
            raise AssertionError("streams wait for one another")
        self.overlaps += sum("frames" in s.work[0][0] for s in ready) > 1
        self._random.choice(ready).work.popleft()[2]()

    def _ask(self, what, stream, action):
        self._count(what)
        stream.work.append((what, lambda: True, action))

    def _count(self, what):
        self.log.append(what)
        if self.calls_left is not None:
            self.calls_left -= 1
            if self.calls_left < 0:
                raise DeviceLostError("the emulated device is gone", "it was asked to be")


def flat(array):
    """Give an array as bytes, in its memory."""
    return array.reshape(-1).view(np.uint8)
