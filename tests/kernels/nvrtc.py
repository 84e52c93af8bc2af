"""NVRTC from its wheel: CUDA C++ to PTX and machine code, without a GPU and without a driver."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

#: What CuPy adds to the options of a program, besides the architecture.
_AS_CUPY = ("--device-as-default-execution-space", "-ftz=true")


@dataclass(frozen=True)
class Resources:
    """What one kernel takes, as the assembler reports it."""

    registers: int
    stack_bytes: int
    spilled_bytes: int
    shared_bytes: int


@dataclass(frozen=True)
class Compiled:
    """A program for one architecture."""

    ptx: str
    kernels: dict[str, Resources]


class CompileError(Exception):
    """The text is not what this architecture can run."""


@cache
def _library():
    (folder,) = import_module("nvidia.cuda_nvrtc").__path__
    library = ctypes.CDLL(str(next(Path(folder, "lib").glob("libnvrtc.so.*"))))
    library.nvrtcGetErrorString.restype = ctypes.c_char_p
    return library


def compile_cuda(text: str, options: tuple[str, ...], kernels: tuple[str, ...], capability: str) -> Compiled:
    """Compile kernels of a text for a compute capability such as ``"9.0"``."""
    nvrtc, program = _library(), ctypes.c_void_p()
    _check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"octostream.cu", 0, None, None))
    try:
        for name in kernels:
            _check(nvrtc.nvrtcAddNameExpression(program, name.encode()))
        asked = [*options, *_AS_CUPY, f"-arch=sm_{capability.replace('.', '')}", "--ptxas-options=-v"]
        code = nvrtc.nvrtcCompileProgram(program, len(asked), (ctypes.c_char_p * len(asked))(*map(str.encode, asked)))
        log = _text(program, nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog)
        if code:
            raise CompileError(log)
        ptx = _text(program, nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX)
        mangled = {_mangled(program, name): name for name in kernels}
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return Compiled(ptx, {mangled[name]: resources for name, resources in _report(log)})


def _report(log):
    for part in log.split("Compiling entry function ")[1:]:
        (name,) = re.match(r"'(\w+)'", part).groups()
        stack, stored, loaded = re.search(r"(\d+) bytes stack frame, (\d+) .* stores, (\d+) .* loads", part).groups()
        registers, shared = re.search(r"Used (\d+) registers", part), re.search(r"(\d+) bytes smem", part)
        yield name, Resources(int(registers[1]), int(stack), int(stored) + int(loaded), int(shared[1]) if shared else 0)


def _mangled(program, name):
    lowered = ctypes.c_char_p()
    _check(_library().nvrtcGetLoweredName(program, name.encode(), ctypes.byref(lowered)))
    return lowered.value.decode()


def _text(program, get_size, get):
    size = ctypes.c_size_t()
    _check(get_size(program, ctypes.byref(size)))
    text = ctypes.create_string_buffer(size.value)
    _check(get(program, text))
    return text.value.decode()


def _check(code):
    if code:
        raise CompileError(_library().nvrtcGetErrorString(code).decode())
