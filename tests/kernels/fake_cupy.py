"""The part of CuPy that the device uses, done at once in this process; kernels run by the emulator."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import numpy as np
from octostream.kernels import cuda_reductions, cuda_source

from .cuda_emulator.build import run_kernel
from .cuda_emulator.device import Guarded

_ALIVE = []
MEMORY_ALLOCATION = 2


class CUDARuntimeError(RuntimeError):
    __module__ = "cupy_backends.cuda.api.runtime"

    def __init__(self, text, status=999):
        super().__init__(text)
        self.status = status


class CUDADriverError(RuntimeError):
    __module__ = "cupy_backends.cuda.api.driver"


class CuFFTError(RuntimeError):
    __module__ = "cupy.cuda.cufft"


class OutOfMemoryError(MemoryError):
    """What CuPy's pool raises; memory that is asked for past the pool is a runtime error."""

    __module__ = "cupy.cuda.memory"


def full():
    """Give the error of a device that has no memory left."""
    return CUDARuntimeError("cudaErrorMemoryAllocation: out of memory", MEMORY_ALLOCATION)


class CompileError(Exception):
    __module__ = "cupy.cuda.compiler"


class Memory:
    def __init__(self, nbytes):
        self.kept = Guarded(nbytes)


class MemoryPointer:
    def __init__(self, memory, offset):
        self.memory, self.ptr, self._offset = memory, memory.kept.address + offset, offset

    def __add__(self, offset):
        return MemoryPointer(self.memory, self._offset + offset)


class Stream:
    open_now = None

    def __init__(self, *, non_blocking):
        assert non_blocking
        self.ptr = id(self)
        self.waited = []

    def __enter__(self):
        Stream.open_now = self

    def __exit__(self, *_):
        Stream.open_now = None

    def wait_event(self, event):
        self.waited.append(event)


class Event:
    def __init__(self, *, disable_timing):
        assert disable_timing
        self.recorded = None

    def record(self, stream):
        self.recorded = stream

    def synchronize(self):
        assert self.recorded is not None


def fake_cupy(devices=1, fails=None):
    """Make a module; ``fails`` names what raises an error when it is called next, and which."""
    fails = {} if fails is None else fails

    def call(name, result=None):
        if name in fails:
            raise fails[name]
        return result

    def copy(target, start, nbytes, kind, stream):
        assert kind in (1, 2)
        assert stream
        ctypes.memmove(call("memcpyAsync", target), start, nbytes)

    def memory(nbytes):
        call("Memory")
        made = Memory(nbytes)
        made.ptr = made.kept.address
        return made

    class RawModule:
        def __init__(self, *, code, options, name_expressions):
            assert (code, options) in ((part.source(), part.OPTIONS) for part in (cuda_source, cuda_reductions))
            self.names = name_expressions

        def compile(self):
            call("compile")

        def get_function(self, name):
            assert name in self.names
            call("get_function")

            def kernel(grid, block, arguments):
                assert Stream.open_now is not None
                call("launch")
                run_kernel(name, grid, block, arguments)

            return kernel

    def ndarray(shape, dtype, memptr):
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        array = np.frombuffer((ctypes.c_char * size).from_address(memptr.ptr), dtype).reshape(shape)
        _ALIVE.append(memptr.memory)  # NumPy has nowhere to keep it
        return array

    properties = {"name": b"Made-up GPU", "totalGlobalMem": 80 * 2**30, "major": 9, "minor": 0}
    runtime = SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError,
        errorMemoryAllocation=MEMORY_ALLOCATION,
        memcpyHostToDevice=1,
        memcpyDeviceToHost=2,
        memcpyAsync=copy,
        memset=lambda at, value, nbytes: ctypes.memset(at, value, nbytes),
        memsetAsync=lambda at, value, nbytes, stream: ctypes.memset(at, value, nbytes),
        getDevice=lambda: 0,
        getDeviceCount=lambda: call("getDeviceCount", devices),
        getDeviceProperties=lambda number: call("getDeviceProperties", properties),
    )
    cuda = SimpleNamespace(
        runtime=runtime,
        nvrtc=SimpleNamespace(getVersion=lambda: (12, 9)),
        Memory=memory,
        MemoryPointer=MemoryPointer,
        Stream=Stream,
        Event=Event,
        PinnedMemory=lambda nbytes: call("PinnedMemory", bytearray(b"\xa5" * nbytes)),
        PinnedMemoryPointer=lambda memory, offset: memoryview(memory)[offset:],
    )
    pool = SimpleNamespace(free_all_blocks=lambda: call("free_all_blocks"))
    return SimpleNamespace(
        cuda=cuda, RawModule=RawModule, ndarray=ndarray, get_default_memory_pool=lambda: pool, fails=fails
    )
