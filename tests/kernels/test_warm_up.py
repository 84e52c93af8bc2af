"""A worker that says it is ready has compiled all that its frames need."""

from __future__ import annotations

import subprocess
import sys

from octostream.kernels.lane_steps import LANE
from octostream.kernels.steps import find_step, step_names

#: Run where nothing was compiled before, by other tests for instance; prints what was compiled after the warm-up.
AFTER_WARM_UP = """
import numpy as np
from numba.core.registry import CPUDispatcher
from octostream.kernels import reduction
from octostream.kernels.recipe import Recipe
from octostream.stream.model import Plan
from sys import modules

def compiled():
    found = [module for name, module in list(modules.items()) if name.startswith("octostream.kernels")]
    return {(module.__name__, name): len(value.signatures)
            for module in found for name, value in vars(module).items() if isinstance(value, CPUDispatcher)}

if WARM:
    reduction.warm_up()
before = compiled()
plan = Plan((2, 1, 3, 8, 8))
for overrides in RECIPES:
    recipe = Recipe.load("lightsheet", ["pyramid.until=1", *overrides])
    reducer = reduction.plan_reduction(recipe, plan).reducer()
    for block in plan.blocks:
        reducer.begin(block)
        for number in list(block.frames)[1:]:
            reducer.add(number, np.full((8, 8), 100 + number, np.uint16))
        reducer.finish()
        reducer.tables()
print(sorted(f"{module}.{name}" for (module, name), count in compiled().items() if count != before.get((module, name))))
"""
STEPS = ["histogram", "focus", "hot_test", "foreground", "keep", "quantise"]
RECIPES = [
    [*(f"{step}=true" for step in STEPS), "histogram.width=2", "focus.roi=5", "saturation=true"],
    ["focus=true", "quantise=true", "quantise.gain=20", "keep=true", "keep.metric=entropy"],
    ["bin.mode=binomial", 'projections.modes=["min","mean"]', "foreground=true", "foreground.omit=false"],
]


def after_warm_up(*, warm):
    script = AFTER_WARM_UP.replace("WARM", str(warm)).replace("RECIPES", repr(RECIPES))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=400, check=True)
    return done.stdout


def test_warm_up_leaves_nothing_to_compile():
    fused = {step.name for step in LANE}
    assert [name for name in step_names() if find_step(name).kind != "derived" and name not in fused] == STEPS
    assert after_warm_up(warm=True) == "[]\n"


def test_what_is_compiled_late_is_noticed():
    late = after_warm_up(warm=False)
    for name in ("halve", "_tally", "_frame_sums", "_deviation", "_mask", "_measure", "_look_up"):
        assert f".{name}'" in late
