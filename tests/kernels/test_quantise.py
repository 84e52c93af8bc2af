"""The square-root quantisation: every count, every parameter, and what it does to noise."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from octostream.kernels.binning import FACTORS, MODES, plan_cells
from octostream.kernels.quantise import (
    Quantise,
    plan_quantiser,
    quantise_reference,
    restore_reference,
)
from octostream.stream.errors import RecipeError

from .blockwise import run, same

DATA = Path(__file__).parents[2].parent / "shared" / "data"
EVERY = np.arange(65536, dtype=np.uint16)

parameters = st.builds(
    Quantise,
    offset=st.integers(0, 65535) | st.floats(0, 65535),
    gain=st.floats(0.01, 1e3),
    read_noise=st.floats(0, 100),
    step=st.floats(0.1, 2),
)


def coded(quantiser, pixels):
    out = np.full(pixels.shape, 7, quantiser.codes.dtype)
    quantiser.quantise(pixels, out)
    return out


def restored(quantiser, codes):
    out = np.full(codes.shape, 7, np.uint16)
    quantiser.restore(codes, out)
    return out


@given(parameters)
@example(Quantise())
@example(Quantise(gain=65535 / 30000, read_noise=1.6))
@example(Quantise(offset=0, read_noise=0))
@example(Quantise(offset=65535))
@example(Quantise(step=8, coarse=True))
def test_every_count_comes_back_within_half_a_step(p):
    quantiser = plan_quantiser(p)
    codes = coded(quantiser, EVERY)
    assert (codes == quantise_reference(EVERY, p)).all()
    assert (np.diff(codes.astype(np.int64)) >= 0).all()
    exact, x = restore_reference(codes, p), EVERY.astype(np.float64)
    sigma = p.gain * np.sqrt(np.maximum(x - p.offset, 0) / p.gain + p.read_noise**2)
    bound = sigma * p.step / 2 + p.gain * p.step**2 / 16
    above = x >= p.offset
    assert (abs(exact - x) <= bound * (1 + 1e-9) + 1e-6)[above].all()
    # What lies below the offset has the code of the offset, and comes back as the offset.
    assert (codes[~above] == 0).all()
    assert np.allclose(exact[~above], p.offset, rtol=0, atol=1e-6)
    counts = restored(quantiser, codes)
    assert (abs(counts - np.minimum(exact, 65535)) <= 0.5).all()


@given(parameters)
def test_codes_are_a_step_of_the_noise_apart(p):
    x = np.linspace(p.offset, 65535, 50) if p.offset < 65535 else np.array([65535.0])
    transformed = 2 * np.sqrt((x - p.offset) / p.gain + p.read_noise**2) - 2 * p.read_noise
    assert (abs(quantise_reference(x, p) * p.step - transformed) <= p.step / 2 * (1 + 1e-9) + 1e-9).all()


def test_the_formula_by_hand():
    # 144 electrons above the offset: 2·√(144 + 25) - 2·5 = 16 at step 1, and (26² / 4 - 25) · 2 + 100 = 388 counts.
    p = Quantise(offset=100, gain=2, read_noise=5)
    assert quantise_reference(np.array([388, 100, 0]), p).tolist() == [16, 0, 0]
    assert restore_reference(np.array([16, 0]), p).tolist() == [388, 100]
    assert quantise_reference(np.array([388]), Quantise(100, 2, 5, step=0.5)).tolist() == [32]


@pytest.mark.parametrize("step", [0.5, 1, 2])
@pytest.mark.parametrize("electrons", [5, 30, 500])
def test_noise_grows_as_theory_says(step, electrons):
    rng = np.random.default_rng(electrons)
    p = Quantise(offset=100, gain=2.17, read_noise=1.6, step=step)
    light = rng.poisson(electrons, 400_000) + rng.normal(0, p.read_noise, 400_000)
    pixels = np.rint(p.offset + p.gain * light).astype(np.uint16)
    back = restore_reference(coded(plan_quantiser(p), pixels), p)
    growth = back.std() / pixels.std()
    assert math.isclose(growth, math.sqrt(1 + step**2 / 12), rel_tol=0.03)
    # An inverse that is a parabola adds g·step²/48 on average.
    assert abs(back.mean() - pixels.mean() - p.gain * step**2 / 48) < 0.25 * step


@pytest.mark.parametrize("pixels", [4, 16])
def test_means_of_pixels_have_noise_one_in_their_own_parameters(pixels):
    rng = np.random.default_rng(pixels)
    p = Quantise(offset=100, gain=2.17, read_noise=1.6)
    light = rng.poisson(80, (100_000, pixels)) + rng.normal(0, p.read_noise, (100_000, pixels))
    means = (p.offset + p.gain * light).mean(1)
    own = p.of_cells(plan_cells((9, 9), math.isqrt(pixels), "mean").noise)
    transformed = 2 * np.sqrt((means - own.offset) / own.gain + own.read_noise**2)
    assert math.isclose(transformed.std(), 1, rel_tol=0.02)


def test_codes_are_as_wide_as_they_must_be():
    # 2·√(65435 / g) is 255.2 for g = 4.02 and 255.8 for g = 4.
    narrow, wide = (plan_quantiser(Quantise(gain=gain, read_noise=0)).codes for gain in (4.02, 4))
    assert (narrow.dtype, narrow[-1]) == (np.uint8, 255)
    assert (wide.dtype, wide[-1]) == (np.uint16, 256)
    widest = Quantise(offset=0, gain=1, read_noise=0, step=512 / 65536)
    assert plan_quantiser(widest).codes[-1] == 65535
    with pytest.raises(RecipeError, match=r"quantise.step of 0.0077 sigma needs codes up to 66\d+, .* larger step"):
        plan_quantiser(Quantise(offset=0, gain=1, read_noise=0, step=0.0077))


def test_codes_that_no_count_has_do_not_wrap():
    quantiser = plan_quantiser(Quantise(offset=100))
    largest = int(quantiser.codes[-1])
    back = restored(quantiser, EVERY)
    assert EVERY.flags.writeable
    assert back[0] == 100
    assert back[largest + 2] == back[-1] == 65535
    assert (np.diff(back.astype(np.int64)) >= 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 37), (37, 1), (3, 5, 7), (0, 4)])
def test_shapes(shape):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 65536, shape, dtype=np.uint16)
    pixels.flags.writeable = False
    quantiser = plan_quantiser(Quantise())
    codes = coded(quantiser, pixels)
    assert (codes == quantise_reference(pixels, quantiser.parameters)).all()
    assert (coded(quantiser, pixels) == codes).all()
    assert (restored(quantiser, codes) == np.rint(restore_reference(codes, quantiser.parameters)).clip(0, 65535)).all()


def test_arrays_that_do_not_fit_are_refused():
    quantiser = plan_quantiser(Quantise())
    pixels = np.zeros((4, 6), np.uint16)
    for taken, out in [
        (pixels.astype(np.int16), pixels.copy()),
        (pixels, pixels.astype(np.uint8)),
        (pixels, np.zeros((6, 4), np.uint16)),
        (pixels, np.zeros((4, 12), np.uint16)[:, ::2]),
        (np.zeros((4, 12), np.uint16)[:, ::2], pixels.copy()),
    ]:
        with pytest.raises(ValueError, match=r"is not|are not"):
            quantiser.quantise(taken, out)
    with pytest.raises(ValueError, match="is not uint16"):
        quantiser.restore(np.zeros(3, np.uint8), np.zeros(3, np.uint16))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("offset", -1, "quantise.offset is -1: it must be a finite number of counts from 0 to 65535"),
        ("offset", math.nan, "quantise.offset is NaN"),
        ("gain", 0, "quantise.gain is 0"),
        ("gain", math.inf, "quantise.gain is Infinity"),
        ("gain", True, "quantise.gain is true"),
        ("gain", "2", 'quantise.gain is "2"'),
        ("read_noise", -0.1, "quantise.read_noise is -0.1"),
        ("step", 0, "quantise.step is 0"),
        ("step", 2.01, "quantise.step is 2.01 sigma, which shifts the means: give at most 2, or set quantise.coarse"),
        ("step", math.nan, "quantise.step is NaN"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(name, value, words):
    with pytest.raises(RecipeError) as caught:
        Quantise(**{name: value})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_coarse_step_is_taken_when_asked_for():
    assert Quantise(step=4, coarse=True).step == 4
    for word in (False, 1, "yes"):
        with pytest.raises(RecipeError, match="coarse"):
            Quantise(step=4, coarse=word)


@given(parameters)
@example(Quantise(step=4, coarse=True))
def test_metadata_are_enough_to_bring_the_counts_back(p):
    data = json.loads(json.dumps(p.to_json(), allow_nan=False))
    again = Quantise.from_json(data)
    codes = np.arange(0, 65536, 97)
    assert (restore_reference(codes, again) == restore_reference(codes, p)).all()
    names = {name: data[name] for name in ("offset", "gain", "read_noise", "step")}
    by_formula = eval(data["inverse"], {"code": codes.astype(np.float64), **names})
    assert np.allclose(by_formula, restore_reference(codes, p), rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("change", [{"form": "log"}, {"step": None}, {"gain": 0}])
def test_metadata_of_another_kind_are_refused(change):
    data = {key: value for key, value in (Quantise().to_json() | change).items() if value is not None}
    with pytest.raises(RecipeError, match=r"noise-equalising|quantise\.gain"):
        Quantise.from_json(data)


def test_real_lattice_stack_stays_within_its_noise():
    path = DATA / "lattice_lightsheet_raw.tif"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    stack = tifffile.imread(path)
    p = Quantise(offset=98, gain=2.17)
    quantiser = plan_quantiser(p)
    codes = coded(quantiser, stack)
    back = restored(quantiser, codes)
    assert len(np.unique(codes)) < len(np.unique(stack)) / 4
    light = np.maximum(stack.astype(np.float64) - p.offset, 0)
    sigma = p.gain * np.sqrt(light / p.gain + p.read_noise**2)
    # Half a step, half a count of rounding, and what the parabola adds.
    assert (abs(back - p.offset - light) <= sigma / 2 + p.gain / 16 + 0.5).all()


stacks = st.tuples(*[st.integers(1, 3)] * 3, st.integers(1, 20), st.integers(1, 30))


@settings(max_examples=40)
@given(
    stacks,
    st.integers(0, 99),
    st.integers(1, 30),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([2.17, 900.0]),
    st.floats(0, 0.6),
)
def test_the_step_puts_the_codes_of_level_0_in_the_place_of_all_counts(shape, seed, block_frames, factor, gain, share):
    rng = np.random.default_rng(seed)
    frames = (100 + rng.poisson(rng.integers(0, 4000), shape)).astype(np.uint16)
    lost = set(np.flatnonzero(rng.random(math.prod(shape[:3])) < share).tolist())
    lane = [f"bin.factor={factor}", "pyramid.until=4"]
    overrides = [*lane, "quantise=true", f"quantise.gain={gain}"]
    counts = run(lane, frames, lost=lost, block_frames=block_frames, keep_raw=True).arrays
    got = run(overrides, frames, lost=lost, seed=seed, block_frames=block_frames, keep_raw=True)
    p = Quantise(gain=gain / factor**2, read_noise=1.6 * factor)
    for product in got.reduction.products:
        array = got.arrays[product.path]
        if product.path == "raw/0":
            assert (array == counts["raw/0"]).all()
            continue
        assert array.dtype == product.dtype == ("uint8" if gain == 900 else "uint16")
        assert (array == quantise_reference(counts[product.path], p)).all(), product.path
        assert restore_reference(array, Quantise.from_json(product.attributes["quantise"])) == pytest.approx(
            restore_reference(quantise_reference(counts[product.path], p), p)
        )
    assert same(run(overrides, frames, lost=lost, block_frames=block_frames, keep_raw=True), got)


def test_projections_follow_from_the_codes_and_levels_do_not():
    rng = np.random.default_rng(0)
    got = run(["quantise=true", "pyramid.until=4"], rng.integers(90, 9000, (2, 1, 5, 17, 30), dtype=np.uint16))
    follows = {product.path: product.follows for product in got.reduction.products}
    assert set(follows.values()) == {"", "level 0"}
    for path, axis in (("projections/xy", 2), ("projections/xz", 3), ("projections/yz", 4)):
        assert follows[path] == "level 0"
        assert (got.arrays[path] == got.arrays["0"].max(axis=axis)).all()
    assert not follows["1"]


def test_means_of_counts_follow_from_no_codes():
    rng = np.random.default_rng(0)
    frames = rng.integers(90, 9000, (2, 1, 5, 17, 30), dtype=np.uint16)
    modes = ['projections.modes=["max","mean"]', "pyramid.until=4"]
    counts, got = run(modes, frames), run([*modes, "quantise=true"], frames)
    follows = {product.path: product.follows for product in got.reduction.products}
    for plane in ("xy", "xz", "yz"):
        assert (follows[f"projections/{plane}"], follows[f"projections/{plane}-mean"]) == ("level 0", "")
        assert (got.arrays[f"projections/{plane}-mean"] == counts.arrays[f"projections/{plane}-mean"]).all()


@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize(("mode", "within"), [("mean", 0.03), ("binomial", 0.03), ("sum", 0.03), ("max", 0.05)])
def test_noise_of_binned_pixels_is_one_code(mode, within, factor):
    rng = np.random.default_rng(1)
    light = rng.poisson(200, (1, 1, 1, 800, 800)) + rng.normal(0, 1.6, (1, 1, 1, 800, 800))
    frames = np.rint(100 + 2.17 * light).astype(np.uint16)
    lane = [f"bin.mode={mode}", f"bin.factor={factor}"]
    got = run([*lane, "quantise=true", "quantise.gain=2.17", "quantise.offset=100"], frames)
    # Cells at the border have fewer pixels.
    inner = got.arrays["0"][..., 2:-2, 2:-2]
    assert math.isclose(inner.std(), math.sqrt(1 + 1 / 12), rel_tol=within)


def test_what_noise_a_cell_has_by_hand():
    noise = {(f, mode): plan_cells((9, 9), f, mode).noise for f in FACTORS for mode in MODES}
    assert all(noise[1, mode] == (1, 1) for mode in MODES)
    for f in FACTORS[1:]:
        # As many electrons as f² pixels have, with the read noise of so many; a mean divides them.
        assert noise[f, "mean"] == (1 / f**2, f)
        assert noise[f, "sum"] == (1, f)
    # Weighted means pool fewer pixels than they see: (8² / 20)² and (64² / 580)².
    assert np.allclose([noise[f, "binomial"] for f in (2, 4)], [(1 / p**2, p) for p in (3.2, 4096 / 580)])


@pytest.mark.parametrize("factor", FACTORS)
def test_the_largest_of_a_cell_varies_as_much_as_it_says(factor):
    largest = np.random.default_rng(0).normal(size=(200_000, factor**2)).max(axis=1)
    gain, read_noise = plan_cells((9, 9), factor, "max").noise
    assert math.isclose(largest.var(), gain, rel_tol=0.02)
    # Noise that is all of reading: gain · read noise is the standard deviation.
    assert math.isclose(largest.std(), gain * read_noise, rel_tol=0.01)


def test_an_offset_above_the_pedestal_is_refused():
    for lane in ("encode.pedestal=50", "encode=false"):
        with pytest.raises(RecipeError, match=r"quantise.offset is 95, and pixels without light have (50|0) counts: "):
            run([lane, "quantise=true"], np.zeros((1, 1, 1, 4, 4), np.uint16))


def test_minima_become_codes_and_means_stay_counts():
    frames = np.random.default_rng(0).integers(90, 9000, (1, 1, 4, 10, 12), dtype=np.uint16)
    modes = 'projections.modes=["min","mean"]'
    counts, got = run([modes], frames).arrays, run([modes, "quantise=true"], frames)
    products = {product.path: product for product in got.reduction.products}
    assert (got.arrays["projections/xy-min"] == got.arrays["0"].min(axis=2)).all()
    assert (got.arrays["projections/xy-mean"] == counts["projections/xy-mean"]).all()
    assert "quantise" not in products["projections/xy-mean"].attributes
