"""Which device is taken, what it says of itself, and the device by way of CuPy, over a CuPy that is made up."""

from __future__ import annotations

import re

import numpy as np
import pytest
from octostream.kernels import device_choice
from octostream.kernels.accelerator import CupyAccelerator
from octostream.kernels.block_work import GpuWork
from octostream.kernels.cuda_errors import device_errors
from octostream.kernels.cupy_device import CupyDevice
from octostream.kernels.device_choice import choose_device, describe
from octostream.kernels.gpu_lane import GpuLane
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.stream.errors import DeviceLostError, NoDeviceError
from octostream.stream.model import Plan
from octostream.stream.report import IN_PLACE_OF_GPU

from .fake_cupy import CompileError, CUDADriverError, CUDARuntimeError, CuFFTError, OutOfMemoryError, fake_cupy, full


def taking(monkeypatch, cupy):
    def load(name):
        assert name == "cupy"
        if isinstance(cupy, Exception):
            raise cupy
        return cupy

    monkeypatch.setattr(device_choice, "import_module", load)


def test_the_cpu_is_taken_without_a_look_at_cupy(monkeypatch):
    taking(monkeypatch, AssertionError("nobody may look"))
    assert choose_device("cpu") is None
    assert str(describe(None)) == "cpu"


@pytest.mark.parametrize("wish", ["auto", "gpu"])
def test_a_gpu_that_is_there_is_taken_and_described(monkeypatch, wish):
    taking(monkeypatch, fake_cupy())
    described = describe(choose_device(wish))
    assert str(described) == "Made-up GPU, 80 GiB, compute capability 9.0"
    assert (described.kind, described.kernels) == ("gpu", "nvrtc 12.9")


def failing(name, error):
    cupy = fake_cupy()
    cupy.fails[name] = error
    return cupy


@pytest.mark.parametrize(
    ("cupy", "why"),
    [
        (
            ImportError("No module named 'cupy'"),
            r"CuPy cannot be loaded \(No module named 'cupy'\): install octostream",
        ),
        (fake_cupy(devices=0), "the driver knows of none: check nvidia-smi"),
        (
            failing("getDeviceCount", CUDARuntimeError("cudaErrorInsufficientDriver: old")),
            "cudaErrorInsufficientDriver",
        ),
        (failing("getDeviceProperties", CUDARuntimeError("cudaErrorUnknown: odd")), "the GPU cannot be used"),
    ],
)
def test_a_gpu_that_cannot_be_had_is_one_line_that_says_why(monkeypatch, cupy, why):
    taking(monkeypatch, cupy)
    assert choose_device("auto") is None
    with pytest.raises(NoDeviceError, match=why) as caught:
        choose_device("gpu")
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


FRAMES = np.random.default_rng(2).integers(0, 65536, (4, 20, 44), np.uint16)
REDUCTION = plan_reduction(
    Recipe.load("lightsheet", ["pyramid.until=4", "hot_pixels.pixels=[[3,3]]"]), Plan((1, 1, 4, 20, 44))
)


def reduce_block(reducer):
    reducer.begin(REDUCTION.plan.blocks[0])
    stats = [reducer.add(number, frame) for number, frame in enumerate(FRAMES)]
    return stats, reducer.finish()


def test_a_block_by_way_of_cupy():
    reducer = REDUCTION.reducer(CupyDevice(fake_cupy()))
    assert isinstance(reducer._work, GpuWork)
    (stats, made), (right_stats, right) = reduce_block(reducer), reduce_block(REDUCTION.reducer())
    assert stats == right_stats
    for path, array in right.items():
        np.testing.assert_array_equal(made[path], array, path)


@pytest.mark.parametrize(
    ("what", "error", "said"),
    [
        ("memcpyAsync", CUDARuntimeError("cudaErrorECCUncorrectable: uncorrectable"), "was lost"),
        ("launch", CUDADriverError("CUDA_ERROR_ILLEGAL_ADDRESS: illegal"), "was lost"),
    ],
)
def test_a_gpu_that_is_lost_is_one_error(what, error, said):
    cupy = fake_cupy()
    reducer = REDUCTION.reducer(CupyDevice(cupy))
    cupy.fails[what] = error
    with pytest.raises(DeviceLostError, match=rf"the GPU {said} \({str(error)[:20]}.*\): see nvidia-smi"):
        reduce_block(reducer)


@pytest.mark.parametrize(
    ("what", "error", "said"),
    [
        ("Memory", full(), r"has no 0 MiB free \(cudaErrorMemoryAllocation: out of memory\)"),
        ("Memory", CUDARuntimeError("cudaErrorUnknown: odd"), r"has no 0 MiB free \(cudaErrorUnknown: odd\)"),
        ("PinnedMemory", full(), "gets no 0 MiB of pinned memory"),
        ("compile", CompileError("error: bad\nand more"), r"cannot compile the kernels \(error: bad\)"),
    ],
)
def test_a_gpu_that_cannot_hold_a_block_leaves_it_to_the_cpu(what, error, said, caplog):
    with caplog.at_level("WARNING"):
        reducer = REDUCTION.reducer(CupyDevice(failing(what, error)))
    assert not isinstance(reducer._work, GpuWork)
    assert re.fullmatch(f"{IN_PLACE_OF_GPU}: the GPU {said}.*", reducer.instead)
    assert caplog.text.count("blocks are reduced on the CPU") == 1, caplog.text
    assert reduce_block(reducer)[0] == reduce_block(REDUCTION.reducer())[0]
    with pytest.raises(DeviceLostError, match=said):
        gpu_lane(failing(what, error))


def test_memory_that_cupy_only_keeps_is_given_back_before_the_device_counts_as_full():
    cupy, freed = failing("Memory", full()), []
    cupy.get_default_memory_pool().free_all_blocks = lambda: freed.append(cupy.fails.pop("Memory"))
    lane = gpu_lane(cupy)
    assert lane.launches
    assert len(freed) == 1


def gpu_lane(cupy):
    from octostream.kernels.gpu_plan import plan_gpu

    return GpuLane(plan_gpu(REDUCTION.lane), CupyDevice(cupy))


@pytest.mark.parametrize("error", [CUDADriverError("gone"), OutOfMemoryError("full\nand more"), CuFFTError("no plan")])
def test_the_forms_beside_the_lane_tell_it_as_the_lane_does(error):
    class Array:
        def get(self, out):
            raise error

        def set(self, array):
            raise error

    accelerator = CupyAccelerator(failing("get_function", error))
    said = rf"the GPU was lost \({str(error).split()[0]}.*\): see nvidia-smi"
    with pytest.raises(DeviceLostError, match=said):
        accelerator.launch("translate", (1,), (32,))
    with pytest.raises(DeviceLostError, match=said):
        accelerator.to_host(Array())
    with pytest.raises(DeviceLostError, match=said):
        accelerator.to_device(np.zeros(1), Array())


def test_an_error_that_is_not_of_the_device_stays_what_it_is():
    with pytest.raises(ZeroDivisionError), device_errors("was lost"):
        _ = 1 / 0
