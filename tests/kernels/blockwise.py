"""A recipe run over frames block by block, as workers do it: what becomes of arrays and tables in the end."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from octostream.kernels import contract_runs
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.stream import model
from octostream.stream.model import Plan


class Made(NamedTuple):
    """Whole arrays by path, whole columns by table and name, and the reduction that made them."""

    arrays: dict
    tables: dict
    reduction: object


def run(overrides, frames, *, lost=(), seed=None, block_frames=None, plan=None, base="lightsheet", keep_raw=False):
    """Reduce frames (t, c, z, y, x) by a recipe; those in ``lost`` never come, a seed shuffles the others."""
    plan, present = plan or Plan(frames.shape), np.ones(frames.shape[:3], bool)
    present.reshape(-1)[list(lost)] = False
    with pytest.MonkeyPatch.context() as patch:
        if block_frames is not None:
            patch.setattr(model, "BLOCK_FRAMES", block_frames)
        reduction = plan_reduction(Recipe.load(base, overrides), plan, keep_raw=keep_raw)
        case = contract_runs.Case(frames, present, model.BLOCK_FRAMES, -1 if seed is None else seed)
        made = contract_runs.run(reduction, case)
    return Made(made.arrays, made.tables, reduction)


def same(one, other):
    """Tell whether two runs made the same, bit for bit."""
    pairs = [(one.arrays[path], other.arrays[path]) for path in one.arrays]
    pairs += [(one.tables[t][c], other.tables[t][c]) for t in one.tables for c in one.tables[t]]
    return one.arrays.keys() == other.arrays.keys() and all(a.tobytes() == b.tobytes() for a, b in pairs)
