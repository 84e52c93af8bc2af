"""Binning against arithmetic written out, without any code of the kernels."""

import numpy as np
import pytest
from octostream.kernels.binning import FACTORS, MODES, bin_reference, taps
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.stream.model import Plan

FRAME = np.random.default_rng(0).integers(0, 65536, (13, 22)).astype(np.float64)


def cells(image, factor, of):
    """Apply ``of`` to the pixels of every cell."""
    y, x = (range(0, size, factor) for size in image.shape)
    return np.array([[of(image[j : j + factor, i : i + factor]) for i in x] for j in y])


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize(("mode", "of"), [("mean", np.mean), ("sum", np.sum), ("max", np.max)])
def test_a_cell_has_the_pixels_that_are_there(factor, mode, of):
    np.testing.assert_allclose(bin_reference(FRAME, factor, mode), cells(FRAME, factor, of), rtol=1e-15)


def test_binomial_mean_by_hand():
    got = bin_reference(FRAME, 2, "binomial")
    square = np.outer([1, 3, 3, 1], [1, 3, 3, 1])
    assert got[3, 4] == (square * FRAME[5:9, 7:11]).sum() / 64
    # At the corner three by three pixels are there, at the last odd row two.
    assert got[0, 0] == (square[1:, 1:] * FRAME[:3, :3]).sum() / 49
    assert got[6, 4] == pytest.approx((square[:2] * FRAME[11:13, 7:11]).sum() / 32, rel=1e-15)


def test_binomial_mean_is_the_small_one_again_and_again():
    image = np.random.default_rng(1).integers(0, 65536, (64, 96)).astype(np.float64)
    twice = bin_reference(bin_reference(image, 2, "binomial"), 2, "binomial")
    np.testing.assert_allclose(bin_reference(image, 4, "binomial")[2:-2, 2:-2], twice[2:-2, 2:-2], rtol=1e-13)
    thrice = bin_reference(twice, 2, "binomial")
    np.testing.assert_allclose(bin_reference(image, 8, "binomial")[2:-2, 2:-2], thrice[2:-2, 2:-2], rtol=1e-13)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("mode", ["mean", "binomial", "max"])
def test_an_even_field_stays_as_it_is(factor, mode):
    assert (bin_reference(np.full((13, 22), 7.0), factor, mode) == 7).all()


def test_binomial_mean_removes_the_finest_stripes():
    stripes = np.tile([0.0, 1000.0], (8, 16))
    assert (bin_reference(stripes, 2, "binomial")[:, 1:-1] == 500).all()
    # Moved by a pixel, a plain mean of an edge jumps; the weights share it out.
    assert taps(2, "binomial").tolist() == [1, 3, 3, 1]


@pytest.mark.parametrize(("mode", "expected"), [("mean", 30100), ("sum", 65535), ("max", 60100)])
def test_pedestal_and_the_end_of_sums(mode, expected):
    frame = np.array([[100, 60100], [100, 60100]], np.uint16)
    reducer = plan_reduction(Recipe.load("lightsheet", [f"bin.mode={mode}"]), Plan((1, 1, 1, 2, 2))).reducer()
    reducer.begin(reducer._reduction.plan.blocks[0])
    reducer.add(0, frame)
    assert reducer.finish()["0"].ravel().tolist() == [expected]
    frame //= 10
    reducer.begin(reducer._reduction.plan.blocks[0])
    reducer.add(0, frame)
    calibrated = {"mean": 2910, "sum": 4 * 2910, "max": 5910}[mode]
    assert reducer.finish()["0"].ravel().tolist() == [calibrated + 100]


@pytest.mark.parametrize("mode", MODES)
def test_a_bin_of_one_pixel_changes_nothing(mode):
    assert (bin_reference(FRAME, 1, mode) == FRAME).all()
