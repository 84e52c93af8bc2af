"""Every CUDA kernel compiles for every architecture in use, without floats and without spills; no GPU is needed."""

from __future__ import annotations

import re
from functools import cache

import pytest
from octostream.kernels.cuda_source import BINNED, OPTIONS, PLAIN, SHAPED, all_kernels, kernel_name, source

from .nvrtc import Compiled, CompileError, compile_cuda

#: Turing, Ampere, Hopper.
CAPABILITIES = ("7.5", "8.0", "9.0")
every_capability = pytest.mark.parametrize("capability", CAPABILITIES)
#: With as many, five blocks of 128 threads are at work on a multiprocessor of 65536 registers.
MOST_REGISTERS = 96


@cache
def compiled(capability) -> Compiled:
    return compile_cuda(source(), OPTIONS, all_kernels(), capability)


def floats(ptx):
    """Give the types of floats that instructions of a PTX text work with."""
    return set(re.findall(r"\.(?:f|bf)(?:16|32|64)(?:x2)?\b", ptx))


@every_capability
def test_no_kernel_knows_a_float(capability):
    assert not floats(compiled(capability).ptx)


@every_capability
def test_no_kernel_spills(capability):
    kernels = compiled(capability).kernels
    assert set(kernels) == set(all_kernels())
    assert len(kernels) == len(PLAIN) + len(SHAPED) * 21 + len(BINNED) * 13
    assert {name: r for name, r in kernels.items() if r.spilled_bytes or r.stack_bytes} == {}


@every_capability
def test_registers_leave_room_for_other_warps(capability, record_property):
    kernels = compiled(capability).kernels
    usual = kernels[kernel_name("reduce_frames", 2, 0, 0)]
    record_property("registers of the usual pass", usual.registers)
    assert max(r.registers for r in kernels.values()) <= MOST_REGISTERS
    assert max(r.shared_bytes for r in kernels.values()) <= 16 * 1024


@every_capability
def test_raw_frames_are_read_sixteen_bytes_at_a_time(capability):
    bodies = re.split(r"\.entry ", compiled(capability).ptx)
    body = next(body for body in bodies if re.match(r"_Z13reduce_framesILi2ELi0ELi0E", body))
    assert len(re.findall(r"ld\.global(?:\.nc)?\.v4\.[ub]32", body)) == 2
    assert re.search(r"st\.global\.v2\.[ub]32", body)


def test_what_must_not_be_is_noticed():
    text = 'extern "C" __global__ void f(double* to) { to[0] = to[1] * 0.25; }'
    assert floats(compile_cuda(text, OPTIONS, ("f",), "9.0").ptx) == {".f64"}
    text = 'extern "C" __global__ void f(float* to) { to[0] += 1.0f; }'
    assert floats(compile_cuda(text, OPTIONS, ("f",), "9.0").ptx) == {".f32"}
    text = """extern "C" __global__ void f(int* to, int n) {
        int kept[64] = {};
        for (int k = 0; k < n; ++k) kept[to[k] & 63] += k;
        for (int k = 0; k < n; ++k) to[k] = kept[k & 63];
    }"""
    assert compile_cuda(text, OPTIONS, ("f",), "9.0").kernels["f"].stack_bytes > 0
    text = """template <int N> __global__ void __launch_bounds__(1024, 2) f(int* to) {
        int kept[N];
        for (int k = 0; k < N; ++k) kept[k] = to[threadIdx.x + k * 1024];
        __syncthreads();
        for (int k = 0; k < N; ++k) to[threadIdx.x * N + k] = kept[k] * kept[(k * 7) % N];
    }"""
    assert compile_cuda(text, OPTIONS, ("f<60>",), "9.0").kernels["f<60>"].spilled_bytes > 0
    with pytest.raises(CompileError, match="undefined"):
        compile_cuda("__global__ void f() { g(); }", OPTIONS, ("f",), "9.0")
