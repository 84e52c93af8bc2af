"""Build the CUDA kernels with the emulator before them, and call them on arrays of this process."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from octostream.kernels.cuda_source import all_kernels, source
from octostream.kernels.gpu_structures import STRUCTURES

#: There is one emulated GPU in a process, and threads take turns at it.
_TURN = threading.Lock()
_HERE = Path(__file__).parent
#: Unaligned access and signed overflow stop the kernel at once; so does a warning stop the build.
_FLAGS = (
    *("-std=c++17", "-O1", "-fPIC", "-shared"),
    *("-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-Wno-unused-parameter", "-Wno-clobbered"),
    *("-fsanitize=alignment,signed-integer-overflow,shift", "-fsanitize-undefined-trap-on-error"),
)

_TABLE = """
namespace {{
using Launch = bool (*)(dim3, dim3, int, void**);
struct Entry {{ const char* name; Launch launch; }};
template <auto kernel> bool launch(dim3 grid, dim3 block, int seed, void** arguments) {{
    return emulator::launch(kernel, grid, block, seed, arguments);
}}
const Entry entries[] = {{ {entries} }};
}}
extern "C" const char* emulate(const char* name, const unsigned* grid, const unsigned* block, int seed,
                               void** arguments) {{
    for (const Entry& entry : entries)
        if (!std::strcmp(entry.name, name))
            return entry.launch({{grid[0], grid[1], grid[2]}}, {{block[0], block[1], block[2]}}, seed, arguments)
                ? nullptr : emulator::machine.error.c_str();
    return "there is no such kernel";
}}
"""


class EmulationError(Exception):
    """A kernel did what a GPU leaves undefined."""


def compile_library(kernels: tuple[str, ...], text: str) -> ctypes.CDLL:
    """Compile kernels of a CUDA text to a library with one function, ``emulate``."""
    compiler = shutil.which("g++")
    if compiler is None:
        missing = "the CUDA kernels are proven with g++, which is not there: install the package g++"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    entries = ", ".join(f'{{"{name}", launch<{name}>}}' for name in kernels)
    with TemporaryDirectory(prefix="octostream-emulator-") as folder:
        code, library = Path(folder, "kernels.cpp"), Path(folder, "kernels.so")
        code.write_text(f'#include "{_HERE / "emulator.h"}"\n{text}\n{_TABLE.format(entries=entries)}')
        done = subprocess.run(
            [compiler, *_FLAGS, str(code), "-o", str(library)], capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode:
            pytest.fail(done.stderr[:4000])
        loaded = ctypes.CDLL(str(library))
    loaded.emulate.restype = ctypes.c_char_p
    return loaded


@cache
def _library() -> ctypes.CDLL:
    sizes = [f'static_assert(sizeof({name}) == {s.itemsize}, "{name}");' for name, s in STRUCTURES.items()]
    return compile_library(all_kernels(), "\n".join([f'#include "{_HERE / "atomics.h"}"', source(), *sizes]))


def run_kernel(kernel, grid, block, arguments, *, seed=0, library=None):
    """Run a kernel to its end.

    ``arguments`` are NumPy scalars and structures, passed by value; pointers are uint64. ``seed`` chooses the order of
    blocks and threads, 0 the natural one.
    """
    values = [np.ascontiguousarray(a) for a in arguments]
    pointers = (ctypes.c_void_p * len(values))(*(v.ctypes.data for v in values))
    sizes = [(ctypes.c_uint * 3)(*(*size, 1, 1)[:3]) for size in (grid, block)]
    with _TURN:
        error = (library or _library()).emulate(kernel.encode(), *sizes, seed, pointers)
    if error is not None:
        raise EmulationError(f"{kernel}: {error.decode()}")
