"""The ring of slots through which frames go to a GPU: while one is copied, another is reduced, a third is filled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .device import Buffer, Device, Launch
from .gpu_buffers import BlockLayout, ConstantBuffers, SlotBuffers, input_bytes, places_at
from .gpu_launches import plan_launches
from .gpu_plan import GpuPlan
from .gpu_structures import TALLY

#: One frame arrives from the network, one is on the bus, one is reduced.
SLOTS: Final = 3


#: Looks at a frame: its place in the block, its raw counts (y, x) and its plane of level 0 (y', x').
Watch = Callable[[int, Any, Any], None]


@dataclass(frozen=True)
class Company:
    """Who looks at every frame besides the lane.

    Attributes
    ----------
    asked : callable, optional
        In the stream of the slot, with arrays of the device.
    back : callable, optional
        When the frame is reduced, with arrays in host memory.
    there : array of the device
        Level 0 of the block (frames, y', x'), for ``asked``.
    here : uint16, pinned
        The same in host memory, for ``back``.
    """

    asked: Watch | None = None
    back: Watch | None = None
    there: Any = None
    here: NDArray[np.uint16] | None = None


@dataclass
class Slot:
    """Everything that one frame under way needs, allocated once.

    Attributes
    ----------
    pixels : uint16 (y, x)
        Pinned: what receives frames may write here.
    """

    pixels: NDArray[np.uint16]
    _host: NDArray[np.uint8]
    _place: NDArray[np.int32]
    _tally: NDArray[np.void]
    _buffers: SlotBuffers
    _launches: tuple[Launch, ...]
    _block: Buffer
    _raw: Any
    _stream: Any
    _reduced: Any
    _done: Any
    _pending: int | None = None

    @classmethod
    def of(cls, plan: GpuPlan, device: Device, constants: ConstantBuffers, layout: BlockLayout, block: Buffer) -> Slot:
        """Allocate a slot for one frame.

        Parameters
        ----------
        plan : GpuPlan
        device : Device
        constants : ConstantBuffers
        layout : BlockLayout
        block : Buffer
            Where the products go.

        Returns
        -------
        Slot
        """
        host, at = device.pinned((input_bytes(plan, 1),), np.uint8), places_at(plan, 1)
        pixels = host[: 2 * plan.frame_shape[0] * plan.frame_shape[1]].view(np.uint16).reshape(plan.frame_shape)
        buffers = SlotBuffers.of(plan, device)
        return cls(
            pixels,
            host,
            host[at : at + 4].view(np.int32),
            device.pinned((1,), TALLY),
            buffers,
            plan_launches(plan, constants, buffers, layout, block),
            block,
            device.array(buffers.input, 0, plan.frame_shape, np.uint16),
            device.stream(),
            device.event(),
            device.event(),
        )

    @property
    def launches(self) -> tuple[Launch, ...]:
        """What reduces the frame, in order."""
        return self._launches

    @property
    def kernels(self) -> tuple[str, ...]:
        """Names of the kernels that reduce a frame."""
        return tuple(launch.kernel for launch in self._launches)

    def send(self, device: Device, place: int, before: Any, company: Company) -> Any:
        """Ask for all the work on the frame in ``pixels``, which must then be left alone.

        Parameters
        ----------
        device : Device
        place : int
            Of the frame in the block.
        before : event
            The kernels wait for it; the copy to the device does not.
        company : Company

        Returns
        -------
        event
            Comes when the kernels are done.
        """
        self._place[0] = self._pending = place
        device.upload(self._buffers.input, self._host, self._stream)
        device.order(self._stream, before)
        for launch in self._launches:
            device.launch(launch, self._stream)
        if company.asked:
            with device.on(self._stream):
                company.asked(place, self._raw, company.there[place])
        device.record(self._reduced, self._stream)
        if company.here is not None:
            plane = company.here[place]
            device.download(plane, self._block, place * plane.nbytes, self._stream)
        device.download(self._tally, self._buffers.tally, 0, self._stream)
        device.record(self._done, self._stream)
        return self._reduced

    def receive(self, device: Device) -> tuple[int, np.void] | None:
        """Wait until the frame is reduced, if there is one; then the slot is free.

        Returns
        -------
        (place, tally) or None
        """
        if self._pending is None:
            return None
        device.wait(self._done)
        place, self._pending = self._pending, None
        return place, self._tally[0].copy()

    def holds(self, place: int) -> bool:
        """Tell whether this frame of the block is under way here."""
        return self._pending == place


class Ring:
    """Slots in turn. The only wait is for the slot that is needed next, or for the frame that is asked for.

    Kernels of one block run one after the other, whatever stream they are in: each raises the same projection over z.

    Parameters
    ----------
    device : Device
    slots : sequence of Slot
        At least three, or copies and kernels wait for one another.
    """

    def __init__(self, device: Device, slots: list[Slot], frames: int) -> None:
        if len(slots) < SLOTS:
            raise ValueError(f"a ring has at least {SLOTS} slots, not {len(slots)}")
        self._device = device
        self._slots = slots
        self._next = 0
        self._tallies = np.zeros(frames, TALLY)
        self._event = self._clear = device.event()
        self._company = Company()

    def accompany(self, company: Company) -> None:
        """Let others look at every frame from now on."""
        self._company = company

    @property
    def last(self) -> Any:
        """Event that comes when all kernels that were asked for are done."""
        return self._event

    def begin(self, stream: Any) -> None:
        """Let the kernels that follow wait for what was asked of a stream before.

        Parameters
        ----------
        stream : stream
            In which the block was made ready.
        """
        self.drain()
        self._device.record(self._clear, stream)
        self._event = self._clear

    def claim(self) -> Slot:
        """Give the slot whose turn it is, after waiting for its last frame; the same one until it is sent."""
        slot = self._slots[self._next]
        self._take(slot)
        return slot

    def send(self, place: int) -> None:
        """Send the frame in the slot that was claimed.

        Parameters
        ----------
        place : int
            Of the frame in the block.
        """
        self._event = self._slots[self._next].send(self._device, place, self._event, self._company)
        self._next = (self._next + 1) % len(self._slots)

    def tally(self, place: int) -> np.void:
        """Give the numbers of a frame that was sent, `TALLY`, after waiting for it."""
        for slot in self._slots:
            if slot.holds(place):
                self._take(slot)
        return self._tallies[place]

    def drain(self) -> None:
        """Wait until no frame is under way."""
        for slot in self._slots:
            self._take(slot)

    def _take(self, slot: Slot) -> None:
        if (done := slot.receive(self._device)) is not None:
            place, self._tallies[place] = done
            if self._company.back and self._company.here is not None:
                self._company.back(place, slot.pixels, self._company.here[place])
