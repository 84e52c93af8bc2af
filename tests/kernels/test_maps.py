"""Map files of every form, good and bad."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from octostream.kernels.recipe import Recipe
from octostream.stream.errors import RecipeError
from scipy.io import loadmat, savemat

DATA = Path(__file__).parents[2].parent / "shared" / "data"
SHAPE = (5, 7)
GAIN = np.linspace(0.25, 4, 35).reshape(SHAPE)


def save(path, array, **names):
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".mat":
        savemat(path, names or {"gain": array})
    else:
        tifffile.imwrite(path, array, photometric="minisblack")
    return path


def resolve(key, path, shape=SHAPE):
    return Recipe.load("lightsheet", [f"{key}={path}"]).resolve(shape)[1].get(key)


@pytest.mark.parametrize("name", ["a.tif", "a.TIFF", "a.npy", "a.mat"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint16, np.uint8])
def test_every_form_gives_the_same_map(tmp_path, name, dtype):
    array = np.arange(1, 36).reshape(SHAPE).astype(dtype)
    for key in ("calibrate.offset", "calibrate.gain"):
        got = resolve(key, save(tmp_path / name, array))
        assert got.dtype == np.float32
        assert got.flags.c_contiguous
        assert (got == array).all()


def test_float64_maps_are_rounded_to_float32_once(tmp_path):
    assert (
        resolve("calibrate.gain", save(tmp_path / "a.npy", np.asfortranarray(GAIN))) == GAIN.astype(np.float32)
    ).all()


def test_the_numeric_variable_of_a_mat_file_is_found(tmp_path):
    path = save(tmp_path / "a.mat", None, note="gain of the left camera", date=20240131.0, gain=GAIN, cell={"a": 1})
    assert (resolve("calibrate.gain", path) == GAIN.astype(np.float32)).all()


def test_recorded_scmos_gain_map(tmp_path):
    path = DATA / "scmos_gain.mat"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    # The recorded map is unreliable in its corners: 11 values there are below 0.
    with pytest.raises(RecipeError, match=r"11 values \(first at y 1, x 509\) not above 0: .* list them as hot pixels"):
        resolve("calibrate.gain", path, (512, 512))
    recorded = loadmat(path)["gainsub"]
    repaired = np.where(recorded > 0, recorded, np.median(recorded))
    gain = resolve("calibrate.gain", save(tmp_path / "a.mat", repaired), (512, 512))
    assert abs(gain.mean() - 2.17) < 0.01


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("a.npy", GAIN.T, ["a.npy", "7 x 5", "5 x 7"]),
        ("a.tif", np.ones((3, 5, 7), np.uint16), ["a.tif", "3 x 5 x 7", "5 x 7"]),
        ("a.npy", np.ones(()), ["a.npy", "one number", "5 x 7"]),
        ("a.npy", GAIN.astype(complex), ["a.npy", "complex128", "real numbers"]),
        ("a.npy", np.full(SHAPE, "x"), ["a.npy", "not numbers"]),
        ("a.npy", np.full(SHAPE, None), ["a.npy", "cannot be read"]),
        ("a.npy", np.where(GAIN > 3.9, np.nan, GAIN), ["a.npy", "1 values", "y 4, x 6", "not finite"]),
        ("a.mat", np.where(GAIN > 3.9, np.inf, GAIN), ["a.mat", "not finite"]),
        ("a.npy", np.where(GAIN > 3.9, 1e39, GAIN), ["a.npy", "not finite"]),
        ("a.npy", GAIN - 0.25, ["a.npy", "1 values", "y 0, x 0", "not above 0"]),
        ("a.npy", GAIN * 1e-50, ["a.npy", "35 values", "not above 0"]),
        ("a.mat", {"a": GAIN, "b": GAIN}, ["a.mat", "2 2-D numeric variables (a, b)", "alone"]),
        ("a.mat", {"a": "text"}, ["a.mat", "0 2-D numeric variables"]),
    ],
)
def test_a_map_that_does_not_fit_is_refused(tmp_path, name, array, words):
    path = save(tmp_path / name, None, **array) if isinstance(array, dict) else save(tmp_path / name, array)
    refused("calibrate.gain", path, words)


def refused(key, path, words):
    with pytest.raises(RecipeError) as caught:
        resolve(key, path)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["a.npy", "a.mat", "a.tif"])
@pytest.mark.parametrize(
    "content", [b"", b"not an image", b"\x93NUMPY\x01\x00", b"II*\0\xff\xff\xff\x7f", b"MATLAB 5.0" * 40]
)
def test_a_damaged_file_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    refused("calibrate.gain", tmp_path / name, [name, ""])


def test_a_missing_file_or_unknown_kind_is_refused(tmp_path):
    refused("calibrate.gain", tmp_path / "absent.npy", ["calibrate.gain", "absent.npy", "not there"])
    (tmp_path / "a.png").write_bytes(b"")
    refused("calibrate.gain", tmp_path / "a.png", ["a.png", ".tif, .tiff, .npy or .mat"])
    refused("hot_pixels.pixels", tmp_path / "a.png", ["a.png", ".csv"])
    (tmp_path / "a.csv").write_text("1,2\n")
    refused("calibrate.gain", tmp_path / "a.csv", ["a.csv", ".npy"])
    refused("calibrate.gain", tmp_path, ["not there"])


def test_a_pickle_in_an_npy_file_is_never_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    refused("calibrate.gain", tmp_path / "a.npy", ["a.npy", "cannot be read"])


@pytest.mark.parametrize(
    "text",
    [
        "1,2\n4,6\n",
        "y,x\n4,6\n1,2\n",
        "# hot at 20 C\n\n 1 , 2 # bright\r\n4,6\r\n1,2",
        "X, Y\n2,1\n6,4\n",
        "\ufeff1,2\n4,6",
    ],
)
def test_lists_of_hot_pixels(tmp_path, text):
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    got = resolve("hot_pixels.pixels", tmp_path / "a.csv")
    assert got.dtype == np.int32
    assert got.tolist() == [[1, 2], [4, 6]]


@pytest.mark.parametrize("name", ["a.tif", "a.npy", "a.mat"])
def test_masks_of_hot_pixels(tmp_path, name):
    mask = np.zeros(SHAPE, np.uint8)
    mask[1, 2] = mask[4, 6] = 255
    assert resolve("hot_pixels.pixels", save(tmp_path / name, mask)).tolist() == [[1, 2], [4, 6]]


def test_arrays_of_hot_pixels(tmp_path):
    pixels = np.array([[4, 6], [1, 2], [4, 6]])
    assert resolve("hot_pixels.pixels", save(tmp_path / "a.npy", pixels)).tolist() == [[1, 2], [4, 6]]
    (tmp_path / "empty.csv").write_text("y,x\n")
    assert resolve("hot_pixels.pixels", tmp_path / "empty.csv").shape == (0, 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2\n5,0\n", ["a.csv", "y 5, x 0", "outside the 5 x 7"]),
        ("0,7\n", ["y 0, x 7", "outside"]),
        ("1,2\n1;2\n", ["line 2", "'1;2'", "y,x"]),
        ("1,-2\n", ["line 1", "y,x"]),
        ("1,2,3\n", ["line 1"]),
        ("1.5,2\n", ["line 1"]),
        ("1,2\ny,x\n", ["line 2"]),
        ("99999999999999999999,1\n", ["a.csv"]),
    ],
)
def test_a_list_that_does_not_fit_is_refused(tmp_path, text, words):
    (tmp_path / "a.csv").write_text(text)
    refused("hot_pixels.pixels", tmp_path / "a.csv", words)


def test_binary_lists_and_masks_of_another_size_are_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    refused("hot_pixels.pixels", tmp_path / "a.csv", ["not text"])
    refused("hot_pixels.pixels", save(tmp_path / "a.npy", np.zeros((7, 5))), ["7 x 5", "5 x 7"])
    refused("hot_pixels.pixels", save(tmp_path / "b.npy", np.array([[1, -1]])), ["y 1, x -1", "outside"])


def test_inline_pixels_outside_the_frame_are_refused():
    with pytest.raises(RecipeError, match="y 5, x 0 outside"):
        Recipe.load("lightsheet", ["hot_pixels.pixels=[[5,0]]"]).resolve(SHAPE)
