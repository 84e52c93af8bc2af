"""Moved images: the compiled form against the reference, and the reference against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from octostream.kernels.translation import STEPS, translate, translate_reference
from scipy.ndimage import shift as scipy_shift

sizes = st.tuples(st.integers(1, 40), st.integers(1, 70))
moves = st.floats(-90, 90) | st.integers(-20, 20) | st.integers(-5000, 5000).map(lambda n: n / STEPS)


def image_of(size, seed, ends=False):
    rng = np.random.default_rng(seed)
    if ends:
        return rng.choice(np.array([0, 1, 65534, 65535], np.uint16), size)
    return rng.integers(0, 65536, size, dtype=np.uint16)


def translated(image, dy, dx, fill):
    out = np.full(image.shape, 7, np.uint16)
    translate(image, dy, dx, fill, out)
    return out


@given(sizes, st.integers(0, 99), st.booleans(), moves, moves, st.sampled_from([0, 100, 65535]))
@example((1, 1), 0, True, 0.0, 0.0, 100)
@example((9, 9), 0, True, 0.5, -0.5, 0)
@example((3, 5), 0, False, 1e300, -1e9, 5)
def test_both_forms_are_equal_bit_for_bit(size, seed, ends, dy, dx, fill):
    image = image_of(size, seed, ends)
    image.flags.writeable = False
    assert (translated(image, dy, dx, fill) == translate_reference(image, dy, dx, fill)).all()


@given(sizes, st.integers(0, 99), moves, moves)
def test_scipy_moves_the_same_way(size, seed, dy, dx):
    image = image_of(size, seed)
    dy, dx = round(dy * STEPS) / STEPS, round(dx * STEPS) / STEPS
    exact = scipy_shift(image.astype(np.float64), (dy, dx), order=1, mode="constant", cval=-9999)
    got = translate_reference(image, dy, dx, 5)
    outside = exact == -9999
    assert (got[outside] == 5).all()
    assert abs(got[~outside] - exact[~outside]).max(initial=0) <= 0.5 + 1e-6


def test_whole_pixels_change_no_count_and_halves_go_to_even():
    image = np.array([[1, 2, 3, 65535]], np.uint16)
    assert translated(image, 0, 1, 9).tolist() == [[9, 1, 2, 3]]
    assert translated(image, 0, -2, 9).tolist() == [[3, 65535, 9, 9]]
    assert translated(image, 1, 0, 9).tolist() == [[9, 9, 9, 9]]
    assert translated(image, 0, 0.5, 9).tolist() == [[9, 2, 2, 32769]]


@pytest.mark.parametrize("move", [(0.3, 0), (0, -0.7), (2.25, 3.75)])
def test_a_flat_image_stays_flat(move):
    image = np.full((12, 15), 65535, np.uint16)
    assert set(np.unique(translated(image, *move, 0))) == {0, 65535}
