"""The emulator notices what a GPU leaves undefined: a tool that cannot fail proves nothing."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from .cuda_emulator.build import EmulationError, compile_library, run_kernel
from .cuda_emulator.device import EmulatedDevice, Guarded

TEXT = """
__global__ void turn_around(const int* from, int* to, int with_barrier) {
    __shared__ int kept[64];
    kept[threadIdx.x] = from[threadIdx.x];
    if (with_barrier) __syncthreads();
    to[threadIdx.x] = kept[63 - threadIdx.x];
    __syncthreads();
}
__global__ void run_ahead(int* to, int with_barrier) {
    __shared__ int kept[2];
    const int warp = threadIdx.x / 32;
    kept[warp] = 7;
    __syncthreads();
    if (threadIdx.x == 0) *to = kept[1];
    if (with_barrier) __syncthreads();
    kept[warp] = __shfl_xor_sync(0xffffffffu, warp, 1);
    __syncthreads();
}
__global__ void half_waits() { if (threadIdx.x < 32) __syncthreads(); }
__global__ void half_shuffles(int* to) {
    int value = threadIdx.x;
    if (threadIdx.x % 2) value = __shfl_xor_sync(0xffffffffu, value, 1);
    to[threadIdx.x] = value;
}
__global__ void add_up(long long* to) {
    long long sum = blockIdx.x * 100 + threadIdx.x;
    for (int step = 16; step; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    to[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}
__global__ void read_at(const int* from, int at, int* to) { if (threadIdx.x == 0) *to = from[at]; }
__global__ void read_words(const unsigned short* from, int at, unsigned* to) {
    if (threadIdx.x == 0) *to = reinterpret_cast<const uint4*>(from + at)->x;
}
__global__ void overflow(int value, int* to) { if (threadIdx.x == 0) *to = value + value; }
"""
KERNELS = ("turn_around", "run_ahead", "half_waits", "half_shuffles", "add_up", "read_at", "read_words", "overflow")


@cache
def library():
    return compile_library(KERNELS, TEXT)


def run(kernel, *arguments, threads=64, blocks=1, seed=0):
    run_kernel(kernel, (blocks,), (threads,), arguments, seed=seed, library=library())


def array(values, dtype=np.int32):
    values = np.array(values, dtype)
    memory = Guarded(values.nbytes)
    memory.bytes[:] = values.view(np.uint8)
    return memory, np.uint64(memory.address)


def test_a_missing_barrier_shows_in_the_order_of_threads():
    (memory, source), (target, to) = array(range(64)), array([0] * 64)
    results = {}
    for with_barrier in (0, 1):
        results[with_barrier] = []
        for seed in range(4):
            run("turn_around", source, to, np.int32(with_barrier), seed=seed)
            results[with_barrier].append(target.bytes.view(np.int32).tolist())
    assert results[1] == [memory.bytes.view(np.int32)[::-1].tolist()] * 4
    assert any(result != results[1][0] for result in results[0])


def test_a_warp_that_runs_ahead_through_a_shuffle_shows():
    target, to = array([0])
    results = {}
    for with_barrier in (0, 1):
        results[with_barrier] = set()
        for seed in range(6):
            run("run_ahead", to, np.int32(with_barrier), seed=seed)
            results[with_barrier].add(int(target.bytes.view(np.int32)[0]))
    assert results == {0: {7, 1}, 1: {7}}


def test_shuffles_add_up_over_the_warp():
    target, to = array([0] * 128, np.int64)
    run("add_up", to, blocks=2, seed=3)
    assert target.bytes.view(np.int64).tolist() == [496] * 32 + [1520] * 32 + [496 + 3200] * 32 + [1520 + 3200] * 32


@pytest.mark.parametrize("kernel", ["half_waits", "half_shuffles"])
def test_who_does_not_come_to_a_barrier_is_missed(kernel):
    target, to = array([0] * 64)
    assert target.nbytes == 256
    with pytest.raises(EmulationError, match="not all threads reach"):
        run(kernel, *([to] if kernel == "half_shuffles" else []))


@pytest.mark.parametrize("at", [-1025, 4, 1000])
def test_access_outside_an_array_is_noticed(at):
    (memory, source), (target, to) = array([1, 2, 3, 4]), array([0])
    run("read_at", source, np.int32(3), to)
    assert target.bytes.view(np.int32)[0] == memory.bytes.view(np.int32)[3] == 4
    with pytest.raises(EmulationError, match="outside"):
        run("read_at", source, np.int32(at), to)


def test_unaligned_words_are_noticed():
    (memory, source), (target, to) = array(range(16), np.uint16), array([0])
    run("read_words", source, np.int32(8), to)
    assert target.bytes.view(np.uint32)[0] == memory.bytes.view(np.uint32)[4]
    with pytest.raises(EmulationError, match="unaligned"):
        run("read_words", source, np.int32(1), to)


def test_signed_overflow_is_noticed():
    target, to = array([0])
    run("overflow", np.int32(2**30 - 1), to)
    assert target.bytes.view(np.int32)[0] == 2**31 - 2
    with pytest.raises(EmulationError, match="overflow"):
        run("overflow", np.int32(2**30), to)
    run("overflow", np.int32(1), to)


def test_blocks_of_part_of_a_warp_are_refused():
    with pytest.raises(EmulationError, match="cannot be launched"):
        run("half_waits", threads=33)
    with pytest.raises(EmulationError, match="no such kernel"):
        run("nothing")


def test_copies_are_late_and_streams_unordered_unless_somebody_waits():
    device = EmulatedDevice(1)
    buffer, one, other = device.buffer(16), device.stream(), device.stream()
    first, second, back = (device.pinned((16,), np.uint8) for _ in range(3))
    first[:], second[:] = 1, 2
    come, done = device.event(), device.event()
    device.upload(buffer, first, one)
    device.record(come, one)
    first[:] = 9  # too early: the copy has not happened yet
    device.order(other, come)
    device.upload(buffer, second, other)
    device.download(back, buffer, 0, other)
    device.record(done, other)
    assert not back.any()
    device.wait(come)
    assert (buffer.bytes == 9).all()
    device.wait(done)
    assert (back == 2).all()
