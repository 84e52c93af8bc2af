"""Maps of dark frames against NumPy; planted pixels found, whatever the number of frames; what is not dark refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from octostream.kernels.dark import FACTOR, FEW, DarkFrames
from octostream.stream.errors import RecipeError, SourceError
from scipy.io import loadmat

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def dark_of(shape=(60, 64, 96), level=100.0, noise=2.0, seed=0):
    """Give dark frames of a camera whose pixels and columns differ in offset, as those of sCMOS cameras do."""
    rng = np.random.default_rng(seed)
    offset = level + rng.normal(0, 1.5, shape[1:]) + rng.normal(0, 1, shape[2])
    return np.rint(offset + rng.normal(0, 1, shape) * noise).clip(0, 65535).astype(np.uint16)


def frames_of(stack):
    frames = DarkFrames(stack.shape[1:])
    for frame in stack:
        frames.add(np.ascontiguousarray(frame))
    return frames


@given(st.integers(2, 80), st.integers(1, 40), st.integers(1, 40), st.floats(0.5, 40), st.integers(0, 99))
def test_maps_are_mean_and_variance(count, height, width, noise, seed):
    stack = dark_of((count, height, width), 1000, noise, seed)
    stack.flags.writeable = False
    frames = frames_of(stack)
    try:
        maps = frames.maps()
    except SourceError:
        assert stack[0].size < 400  # few pixels may look like anything
        reject()
    assert maps.offset.dtype == maps.variance.dtype == np.float32
    np.testing.assert_allclose(maps.offset, stack.mean(axis=0), rtol=1e-6)
    variance = stack.var(axis=0, ddof=1, dtype=np.float64)
    np.testing.assert_allclose(maps.variance, variance, rtol=1e-6)
    assert maps.frames == count
    assert maps.noise == pytest.approx(np.sqrt(max(np.median(variance), 1 / 12)))
    stuck = (variance == 0) & (count >= FEW) & (np.median(variance) >= 0.25)
    listed = np.zeros(stuck.shape, bool)
    listed[tuple(maps.hot.T)] = True
    ratio = variance / (FACTOR * maps.noise) ** 2  # a pixel at the limit itself may go either way
    assert (ratio[listed & ~stuck] > 1 - 1e-9).all()
    assert (ratio[~listed] < 1 + 1e-9).all()
    assert listed[stuck].all()
    assert maps.hot.dtype == np.int32


@pytest.mark.parametrize("noise", [0.05, 0.6, 2.0, 100.0])
@pytest.mark.parametrize("count", [2, 10, 100])
def test_an_even_camera_has_next_to_no_hot_pixels(count, noise):
    maps = frames_of(dark_of((count, 128, 128), 1000, noise)).maps()
    # Two frames tell a noise so badly that some pixels look 4.5 times as noisy as the median.
    assert len(maps.hot) <= (0.01 if count == 2 else 0) * maps.offset.size
    assert maps.stuck == 0
    assert bool(maps.warnings) == (count < FEW)


def test_planted_pixels_are_listed_and_no_others():
    rng = np.random.default_rng(1)
    stack = dark_of()
    noisy, stuck, full = [(0, 0), (5, 7), (63, 95)], (12, 50), (40, 3)
    for y, x in noisy:
        stack[:, y, x] = np.rint(200 + rng.normal(0, 20, len(stack)))
    stack[(slice(None), *stuck)] = 100
    stack[(slice(None), *full)] = 65535
    stack[:, 30, 30] = np.rint(400 + rng.normal(0, 2, len(stack)))  # bright, but as steady as any: its offset is known
    maps = frames_of(stack).maps()
    assert list(map(tuple, maps.hot.tolist())) == sorted([*noisy, stuck, full])
    assert maps.stuck == 2
    assert maps.limit == pytest.approx(FACTOR * maps.noise)
    assert maps.level == pytest.approx(100, abs=0.5)
    assert maps.percent == pytest.approx(100 * 5 / (64 * 96))
    assert not maps.warnings
    assert len(frames_of(stack).maps(1000).hot) == 2
    # Of few frames chance leaves some pixels without a change: those are not called stuck.
    assert frames_of(stack[: FEW - 1]).maps().stuck == 0


def test_the_factor_is_that_of_the_noise():
    rng = np.random.default_rng(2)
    stack = dark_of((400, 64, 64))
    for k, factor in enumerate((3, 4, 5, 6)):
        stack[:, 10, k] = np.rint(100 + rng.normal(0, 2 * factor, len(stack)))
    counts = {factor: len(frames_of(stack).maps(factor).hot) for factor in (2.5, 3.5, 4.5, 5.5, 6.5)}
    assert counts == {2.5: 4, 3.5: 3, 4.5: 2, 5.5: 1, 6.5: 0}


def test_many_listed_pixels_and_a_cut_off_offset_are_warned_of():
    rng = np.random.default_rng(3)
    stack = dark_of((60, 64, 64))
    stack[:, :2] = np.rint(100 + rng.normal(0, 20, (60, 2, 64)))
    (said,) = frames_of(stack).maps().warnings
    assert said.startswith("more than 2 % of the pixels are listed: see that the camera was dark")
    (said,) = frames_of(dark_of(level=1)).maps().warnings
    assert said.startswith("the offset is so near 0 that noise is cut off")
    (said,) = frames_of(dark_of((20, 64, 64))).maps().warnings
    assert said == "20 frames tell the noise of a pixel to 16 % only: take 100 or more"


def test_columns_of_two_levels_are_no_lit_scene():
    stack = dark_of((20, 96, 128)) + 40 * (np.arange(128) % 2).astype(np.uint16)
    assert len(frames_of(stack).maps().hot) == 0


def lit(depth=20):
    y, x = np.mgrid[:96, :96] / 96
    return np.random.default_rng(4).poisson(100 + 60 * x * y, (depth, 96, 96)).astype(np.uint16)


def flickering():
    stack = dark_of((20, 64, 64))
    stack[10:] += 5
    return stack


def saturated(value, share):
    stack = dark_of()
    stack[:, : round(64 * share)] = value
    return stack


@pytest.mark.parametrize(
    ("stack", "words"),
    [
        (dark_of((1, 64, 64)), "one frame has no noise to measure: give a stack of dark frames, 100 or more"),
        (np.full((9, 64, 64), 100, np.uint16), "all frames are the same, so there is no noise to measure"),
        (np.full((9, 64, 64), 65535, np.uint16), "100 % of the pixels are saturated (at 65535 counts in every frame)"),
        (saturated(65535, 0.25), "25 % of the pixels are saturated (at 65535"),
        (saturated(4095, 0.25), "25 % of the pixels are saturated (at 4095"),
        (lit(), "like a lit scene: cover the camera, let it warm up"),
        (flickering(), "the frames' means differ by 5.1 counts, with a noise of"),
    ],
)
def test_what_is_no_dark_stack_is_refused_in_one_line(stack, words):
    with pytest.raises(SourceError) as caught:
        frames_of(stack).maps()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_steady_lit_scene_is_told_from_its_mean_image():
    with pytest.raises(SourceError, match=r"the mean image varies by [0-9.]+ counts, with a noise of [0-9.]+, like"):
        frames_of(lit()).maps()


@pytest.mark.parametrize("factor", [0.5, 1001, float("nan")])
def test_a_factor_outside_its_range_is_refused(factor):
    with pytest.raises(
        RecipeError, match=r"factor is .*: it must be a number of times the median noise from 1 to 1000"
    ):
        frames_of(dark_of()).maps(factor)


def test_more_frames_than_the_sums_hold_are_refused(monkeypatch):
    monkeypatch.setattr("octostream.kernels.dark.PLANES", 3)
    with pytest.raises(SourceError, match="there are more than 3 dark frames: give fewer"):
        frames_of(dark_of((4, 8, 8)))


def recorded(name):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


@pytest.mark.parametrize("count", [10, 60])
def test_the_recorded_camera_has_as_many_hot_pixels_however_many_frames_there_are(count):
    variance = loadmat(recorded("scmos_variance.mat"))["varsub"][:256, :256]
    stack = dark_of((count, 256, 256), 100, np.sqrt(variance))
    maps = frames_of(stack).maps()
    real = 100 * np.mean(variance > FACTOR**2 * np.median(variance))
    assert 1 < real < 3
    assert maps.percent == pytest.approx(real, rel=0.1)
    assert maps.noise == pytest.approx(np.sqrt(np.median(variance)), rel=0.05)


def test_the_recorded_scene_is_refused():
    import tifffile

    stack = tifffile.imread(recorded("lattice_lightsheet_raw.tif"))
    for part in (stack, stack[:10], stack[40:42], stack[:, :128, :128]):
        with pytest.raises(SourceError, match="cover the camera"):
            frames_of(part).maps()
