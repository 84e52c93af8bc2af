"""A device for the GPU forms: NumPy for arrays, the emulator for launches, and a wall at either end of every array."""

from __future__ import annotations

import ctypes
import mmap
from functools import cache
from pathlib import Path

import numpy as np
from octostream.kernels.cuda_reductions import KERNELS, source

from .build import compile_library, run_kernel

_HERE = Path(__file__).parent
_PAGE = mmap.PAGESIZE
#: What memory around an array holds.
_AROUND = 0xA5
_LIBC = ctypes.CDLL(None, use_errno=True)


@cache
def _library():
    return compile_library(KERNELS, f'#include "{_HERE / "atomics.h"}"\n{source()}')


class _Walled:
    """Memory between two pages that nobody may touch; an array begins or ends at one, and all around it stays."""

    def __init__(self, array, at_end):
        pages = -(-max(array.nbytes, 1) // _PAGE)
        self._map = mmap.mmap(-1, (pages + 2) * _PAGE)
        self._base = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self._walls = (self._base, self._base + (pages + 1) * _PAGE)
        self._allow(0)
        self._whole = np.frombuffer(self._map, np.uint8, pages * _PAGE, _PAGE)
        self._whole[:] = _AROUND
        start = self._whole.size - array.nbytes if at_end else 0
        self.address = self._walls[0] + _PAGE + start
        self._inside = self._whole[start : start + array.nbytes]
        self._inside[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)

    def _allow(self, what):
        for wall in self._walls:
            if _LIBC.mprotect(ctypes.c_void_p(wall), ctypes.c_size_t(_PAGE), what):
                raise OSError(ctypes.get_errno(), "mprotect")

    def leave(self, array):
        """Give the array what the memory holds now."""
        around = np.count_nonzero(self._whole != _AROUND) - np.count_nonzero(self._inside != _AROUND)
        assert around == 0, "a kernel wrote beside an array"
        if array.flags.writeable:
            array.reshape(-1).view(np.uint8)[:] = self._inside
        self._allow(mmap.PROT_READ | mmap.PROT_WRITE)


def run_unwalled(kernel, grid, block, arguments):
    """Run a launch on the arrays where they are."""
    values = [np.uint64(a.ctypes.data) if isinstance(a, np.ndarray) else a for a in arguments]
    run_kernel(kernel, grid, block, values, library=_library())


class _Arrays:
    """NumPy, which tells of every array that it is asked to make."""

    def __init__(self, count):
        self._count = count

    def __getattr__(self, name):
        if name in ("array", "asarray", "empty", "full", "ones", "zeros", "zeros_like"):
            self._count("array")
        return getattr(np, name)


class EmulatedAccelerator:
    """Runs every launch in the emulator; `seed` chooses the order of blocks and threads, and where arrays end."""

    def __init__(self, seed=0, count=lambda what: None):
        self.seed, self._count = seed, count
        self.xp = _Arrays(count)

    def launch(self, kernel, grid, block, *arguments):
        assert kernel in KERNELS
        self._count(kernel)
        assert all(isinstance(a, np.ndarray | np.generic) for a in arguments), arguments
        arrays = [i for i, a in enumerate(arguments) if isinstance(a, np.ndarray)]
        # One after another begins or ends at a wall: what is aligned in one is not in the next.
        walled = {i: _Walled(arguments[i], (self.seed + n) % 2) for n, i in enumerate(arrays)}
        values = [np.uint64(walled[i].address) if i in walled else a for i, a in enumerate(arguments)]
        run_kernel(kernel, grid, block, values, seed=self.seed, library=_library())
        for i, memory in walled.items():
            memory.leave(arguments[i])

    def to_device(self, array, out):
        self._count("to_device")
        assert (array.dtype, array.shape) == (out.dtype, out.shape)
        assert array.flags.c_contiguous
        np.copyto(out, array)

    def to_host(self, array, out=None):
        self._count("to_host")
        if out is None:
            return array.copy()
        assert (array.dtype, array.shape) == (out.dtype, out.shape)
        assert out.flags.c_contiguous
        np.copyto(out, array)
        return out
