"""A GPU by way of CuPy: the promise of `Device`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .accelerator import Accelerator, CupyAccelerator
from .cuda_errors import device_errors
from .cuda_source import OPTIONS, source
from .device import Buffer, Description, Launch


@dataclass(frozen=True)
class CupyBuffer:
    """Memory of the GPU.

    Attributes
    ----------
    memory : cupy.cuda.MemoryPointer
        Frees it with the last reference.
    nbytes : int
    """

    memory: Any
    nbytes: int

    @property
    def address(self) -> int:
        """Where it begins."""
        return int(self.memory.ptr)


class CupyDevice:
    """The current CUDA device.

    Memory is asked for when a lane is made, and never for a frame, so CuPy's pools are not used for it, neither that of
    the device nor that of pinned memory: what is given back is free for others at once. Copies go between pinned memory
    and the device without any array in between.

    Parameters
    ----------
    cupy : module
        Given by who found that it can be loaded.

    Raises
    ------
    DeviceLostError
        The device does not answer.
    """

    def __init__(self, cupy: Any) -> None:
        self._cupy, self._runtime = cupy, cupy.cuda.runtime
        self._modules: dict[str, Any] = {}
        self._accelerator: CupyAccelerator | None = None
        with device_errors("cannot be used"):
            self._description = self._read()

    def describe(self) -> Description:
        """Say what it is."""
        return self._description

    def buffer(self, nbytes: int) -> CupyBuffer:
        """Allocate, filled with zeros."""
        with device_errors(f"has no {nbytes / 2**20:.0f} MiB free"):
            memory = self._allocate(nbytes)
            self._runtime.memset(memory.ptr, 0, nbytes)
            return CupyBuffer(self._cupy.cuda.MemoryPointer(memory, 0), nbytes)

    def _allocate(self, nbytes: int) -> Any:
        try:
            return self._cupy.cuda.Memory(nbytes)
        except self._runtime.CUDARuntimeError as error:
            if error.status != self._runtime.errorMemoryAllocation:
                raise
            # Arrays of the forms beside the lane come from CuPy's pool, which keeps what they gave back.
            self._cupy.get_default_memory_pool().free_all_blocks()
            return self._cupy.cuda.Memory(nbytes)

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Allocate pinned memory of the host, filled with zeros."""
        kind, size = np.dtype(dtype), int(np.prod(shape))
        with device_errors(f"gets no {size * kind.itemsize / 2**20:.0f} MiB of pinned memory"):
            pinned = self._cupy.cuda.PinnedMemory(size * kind.itemsize)
            memory = self._cupy.cuda.PinnedMemoryPointer(pinned, 0)
        array = np.frombuffer(memory, kind, size).reshape(shape)
        array.fill(0)
        return array

    def stream(self) -> Any:
        """Make a stream that does not wait for the default one."""
        with device_errors("makes no stream"):
            return self._cupy.cuda.Stream(non_blocking=True)

    def event(self) -> Any:
        """Make an event."""
        with device_errors("makes no event"):
            return self._cupy.cuda.Event(disable_timing=True)

    def timer(self) -> Any:
        """Make an event that knows when it came."""
        with device_errors("makes no event"):
            return self._cupy.cuda.Event()

    def elapsed_ms(self, first: Any, last: Any) -> float:
        """Give the time between two such events."""
        with device_errors("was lost"):
            return float(self._cupy.cuda.get_elapsed_time(first, last))

    def array(self, buffer: Buffer, start: int, shape: tuple[int, ...], dtype: DTypeLike) -> Any:
        """Give part of a buffer as a CuPy array."""
        return self._cupy.ndarray(shape, dtype, cast(CupyBuffer, buffer).memory + start)

    @contextmanager
    def on(self, stream: Any) -> Iterator[Accelerator]:
        """Make a stream the present one of this thread."""
        with device_errors("was lost"), stream:
            yield self._forms()

    def _forms(self) -> CupyAccelerator:
        # One for all, compiled when a step of a recipe first needs it, which is before any frame comes.
        if self._accelerator is None:
            self._accelerator = CupyAccelerator(self._cupy)
        return self._accelerator

    def prepare(self, kernels: tuple[str, ...]) -> None:
        """Compile kernels; CuPy keeps what it compiled on disk."""
        missing = tuple(dict.fromkeys(name for name in kernels if name not in self._modules))
        if not missing:
            return
        with device_errors("cannot compile the kernels"):
            module = self._cupy.RawModule(code=source(), options=OPTIONS, name_expressions=missing)
            module.compile()
            for name in missing:
                self._modules[name] = module.get_function(name)

    def upload(self, target: Buffer, source: NDArray[Any], stream: Any) -> None:
        """Copy a whole pinned array to the beginning of a buffer."""
        self._copy(target.address, source.ctypes.data, source.nbytes, self._runtime.memcpyHostToDevice, stream)

    def download(self, target: NDArray[Any], source: Buffer, start: int, stream: Any) -> None:
        """Fill a pinned array from byte ``start`` of a buffer on."""
        at = source.address + start
        self._copy(target.ctypes.data, at, target.nbytes, self._runtime.memcpyDeviceToHost, stream)

    def clear(self, target: Buffer, start: int, nbytes: int, stream: Any) -> None:
        """Fill part of a buffer with zeros."""
        with device_errors("was lost"):
            self._runtime.memsetAsync(target.address + start, 0, nbytes, stream.ptr)

    def launch(self, launch: Launch, stream: Any) -> None:
        """Run a kernel that `prepare` compiled."""
        with device_errors("was lost"), stream:
            self._modules[launch.kernel](launch.grid, launch.block, launch.arguments)

    def record(self, event: Any, stream: Any) -> None:
        """Let the event come when all that was asked of the stream so far is done."""
        with device_errors("was lost"):
            event.record(stream)

    def order(self, stream: Any, event: Any) -> None:
        """Hold back what is asked of the stream from now on until the event has come."""
        with device_errors("was lost"):
            stream.wait_event(event)

    def wait(self, event: Any) -> None:
        """Block the caller until the event has come."""
        with device_errors("was lost"):
            event.synchronize()

    def _copy(self, target: int, source: int, nbytes: int, kind: int, stream: Any) -> None:
        with device_errors("was lost"):
            self._runtime.memcpyAsync(target, source, nbytes, kind, stream.ptr)

    def _read(self) -> Description:
        number = self._runtime.getDevice()
        properties = self._runtime.getDeviceProperties(number)
        major, minor = self._cupy.cuda.nvrtc.getVersion()
        return Description(
            "gpu",
            properties["name"].decode(),
            int(properties["totalGlobalMem"]),
            f"{properties['major']}.{properties['minor']}",
            f"nvrtc {major}.{minor}",
        )
