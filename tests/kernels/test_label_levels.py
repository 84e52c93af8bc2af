"""Coarser levels of labels: as the reference says, for every label and in every block."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octostream.kernels.binning import bin_reference
from octostream.kernels.label_levels import LabelLevels, label_products
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.stream.model import Plan, Product

STEPS = ["pyramid.until=2", "saturation=true", "saturation.level=300", "foreground=true"]


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 3), st.integers(1, 40), st.integers(1, 40), st.sampled_from(["uint8", "uint16"]), st.integers(0, 99)
)
def test_each_level_has_the_largest_label_of_the_one_before(frames, height, width, dtype, seed):
    plan = Plan((1, 1, frames, height, width))
    levels = [p for p in plan_reduction(Recipe.load("lightsheet", ["bin=false", "pyramid.until=1"]), plan).products]
    sizes = [p for p in levels if p.path.isdigit()]
    label = Product("labels/cells", "tczyx", sizes[0].shape, dtype, 1, shows="label")
    coarse = label_products([*sizes, label])
    assert [p.path for p in coarse] == [f"labels/cells/{p.path}" for p in sizes[1:]]
    assert [(p.shape, p.factor_yx, p.dtype) for p in coarse] == [(p.shape, p.factor_yx, dtype) for p in sizes[1:]]
    values = np.random.default_rng(seed).integers(0, 200, sizes[0].shape).astype(dtype)
    arrays = {"labels/cells": values}
    LabelLevels(coarse, plan).finish(arrays)
    for product in coarse:
        values = bin_reference(values, 2, "max")
        np.testing.assert_array_equal(arrays[product.path], values)


def test_labels_of_steps_get_as_many_levels_as_the_image():
    plan = Plan((3, 1, 2, 17, 33), rate_hz=4.0)
    frames = np.random.default_rng(0).integers(0, 400, plan.shape, dtype=np.uint16)
    reduction = plan_reduction(Recipe.load("lightsheet", STEPS), plan)
    levels = [p.path for p in reduction.products if p.path.isdigit()]
    assert len(levels) == 5
    reducer = reduction.reducer()
    for block in plan.blocks:
        reducer.begin(block)
        for number in block.frames:
            reducer.add(number, frames[plan.index(number)])
        parts = reducer.finish()
        assert set(parts) == {p.path for p in reduction.products}
        for name in ("saturation", "foreground"):
            expected = parts[f"labels/{name}"]
            for level in levels[1:]:
                expected = bin_reference(expected, 2, "max")
                np.testing.assert_array_equal(parts[f"labels/{name}/{level}"], expected)
                assert parts[f"labels/{name}/{level}"].shape == parts[level].shape
    assert parts["labels/saturation"].any()


def test_labels_of_another_size_have_one_level():
    small = Product("labels/coarse", "tczyx", (1, 1, 1, 2, 2), "uint8", 2, shows="label")
    levels = [Product(f"{k}", "tczyx", (1, 1, 1, 4 >> k, 4 >> k), "uint16", 2**k) for k in range(2)]
    assert label_products([*levels, small]) == ()
    with pytest.raises(ValueError, match="unpack"):
        label_products([small])
