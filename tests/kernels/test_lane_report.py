"""Bytes of a frame against sums written out for a camera of 2048 x 2048."""

import numpy as np
import pytest
from octostream.kernels.lane import plan_lane
from octostream.kernels.lane_report import lane_report
from octostream.kernels.lane_steps import LANE
from octostream.kernels.recipe import Recipe
from octostream.stream.model import Plan

from .mapped import mapped_recipe

SIDE = 256
RAW = 2 * SIDE**2
CELLS = (SIDE // 2) ** 2


def report(*overrides, maps=None, keep_raw=False):
    recipe = mapped_recipe(maps or {}, "pyramid.until=100", *overrides)
    return lane_report(plan_lane(recipe, Plan((1, 1, 3, SIDE, SIDE)), maps or {}, keep_raw=keep_raw))


def test_the_raw_frame_is_read_once_and_a_bin_is_written():
    bare = report("projections=false", "pyramid=false", "statistics=false")
    assert bare.written_bytes == 2 * CELLS
    # Raw and a 2 x 2 bin move 12.6 MB a frame of 2048 x 2048, a quarter of the raw pixels written and fetched first.
    assert bare.moved_bytes == RAW + 2 * 2 * CELLS == 1.5 * RAW
    assert bare.fused == ("calibrate", "hot_pixels", "bin", "encode", "statistics")


def test_levels_projections_and_raw_frames():
    usual = report()
    levels, views, running = 2 * (CELLS + CELLS // 4), 2 * SIDE, 2 * CELLS
    assert usual.written_bytes == levels + views + running
    assert usual.read_bytes == RAW + levels + views + running
    assert usual.fused == Recipe.load("lightsheet").steps
    kept = report(keep_raw=True)
    assert kept.moved_bytes == usual.moved_bytes + 2 * RAW
    means = report('projections.modes=["min", "mean"]', 'projections.along=["z"]')
    assert means.written_bytes == levels + 6 * CELLS
    assert report('projections.along=["y"]', "pyramid=false").written_bytes == 2 * CELLS + SIDE
    assert "saturation" in report("saturation=true").fused
    assert report("saturation=true").moved_bytes == usual.moved_bytes


@pytest.mark.parametrize(
    ("low", "high", "overrides", "gains", "bases"),
    [(0.99, 1.01, (), 2, 2), (0.3, 1.5, (), 4, 2), (0.3, 300, (), 4, 4), (0.99, 1.01, ("bin.mode=max",), 4, 16)],
)
def test_maps_count_as_wide_as_they_are_read(low, high, overrides, gains, bases):
    maps = {"calibrate.gain": np.random.default_rng(0).uniform(low, high, (SIDE, SIDE)).astype(np.float32)}
    more = report(*overrides, maps=maps).read_bytes - report(*overrides).read_bytes
    assert more == gains * SIDE**2 + bases * CELLS


def test_parts_are_those_of_the_pass_alone():
    recipe = Recipe.load("lightsheet", ["histogram=true", "hot_pixels=false"])
    parts = plan_lane(recipe, Plan((1, 1, 3, SIDE, SIDE)), {}, keep_raw=False).parts
    assert parts == tuple(step.name for step in LANE if step.name not in ("hot_pixels", "saturation"))
