"""What a step holds beside the products is what it says, or next to nothing."""

from __future__ import annotations

import mmap
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from octostream.api.worker_process import STEP_BYTES
from octostream.kernels.gpu_reducers import GPU_REDUCERS
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction, warm_up
from octostream.kernels.step import part_size
from octostream.stream.model import Plan

from .cuda_emulator.accelerator import run_unwalled

MOVIE, STACK = (900, 1, 1, 16, 16), (1, 1, 40, 400, 400)


@pytest.fixture(autouse=True, scope="module")
def compiled():
    """What a compiler takes is not the step's."""
    warm_up()


class Apart:
    """A device whose arrays count as nobody's memory; all else that a form asks for is the host's."""

    def __init__(self):
        self.xp = SimpleNamespace(
            zeros=self._zeros,
            asarray=lambda array: self._filled(array, array.shape, array.dtype),
            zeros_like=lambda array: self._zeros(array.shape, array.dtype),
            **{name: getattr(np, name) for name in ("absolute", "log2", "matmul", "maximum")},
        )

    def _zeros(self, shape, dtype):
        size = int(np.prod(shape))
        return np.frombuffer(mmap.mmap(-1, max(1, size * np.dtype(dtype).itemsize)), dtype, size).reshape(shape)

    def _filled(self, value, shape, dtype):
        array = self._zeros(shape, dtype)
        array[...] = value
        return array

    def launch(self, kernel, grid, block, *arguments):
        run_unwalled(kernel, grid, block, arguments)

    def to_device(self, array, out):
        np.copyto(out, array)

    def to_host(self, array, out=None):
        out = np.empty_like(array) if out is None else out
        np.copyto(out, array)
        return out


def on_gpu(step):
    """Give what makes the reducer of a step on a device."""
    return lambda: GPU_REDUCERS[step.on_gpu.name](Apart(), *step.on_gpu.told)


def peak_bytes(overrides, shape, reducer_of=lambda step: step.reducer):
    """Give what the step says that it holds, what it made, and the most that it had while a block went through."""
    plan = Plan(shape, rate_hz=1000)
    assert len(plan.blocks) == 1
    recipe = Recipe.load("lightsheet", ["bin.factor=1", "pyramid=false", *overrides])
    reduction = plan_reduction(recipe, plan)
    (step,) = reduction.steps
    made = {p.path: np.zeros(p.shape, p.dtype) for p in reduction.lane.products}
    counts = np.random.default_rng(0).poisson(120, shape).astype(np.uint16)
    made["0"][...] = counts
    present = np.ones(shape[:3], bool)
    present[0, 0, 0] = shape[2] == 1
    frames = counts.reshape(-1, *shape[3:])
    own = sum(part_size(p, plan) * np.dtype(p.dtype).itemsize for p in step.products if p.path not in made)
    make = reducer_of(step)
    tracemalloc.start()
    try:
        reducer = make()
        reducer.begin(plan.blocks[0])
        for at in np.flatnonzero(present):
            reducer.add(at, frames[at], made["0"].reshape(frames.shape)[at])
        reducer.finish(made, present)
        return step.held_bytes, own, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("overrides", "shape"),
    [
        *((["keep=true", f"keep.metric={metric}"], MOVIE) for metric in ("snr", "entropy", "mean")),
        (["foreground=true"], STACK),
        (["foreground=true"], MOVIE),
        (["focus=true"], MOVIE),
        (["histogram=true"], MOVIE),
        (["hot_test=true"], STACK),
        (["quantise=true"], STACK),
    ],
)
def test_a_step_holds_what_it_says(overrides, shape):
    held, own, peak = peak_bytes(overrides, shape)
    assert peak <= held + own + STEP_BYTES
    # Nor does it say much more: the budget of a worker is made of it.
    assert held <= peak + STEP_BYTES


@pytest.mark.parametrize(
    ("overrides", "shape"),
    [
        (["foreground=true"], (1, 1, 24, 400, 400)),
        (["focus=true"], (1, 1, 3, 900, 1000)),
        (["histogram=true"], MOVIE),
        (["hot_test=true"], (1, 1, 24, 400, 400)),
        (["quantise=true"], STACK),
    ],
)
def test_nor_does_it_hold_more_of_the_host_on_a_gpu(overrides, shape):
    # Arrays of the device, whether asked for or made in passing, must not come for each block: there may be no room.
    held, own, peak = peak_bytes(overrides, shape, on_gpu)
    assert peak <= held + own + STEP_BYTES
