"""What a step holds beside the products is what it says, or next to nothing."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from octostream.api.worker_process import STEP_BYTES
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction, warm_up
from octostream.kernels.step import part_size
from octostream.stream.model import Plan

MOVIE, STACK = (900, 1, 1, 16, 16), (1, 1, 40, 400, 400)


@pytest.fixture(autouse=True, scope="module")
def compiled():
    """What a compiler takes is not the step's."""
    warm_up()


def peak_bytes(overrides, shape):
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
    assert step.reducer is not None
    tracemalloc.start()
    try:
        reducer = step.reducer()
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
    ],
)
def test_a_step_holds_what_it_says(overrides, shape):
    held, own, peak = peak_bytes(overrides, shape)
    assert peak <= held + own + STEP_BYTES
    # Nor does it say much more: the budget of a worker is made of it.
    assert held <= peak + STEP_BYTES
