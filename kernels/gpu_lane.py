"""The lane on a GPU: the verbs of the CPU lane, with the products kept on the device until the block is whole."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..stream.model import FrameStats
from . import saturation
from .block_arrays import by_frame
from .device import Device, Launch
from .gpu_buffers import BlockLayout, ConstantBuffers, part_of, view_shapes
from .gpu_plan import GpuPlan
from .gpu_ring import SLOTS, Company, Ring, Slot, Watch
from .step import Arrays
from .views import empty_means, finish_views, kept_as

_TOP = 65535


class GpuLane:
    """Buffers on a device and beside it that hold what the lane makes of one block; used again for every block.

    Everything is allocated here. A frame takes one copy to the device, two to five launches, and 32 bytes back; the
    products come back in one copy when the block is finished. Not for several threads at once. What it gives out are
    views of the buffers, valid until the next `begin`.

    Parameters
    ----------
    plan : GpuPlan
    device : Device
    slots : int
        Of the ring, at least 3.

    Raises
    ------
    DeviceLostError
        The device has too little memory, or cannot be used. Every method raises it when the device is lost; then the
        block must be reduced again elsewhere, and the lane be given up.
    """

    def __init__(self, plan: GpuPlan, device: Device, slots: int = SLOTS) -> None:
        self._plan, self._device = plan, device
        self._layout = layout = BlockLayout.of(plan)
        self._constants = ConstantBuffers.of(plan, device)
        self._products = device.buffer(2 * layout.size)
        self._host = device.pinned((layout.size,), np.uint16)
        self._stream, self._copied = device.stream(), device.event()
        ring = [Slot.of(plan, device, self._constants, layout, self._products) for _ in range(slots)]
        self._ring = Ring(device, ring, plan.frames)
        device.prepare(ring[0].kernels)
        self._launches = tuple(slot.launches for slot in ring)
        self._raw = np.full((plan.frames, *plan.frame_shape), 0, np.uint16) if plan.keep_raw else None
        self._means = empty_means(plan.views)
        self._extent = (plan.stacks, 1, plan.depth)

    @property
    def launches(self) -> tuple[tuple[Launch, ...], ...]:
        """What reduces the frame in each slot, in the order in which they take their turns, for a measurement."""
        return self._launches

    @property
    def stream(self) -> Any:
        """In which a block is made ready and fetched."""
        return self._stream

    def accompany(self, asked: Watch | None, back: Watch | None) -> None:
        """Let others look at every frame.

        Parameters
        ----------
        asked : callable, optional
            Called in the stream of a frame's slot, behind the kernels of the lane and one frame after another, with
            its place in the block, its raw counts and its plane of level 0, both arrays of the device.
        back : callable, optional
            Called when a frame is reduced, with the same in host memory: the counts valid during the call, the plane
            until the block is finished.
        """
        size = self._plan.frames, *self._plan.levels[0]
        there = self._device.array(self._products, 0, size, np.uint16) if asked else None
        here = self._view(0, *size) if back else None
        self._ring.accompany(Company(asked, back, there, here))

    def begin(self, extent: tuple[int, int, int], forget: Callable[[], None] | None = None) -> None:
        """Start a block of (t, c, z) frames; what the last one left is forgotten.

        Parameters
        ----------
        extent : tuple of int
        forget : callable, optional
            Called in the `stream`, so that others can forget, too.
        """
        self._extent = extent
        self._ring.drain()
        if nbytes := 2 * (self._layout.size - self._layout.running):
            self._device.clear(self._products, 2 * self._layout.running, nbytes, self._stream)
        if forget:
            with self._device.on(self._stream):
                forget()
        self._ring.begin(self._stream)

    def input(self) -> NDArray[np.uint16]:
        """Give the pinned memory (y, x) that the next frame may be written to: `send` and `add` need not copy then."""
        return self._ring.claim().pixels

    def send(self, at: int, pixels: NDArray[np.uint16]) -> None:
        """Send one frame to the device, in any order, each once.

        Parameters
        ----------
        at : int
            Its place in the block, from 0.
        pixels : uint16 (y, x), C-contiguous, raw counts
            Read only, and free again at once, unless it is what `input` gave.
        """
        slot = self._ring.claim()
        if pixels.ctypes.data != slot.pixels.ctypes.data:
            np.copyto(slot.pixels, pixels)
        if self._raw is not None:
            np.copyto(self._raw[at], slot.pixels)
        self._ring.send(at)

    def tally(self, at: int) -> np.void:
        """Give the numbers of a frame that was sent, after waiting for it.

        Returns
        -------
        structure
            `TALLY`: sum and sum of squares of the raw counts, exact; 65535 - minimum; maximum; saturated pixels.
        """
        return self._ring.tally(at)

    def add(self, at: int, pixels: NDArray[np.uint16]) -> FrameStats:
        """Send one frame and wait for its statistics; the parameters are those of `send`.

        Returns
        -------
        FrameStats
            Of the raw counts.
        """
        self.send(at, pixels)
        return self.stats(at)

    def stats(self, at: int) -> FrameStats:
        """Give the numbers of a frame that was sent, after waiting for it."""
        tally = self.tally(at)
        mean = int(tally["sum"]) / math.prod(self._plan.frame_shape)
        return FrameStats(_TOP - int(tally["depth"]), int(tally["high"]), mean, int(tally["saturated"]))

    def level0(self, at: int) -> NDArray[np.uint16]:
        """Fetch the plane of level 0 of a frame that was sent, uint16 (y', x')."""
        size = self._plan.levels[0]
        first = at * math.prod(size)
        self._fetch(first, math.prod(size))
        return self._view(first, *size)

    def finish(self, present: NDArray[np.bool_]) -> Arrays:
        """Complete the block; frames that never came are 0, and do not touch the xy projection.

        Parameters
        ----------
        present : bool (t, c, z)
            Which frames of the block came.

        Returns
        -------
        dict
            Array of every product by path, over the block's extent, C-contiguous views, as `Lane.finish` gives them.
        """
        self._ring.drain()
        self._fetch(0, self._layout.size)
        frames, layout = self._plan.frames, self._layout
        buffers: Arrays = {f"{k}": self._view(layout.levels[k], frames, *s) for k, s in enumerate(self._plan.levels)}
        buffers |= {} if self._raw is None else {"raw/0": self._raw}
        if self._plan.saturation:
            buffers[saturation.PATH] = part_of(self._host, layout.mask, (frames, *self._plan.levels[0]), np.uint8)
        views = {
            view: part_of(self._host, layout.views[view], shape, kept_as(*view))
            for view, shape in view_shapes(self._plan).items()
        }
        if ("z", "min") in views:
            np.subtract(_TOP, views["z", "min"], out=views["z", "min"])
        made = by_frame(buffers, self._extent, present)
        made |= finish_views(self._plan.views, views, self._means, self._extent, present)
        return {path: made[path] for path in self._plan.products}

    def _fetch(self, first: int, size: int) -> None:
        self._device.order(self._stream, self._ring.last)
        self._device.download(self._host[first : first + size], self._products, 2 * first, self._stream)
        self._device.record(self._copied, self._stream)
        self._device.wait(self._copied)

    def _view(self, first: int, *shape: int) -> NDArray[np.uint16]:
        return self._host[first : first + math.prod(shape)].reshape(shape)
