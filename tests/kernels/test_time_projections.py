"""Projections over t: whatever was lost, as NumPy makes them of what came."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from octostream.kernels.time_projections import time_projections_reference
from octostream.stream.errors import RecipeError

from .followed import followed, images_of, kinds, planned, same, shapes

modes = st.lists(st.sampled_from(["max", "min", "mean"]), unique=True, min_size=1)


@given(shapes, kinds, st.integers(0, 99), st.sampled_from([0, 0.3, 1]), modes)
@example((1, 1, 1, 1, 1), "full", 0, 0, ["max", "min", "mean"])
@example((6, 1, 1, 3, 4), "any", 0, 0, ["mean"])
def test_they_are_those_of_the_reference(shape, kind, seed, lost, names):
    words = ",".join(f'"{name}"' for name in names)
    reduction = planned(shape, "time_projections=true", "time_projections.bin=1", f"time_projections.modes=[{words}]")
    images, present = images_of(shape, kind, seed, lost)
    result = followed(reduction, images, present)
    exact = time_projections_reference(images, present, tuple(names))
    assert {path.rpartition("-")[2] for path in result[0]} == set(names)
    for name, array in exact.items():
        assert (result[0][f"projections/t-{name}"] == array).all()
    assert same(result, followed(reduction, images, present))


def test_the_reference_by_hand():
    images = np.array([3, 9, 2, 5], np.uint16).reshape(4, 1, 1, 1, 1)
    present = np.array([True, False, True, True]).reshape(4, 1, 1)
    got = time_projections_reference(images, present, ("max", "min", "mean"))
    assert {mode: array.item() for mode, array in got.items()} == {"max": 5, "min": 2, "mean": 3}
    half = time_projections_reference(images[2:], present[2:], ("mean",))
    assert half["mean"].item() == 4


def test_other_modes_are_refused():
    with pytest.raises(RecipeError, match=r"time_projections\.modes .* each max, min or mean"):
        planned((1, 1, 1, 2, 2), "time_projections=true", 'time_projections.modes=["median"]')
