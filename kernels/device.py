"""What the GPU lane asks of a device, as a promise: CuPy keeps it, and so does an emulation in the tests."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

if TYPE_CHECKING:
    from .accelerator import Accelerator


@dataclass(frozen=True)
class Launch:
    """A kernel with everything it is called with.

    Attributes
    ----------
    kernel : str
        As `kernel_name` gives it.
    grid, block : tuple of int
        Blocks, and threads of a block (x, y, z).
    arguments : tuple of NumPy scalars and structures
        Passed by value; addresses are uint64.
    """

    kernel: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Description:
    """A device in words.

    Attributes
    ----------
    kind : str
        ``"cpu"`` or ``"gpu"``.
    name : str
        As its maker calls it.
    memory_bytes : int
        Of the device; 0 for the CPU, whose memory is everybody's.
    compute_capability : str
        ``"9.0"``; empty for the CPU.
    kernels : str
        What the kernels are compiled by.
    """

    kind: str
    name: str
    memory_bytes: int
    compute_capability: str
    kernels: str

    def __str__(self) -> str:
        """Give one line for a report."""
        if self.kind == "cpu":
            return self.kind
        return f"{self.name}, {self.memory_bytes / 2**30:.0f} GiB, compute capability {self.compute_capability}"


class Buffer(Protocol):
    """Memory of the device, aligned to 16 bytes at least; freed with the last reference to it."""

    @property
    def address(self) -> int:
        """Where it begins, for kernels."""
        ...

    @property
    def nbytes(self) -> int:
        """Its size."""
        ...


class Device(Protocol):
    """A device with streams: calls return at once, and work of one stream is done in the order of the calls.

    Every method but `wait` only asks for work. Arrays of the host must be those that `pinned` gave, and be left alone
    until an event after the copy has come. Streams do not wait for one another unless `order` says so. Whatever goes
    wrong is a ``DeviceLostError``.
    """

    def describe(self) -> Description:
        """Say what it is."""
        ...

    def buffer(self, nbytes: int) -> Buffer:
        """Allocate, filled with zeros."""
        ...

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Allocate memory of the host that copies can reach by themselves, filled with zeros."""
        ...

    def stream(self) -> Any:
        """Make a stream that does not wait for the default one."""
        ...

    def event(self) -> Any:
        """Make an event; it counts as come until it is recorded."""
        ...

    def timer(self) -> Any:
        """Make an event that knows when it came."""
        ...

    def elapsed_ms(self, first: Any, last: Any) -> float:
        """Give the time between two such events that have come, by the clock of the device."""
        ...

    def array(self, buffer: Buffer, start: int, shape: tuple[int, ...], dtype: DTypeLike) -> Any:
        """Give the part of a buffer from byte ``start`` on as an array for the forms beside the lane."""
        ...

    def on(self, stream: Any) -> AbstractContextManager[Accelerator]:
        """Give what the forms beside the lane work with; all they do in this context is asked of the stream."""
        ...

    def prepare(self, kernels: tuple[str, ...]) -> None:
        """Compile kernels, so that no launch has to."""
        ...

    def upload(self, target: Buffer, source: NDArray[Any], stream: Any) -> None:
        """Copy a whole pinned array to the beginning of a buffer."""
        ...

    def download(self, target: NDArray[Any], source: Buffer, start: int, stream: Any) -> None:
        """Fill a pinned array from byte ``start`` of a buffer on."""
        ...

    def clear(self, target: Buffer, start: int, nbytes: int, stream: Any) -> None:
        """Fill part of a buffer with zeros."""
        ...

    def launch(self, launch: Launch, stream: Any) -> None:
        """Run a kernel."""
        ...

    def record(self, event: Any, stream: Any) -> None:
        """Let the event come when all that was asked of the stream so far is done."""
        ...

    def order(self, stream: Any, event: Any) -> None:
        """Hold back what is asked of the stream from now on until the event has come."""
        ...

    def wait(self, event: Any) -> None:
        """Block the caller until the event has come."""
        ...


def constant(device: Device, array: NDArray[Any]) -> Buffer:
    """Put an array on the device for good; waits until it is there.

    Parameters
    ----------
    device : Device
    array : any type and shape

    Returns
    -------
    Buffer
        At least 16 bytes, so that there is an address even for an empty array.
    """
    buffer = device.buffer(max(16, array.nbytes))
    if array.size:
        host, stream, event = device.pinned(array.shape, array.dtype), device.stream(), device.event()
        np.copyto(host, array)
        device.upload(buffer, host, stream)
        device.record(event, stream)
        device.wait(event)
    return buffer
