"""The saturation mask: what is marked, and that buffers that are used again are clean."""

import numpy as np
import pytest
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.stream.model import Plan, Product

SHAPE = (3, 1, 2, 7, 10)


def reducer_of(*overrides, shape=SHAPE, **options):
    return plan_reduction(Recipe.load("lightsheet", ["saturation=true", *overrides]), Plan(shape), **options).reducer()


def masks(reducer, frames, lost=()):
    """Reduce all frames that are not lost, and give the mask (t, c, z, y, x)."""
    plan = reducer._reduction.plan
    (block,) = plan.blocks
    reducer.begin(block)
    for number, frame in enumerate(frames.reshape(-1, *plan.frame_shape)):
        if number not in lost:
            reducer.add(number, frame)
    return reducer.finish()["labels/saturation"]


@pytest.mark.parametrize("mode", ["mean", "sum", "max", "binomial"])
def test_one_saturated_pixel_marks_its_cell_alone(mode):
    frames = np.full(SHAPE, 65534, np.uint16)
    frames[1, 0, 1, 3, 4] = frames[2, 0, 0, 6, 9] = 65535
    got = masks(reducer_of(f"bin.mode={mode}"), frames)
    assert got.dtype == np.uint8
    assert got.shape == (3, 1, 2, 4, 5)
    assert np.argwhere(got).tolist() == [[1, 0, 1, 1, 2], [2, 0, 0, 3, 4]]
    assert got.max() == 1


def test_the_level_is_the_first_count_that_is_marked():
    frames = np.arange(140, dtype=np.uint16).reshape(1, 1, 2, 7, 10)
    got = masks(reducer_of("saturation.level=137", "bin.factor=1", shape=frames.shape), frames)
    np.testing.assert_array_equal(got, frames >= 137)


def test_nothing_is_left_of_the_block_before():
    reducer, dark = reducer_of(), np.zeros(SHAPE, np.uint16)
    assert masks(reducer, np.full(SHAPE, 65535, np.uint16)).all()
    assert not masks(reducer, dark, lost=(1, 4)).any()
    assert masks(reducer, np.full(SHAPE, 65535, np.uint16), lost=(1, 4)).reshape(6, -1).all(axis=1).tolist() == [
        True, False, True, True, False, True
    ]  # fmt: skip
    part = dark.copy()
    part[..., 0, 0] = 65535
    assert masks(reducer, part).sum() == 6
    assert masks(reducer, dark[:, :, ::-1]).sum() == 0


def test_it_is_a_label_and_only_made_when_asked_for():
    products = plan_reduction(Recipe.load("lightsheet", ["saturation=true"]), Plan(SHAPE), keep_raw=True).products
    assert products[-2:] == (
        Product(
            "labels/saturation", "tczyx", (3, 1, 2, 4, 5), "uint8", 2, shows="label",
            meaning="1 where a raw pixel of the cell is at 65535 counts or above",
        ),
        Product("raw/0", "tczyx", SHAPE, "uint16", 1),
    )  # fmt: skip
    without = plan_reduction(Recipe.load("lightsheet"), Plan(SHAPE))
    assert "labels/saturation" not in {product.path for product in without.products}
    assert without.reducer()._work._lane._masks.size == 0


def test_the_count_of_saturated_pixels_stays_that_of_the_full_scale():
    reducer = reducer_of("saturation.level=5")
    reducer.begin(reducer._reduction.plan.blocks[0])
    frame = np.full((7, 10), 6, np.uint16)
    frame[2, 3] = 65535
    assert reducer.add(0, frame).saturated == 1
