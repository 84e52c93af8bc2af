"""The elbow test as a step: which stacks it tests, what it lists of them, and when it lists nothing."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from octostream.kernels.elbow import elbow_reference
from octostream.stream.model import Plan

from .blockwise import run, same
from .test_elbow import scene_of

stacks = st.tuples(*[st.integers(1, 4)] * 3, st.integers(1, 12), st.integers(1, 20))


@settings(max_examples=40)
@given(stacks, st.integers(0, 99), st.integers(1, 5), st.sampled_from([2, 100]), st.integers(1, 20), st.floats(0, 0.6))
@example((2, 2, 4, 9, 9), 0, 1, 100, 3, 0.0)
def test_every_so_many_stacks_are_tested(shape, seed, every, most, block_frames, share):
    rng = np.random.default_rng(seed)
    frames = rng.poisson(rng.integers(101, 400, shape[3:]), shape).astype(np.uint16)
    lost = set(np.flatnonzero(rng.random(math.prod(shape[:3])) < share).tolist())
    overrides = ["hot_test=true", f"hot_test.every={every}", f"hot_test.most={most}", "hot_test.background=90"]
    got = run(overrides, frames, lost=lost, seed=seed, block_frames=block_frames)
    depth = got.reduction.plan.blocks.step[2]
    tests, pixels = [], []
    for stack in range(0, shape[0] * shape[1], every):
        first = stack * shape[2]
        # Of a stack that is split only the frames of its first block.
        planes = [z for z in range(depth) if first + z not in lost]
        if not planes:
            continue
        found = elbow_reference(frames.reshape(-1, *shape[2:])[stack][planes], 90.0)
        tests.append((first, len(planes), np.float32(100 * found.mask.mean()), *map(np.float32, found[3:])))
        if 100 * found.mask.mean() <= most:
            for y, x in np.argwhere(found.mask):
                pixels.append((first, y, x, np.float32(found.deviation[y, x]), np.float32(found.brightness[y, x])))
    for name, rows in (("hot_test", tests), ("hot_pixels", pixels)):
        assert list(zip(*got.tables[name].values(), strict=True)) == rows
    assert same(run(overrides, frames, lost=lost, block_frames=block_frames), got)


def test_a_hot_pixel_is_listed_where_it_is_and_noise_is_not():
    hot, dead = [(5, 7), (30, 41)], [(12, 50)]
    noise = np.random.default_rng(0).poisson(103, (40, 64, 96))
    frames = np.stack([scene_of((40, 64, 96), 1, hot, dead), noise.astype(np.uint16)])[:, None]
    got = run(["hot_test=true", "hot_test.every=1"], frames).tables
    assert got["hot_test"]["frame"].tolist() == [0, 40]
    assert got["hot_test"]["share"][0] <= 2 < got["hot_test"]["share"][1]
    listed = set(zip(got["hot_pixels"]["y"].tolist(), got["hot_pixels"]["x"].tolist(), strict=True))
    assert set(hot + dead) <= listed
    assert set(got["hot_pixels"]["frame"].tolist()) == {0}


def test_no_more_is_held_than_is_tested_at_a_time():
    for every, held in ((1, 6), (2, 3), (100, 1)):
        plan = Plan((3, 2, 4, 10, 12))
        step = run(["hot_test=true", f"hot_test.every={every}"], np.zeros(plan.shape, np.uint16)).reduction.steps[0]
        assert step.held_bytes == 120 * (held * 12 + 32)
