"""GPU forms of quantisation, translation and foreground: the bits of the reference and of the CPU form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from octostream.kernels import foreground as foreground_module
from octostream.kernels.foreground import Foreground, ForegroundMasker, foreground_reference
from octostream.kernels.gpu_foreground import GpuForegroundMasker
from octostream.kernels.gpu_quantise import GpuQuantiser
from octostream.kernels.gpu_translation import GpuTranslator
from octostream.kernels.quantise import Quantise, plan_quantiser, quantise_reference
from octostream.kernels.translation import translate, translate_reference

from .counts import counts_of, kinds

orders = st.integers(0, 5)
shapes = st.tuples(st.integers(1, 12), st.integers(1, 70))
quantisers = st.builds(
    Quantise,
    offset=st.floats(0, 300),
    gain=st.floats(0.1, 10),
    read_noise=st.floats(0, 10),
    step=st.floats(0.1, 4),
    coarse=st.just(True),
)


@given(shapes, kinds, quantisers, st.integers(0, 99), orders)
@example((33, 64), "any", Quantise(), 0, 1)
@example((33, 65), "any", Quantise(gain=20), 0, 2)
@example((1, 1), "full", Quantise(gain=20), 0, 3)
def test_codes_and_counts_are_equal_bit_for_bit(device, shape, kind, parameters, seed, order):
    counts, quantiser = counts_of(shape, kind, seed), GpuQuantiser(device(order), parameters)
    xp, mine = device().xp, plan_quantiser(parameters)
    codes, back = xp.full(shape, 7, mine.codes.dtype), xp.full(shape, 7, np.uint16)
    quantiser.quantise(xp.asarray(counts), codes)
    quantiser.restore(codes, back)
    there, expected = device().to_host(codes), np.zeros(shape, mine.codes.dtype)
    mine.quantise(counts, expected)
    assert there.tobytes() == expected.tobytes()
    assert (there == quantise_reference(counts, parameters)).all()
    restored = np.zeros(shape, np.uint16)
    mine.restore(expected, restored)
    assert device().to_host(back).tobytes() == restored.tobytes()


def test_codes_may_begin_anywhere_in_memory(device):
    counts, quantiser = counts_of((5000,), "any"), GpuQuantiser(device(), Quantise(gain=20))
    codes = device().xp.zeros(5000, np.uint8)
    quantiser.quantise(device().xp.asarray(counts)[3:], codes[3:])
    assert (device().to_host(codes)[3:] == quantiser_codes(counts[3:])).all()
    assert not device().to_host(codes)[:3].any()


def quantiser_codes(counts):
    return quantise_reference(counts, Quantise(gain=20)).astype(np.uint8)


def test_arrays_that_do_not_fit_are_not_quantised(device):
    xp, quantiser = device().xp, GpuQuantiser(device(), Quantise())
    counts = xp.zeros((4, 6), np.uint16)
    for taken, out in ((counts, counts[:2]), (counts.astype(np.int16), counts), (counts, counts.astype(np.uint8))):
        with pytest.raises(ValueError, match="of one shape"):
            quantiser.quantise(taken, out)
    with pytest.raises(ValueError, match="not C-contiguous"):
        quantiser.restore(counts[:, ::2], xp.zeros((4, 3), np.uint16))
    quantiser.quantise(counts[:0], counts[:0])


moves = st.floats(-90, 90) | st.integers(-3, 3).map(float) | st.sampled_from([-0.5, 1 / 512, 1e12, -1e12])


@given(shapes, kinds, moves, moves, st.sampled_from([0, 100, 65535]), st.integers(0, 99), orders)
@example((12, 70), "full", 0.5, -0.5, 0, 0, 0)
@example((12, 70), "any", 0.0, 0.25, 0, 0, 1)
@example((12, 70), "any", 0.25, 0.0, 0, 0, 1)
def test_moved_images_are_equal_bit_for_bit(device, shape, kind, dy, dx, fill, seed, order):
    image, xp = counts_of(shape, kind, seed), device().xp
    out, mine = xp.full(shape, 7, np.uint16), np.zeros(shape, np.uint16)
    GpuTranslator(device(order)).translate(xp.asarray(image), dy, dx, fill, out)
    translate(image, dy, dx, fill, mine)
    got = device().to_host(out)
    assert got.tobytes() == mine.tobytes()
    assert (got == translate_reference(image, dy, dx, fill)).all()


def test_images_that_do_not_fit_are_not_moved(device):
    image = device().xp.zeros((4, 6), np.uint16)
    for wrong in (image[:, ::2], image[0]):
        with pytest.raises(ValueError, match="not C-contiguous uint16"):
            GpuTranslator(device()).translate(wrong, 0, 0, 0, image)
    with pytest.raises(ValueError, match=r"not C-contiguous uint16 \(4, 6\)"):
        GpuTranslator(device()).translate(image, 0, 0, 0, image[:2])


stacks = st.tuples(st.integers(1, 5), st.integers(1, 20), st.integers(1, 70))
foregrounds = st.builds(
    Foreground,
    threshold=st.floats(0, 1),
    percentile=st.floats(0, 100),
    sigma=st.floats(0.5, 16),
    size=st.integers(0, 4).map(lambda radius: 2 * radius + 1),
    z_step=st.floats(0.5, 20),
)


def assert_same(got, expected):
    assert got.level == expected.level
    assert got.foreground == expected.foreground
    assert got.mask.dtype == np.uint8
    assert got.background.dtype == bool
    assert (got.mask == expected.mask).all()
    assert (got.background == expected.background).all()


@given(
    stacks, kinds, st.integers(0, 99), foregrounds, st.tuples(*[st.integers(1, 9)] * 3), st.sampled_from([1, 9, 65536]),
    orders,
)  # fmt: skip
@settings(max_examples=40)
@example((1, 1, 1), "any", 0, Foreground(), (1, 1, 1), 65536, 0)
@example((2, 9, 40), "ends", 0, Foreground(size=65, sigma=16), (3, 7, 11), 9, 1)
@example((3, 20, 70), "full", 0, Foreground(size=1), (3, 7, 11), 1, 2)
@example((5, 9, 300), "any", 0, Foreground(), (2, 8, 64), 1, 3)
@example((3, 1, 40), "any", 0, Foreground(size=3, sigma=8, z_step=0.05), (3, 7, 11), 1, 3)
def test_masks_are_equal_bit_for_bit(device, shape, kind, seed, parameters, chunk, enough, order):
    stack, xp = counts_of(shape, kind, seed), device().xp
    with pytest.MonkeyPatch.context() as patch:
        # A level from few pixels of a small stack stands for one from few pixels of a large stack.
        patch.setattr(foreground_module, "_ENOUGH", enough)
        masker = GpuForegroundMasker(device(order), (shape[0] + 1, *shape[1:]), parameters, chunk)
        larger = counts_of((shape[0] + 1, *shape[1:]), "any", 7)
        masker.mask(xp.asarray(larger), xp.zeros(larger.shape, np.uint8))
        got = masker.mask(xp.asarray(stack), xp.full(shape, 7, np.uint8))
        got = got._replace(mask=device().to_host(got.mask))
        assert_same(got, foreground_reference(stack, parameters, chunk))
        assert_same(got, ForegroundMasker(shape, parameters, chunk).mask(stack, np.full(shape, 7, np.uint8)))


def test_stacks_that_do_not_fit_are_not_masked(device):
    xp, masker = device().xp, GpuForegroundMasker(device(), (2, 4, 6), Foreground(), (1, 2, 3))
    stack, out = xp.zeros((2, 4, 6), np.uint16), xp.zeros((2, 4, 6), np.uint8)
    for wrong in (stack.astype(np.int16), stack[:0], stack[:, :, ::2]):
        with pytest.raises(ValueError, match="not C-contiguous uint16"):
            masker.mask(wrong, out)
    for wrong in (stack, out[:1]):
        with pytest.raises(ValueError, match=r"not C-contiguous uint8 \(2, 4, 6\)"):
            masker.mask(stack, wrong)
    with pytest.raises(ValueError, match="3 planes, more than the 2 planned"):
        masker.mask(xp.zeros((3, 4, 6), np.uint16), out)
