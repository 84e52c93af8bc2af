"""What is measured of a recipe, with a clock that is passed in."""

import numpy as np
import pytest
from octostream.kernels.following import Follower
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import BlockReducer, plan_reduction
from octostream.kernels.speed import made_up, measure_following, measure_speed
from octostream.stream.model import Plan


class Clock:
    """A clock that only goes on while frames are reduced or completed."""

    def __init__(self, monkeypatch, frame_s, block_s):
        self.now = 0.0
        add, finish = BlockReducer.add, BlockReducer.finish

        def slow_add(reducer, *arguments):
            self.now += frame_s
            return add(reducer, *arguments)

        def slow_finish(reducer):
            self.now += block_s
            return finish(reducer)

        monkeypatch.setattr(BlockReducer, "add", slow_add)
        monkeypatch.setattr(BlockReducer, "finish", slow_finish)

    def __call__(self):
        return self.now


@pytest.mark.parametrize(
    ("frame_s", "block_s", "seconds", "frames", "blocks", "frame_ms"),
    [
        (0.01, 0.05, 0.925, 45, 9, 20.0),  # blocks of 5 frames: 0.01 + 0.05 / 5; the tenth is cut short and left out
        (0.0, 0.25, 0.9, 20, 4, 50.0),  # a block that was begun in time is completed
        (0.5, 1.0, 0.9, 2, 1, 1000.0),  # not one whole block fits
        (5.0, 1.0, 0.9, 1, 1, 6000.0),  # nor a frame
    ],
)
def test_whole_blocks_are_measured_with_their_completion(
    monkeypatch, frame_s, block_s, seconds, frames, blocks, frame_ms
):
    reduction = plan_reduction(Recipe.load("lightsheet"), Plan((4, 1, 5, 8, 8), rate_hz=5.0))
    speed = measure_speed(reduction, seconds, Clock(monkeypatch, frame_s, block_s))
    assert (speed.frames, speed.parts) == (frames, blocks)
    assert speed.frame_ms == pytest.approx(frame_ms)
    assert speed.rate_hz == pytest.approx(1000 / frame_ms)


def test_a_smaller_block_at_the_end_is_left_out(monkeypatch):
    reduction = plan_reduction(Recipe.load("lightsheet"), Plan((5, 1, 1, 8, 8), rate_hz=3.0))
    assert [block.count for block in reduction.plan.blocks] == [3, 2]
    speed = measure_speed(reduction, 0.235, Clock(monkeypatch, 0.01, 0.01))
    assert (speed.frames, speed.parts) == (18, 6)


def test_time_points_are_followed_again_and_again(monkeypatch):
    recipe = Recipe.load("lightsheet", ["moments=true", "pyramid.until=2"])
    reduction = plan_reduction(recipe, Plan((3, 1, 2, 16, 16), rate_hz=8.0))
    clock = Clock(monkeypatch, 0, 0)
    taken, take = [], Follower.take

    def slow_take(follower, t, images, present):
        clock.now += 0.01
        taken.append((t, images.shape))
        return take(follower, t, images, present)

    monkeypatch.setattr(Follower, "take", slow_take)
    speed = measure_following(reduction, 0.045, clock)
    assert (speed.parts, speed.frames) == (5, 10)
    assert speed.frame_ms == pytest.approx(5)
    assert taken == [(t, (1, 2, 4, 4)) for t in (0, 1, 2, 0, 1, 2)]


def test_nothing_is_measured_where_nothing_follows():
    assert measure_following(plan_reduction(Recipe.load("lightsheet"), Plan((1, 1, 1, 8, 8)))) is None


def test_frames_look_like_a_cameras():
    frames = made_up((64, 100))
    assert {(f.shape, f.dtype.name, f.flags.c_contiguous) for f in frames} == {((64, 100), "uint16", True)}
    assert not np.array_equal(frames[0], frames[1])
    assert 105 < np.median(frames[0][:8]) < 200
    assert frames[0][28:36, 45:55].mean() > 450
    assert made_up((1, 1))[0].shape == (1, 1)
