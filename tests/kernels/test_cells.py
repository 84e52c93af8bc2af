"""Means over cells: bit for bit as the float64 reference, rounded once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from octostream.kernels.cells import SIDES, cells_shape, check_side, mean_cells, mean_cells_reference
from octostream.stream.errors import RecipeError


@given(st.tuples(st.integers(1, 50), st.integers(1, 90)), st.sampled_from(SIDES), st.integers(0, 99), st.booleans())
@example((1, 1), 4, 0, False)
@example((16, 160), 16, 0, True)
def test_both_forms_are_equal_bit_for_bit(shape, side, seed, full):
    rng = np.random.default_rng(seed)
    image = np.full(shape, 65535, np.uint16) if full else rng.integers(0, 65536, shape, dtype=np.uint16)
    out = np.full(cells_shape(shape, side), np.nan, np.float32)
    assert mean_cells(image, side, out) == image.sum(dtype=np.int64)
    assert (out == mean_cells_reference(image, side)).all()
    if not (shape[0] % side or shape[1] % side):
        cells = image.reshape(out.shape[0], side, out.shape[1], side).mean(axis=(1, 3), dtype=np.float64)
        assert (out == cells.astype(np.float32)).all()


@pytest.mark.parametrize("side", [0, 3, 32, 4.0, True, "4", None])
def test_other_sides_are_refused(side):
    with pytest.raises(RecipeError, match=r"drift\.bin is .*: it must be 1, 2, 4, 8 or 16 pixels"):
        check_side("drift.bin", side)
