"""``octostream calibrate``, as an operator and as a program use it: a folder with everything, or none."""

import json
import os
import tomllib

import numpy as np
import pytest
import tifffile
from octostream.api import calibration
from octostream.api.cli import app
from octostream.kernels.recipe import Recipe
from octostream.stream.errors import NameRefusedError, OctostreamError, SourceError, StoreError
from typer.testing import CliRunner

FILES = ["hot_pixels.npy", "offset.npy", "recipe.toml", "variance.npy"]


def dark(shape=(60, 40, 50)):
    rng = np.random.default_rng(0)
    stack = np.rint(100 + rng.normal(0, 1.5, shape[1:]) + rng.normal(0, 2, shape))
    stack[:, 3, 4] = 65535
    stack[:, 30, 8] = np.rint(rng.normal(300, 40, len(stack)))
    return stack.astype(np.uint16)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite(tmp_path / "dark.tif", dark(), photometric="minisblack")
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(app, ["calibrate", *map(str, arguments)])


def everything(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


def test_maps_and_a_recipe_that_takes_them(desk):
    result = call("dark.tif")
    assert result.exit_code == 0
    folder = desk / "dark-calibration"
    stack = dark()
    noise = np.sqrt(np.median(stack.var(axis=0, ddof=1)))
    level = np.delete(stack.mean(axis=0), [3 * 50 + 4, 30 * 50 + 8]).mean()
    assert result.stdout.splitlines() == [
        "frames     60",
        f"offset     {level:.2f} counts, mean",
        f"read noise {noise:.2f} counts, median",
        f"hot pixels 2 (0.10 %): noise above {4.5 * noise:.2f} counts, or stuck (1)",
        f"maps       {folder}",
        f"record     octostream acquire SOURCE --recipe {folder}/recipe.toml",
    ]
    assert sorted(p.name for p in folder.iterdir()) == FILES
    assert everything(desk) == ["dark-calibration", *(f"dark-calibration/{f}" for f in FILES), "dark.tif"]
    assert np.load(folder / "variance.npy").dtype == np.float32
    np.testing.assert_allclose(np.load(folder / "variance.npy"), stack.var(axis=0, ddof=1), rtol=1e-6)
    recipe, maps = Recipe.load(str(folder / "recipe.toml")).resolve((40, 50))
    np.testing.assert_allclose(maps["calibrate.offset"], stack.mean(axis=0), rtol=1e-6)
    assert maps["hot_pixels.pixels"].tolist() == [[3, 4], [30, 8]]
    assert recipe.name == "calibrated"
    assert recipe.steps == Recipe.load("lightsheet").steps


def test_a_camera_without_hot_pixels_has_a_recipe_as_well(desk):
    tifffile.imwrite("even.tif", dark()[:, 4:28], photometric="minisblack")
    assert call("even.tif", "--out", "a/b").exit_code == 0
    _, maps = Recipe.load("a/b/recipe.toml").resolve((24, 50))
    assert maps["hot_pixels.pixels"].shape == (0, 2)


def test_for_programs(desk):
    result = call("dark.tif", "--out", "few", "--factor", "1000", "--json")
    facts = json.loads(result.stdout)
    assert facts["folder"] == str(desk / "few")
    assert (facts["frames"], facts["frames_unread"], facts["hot_pixels"], facts["stuck_pixels"]) == (60, 0, 1, 1)
    assert facts["hot_percent"] == 100 / 2000
    assert facts["noise_limit"] == 1000 * facts["read_noise_median"]
    assert facts["warnings"] == []


def test_warnings_say_what_to_do(desk):
    tifffile.imwrite("few.tif", dark()[:10], photometric="minisblack")
    assert call("few.tif").stdout.splitlines()[-1].startswith("warning    10 frames tell the noise of a pixel to 24 %")


def test_a_frame_that_cannot_be_read_is_left_out(desk):
    tifffile.imwrite("bad.tif", dark(), compression="zlib", metadata=None)
    with tifffile.TiffFile("bad.tif") as file:
        at, count = file.pages[7].dataoffsets[0], file.pages[7].databytecounts[0]
    with open("bad.tif", "r+b") as file:
        file.seek(at)
        file.write(b"\xff" * count)
    facts = json.loads(call("bad.tif", "--json").stdout)
    assert (facts["frames"], facts["frames_unread"]) == (59, 1)
    (said,) = facts["warnings"]
    assert said.startswith("1 frames cannot be read and were left out; the first: ")
    assert "bad.tif" in said
    kept = np.delete(dark(), 7, axis=0)
    np.testing.assert_allclose(np.load("bad-calibration/offset.npy"), kept.mean(axis=0), rtol=1e-6)


def refused(desk, error, words, *arguments):
    before = everything(desk)
    result = call(*arguments)
    assert isinstance(result.exception, error), result.exception
    assert words in str(result.exception)
    assert "\n" not in str(result.exception)
    assert everything(desk) == before


def test_what_cannot_be_used_leaves_nothing_behind(desk):
    tifffile.imwrite("one.tif", dark()[0])
    np.save("no.npy", dark())
    refused(desk, SourceError, "one frame has no noise", "one.tif")
    refused(desk, SourceError, "cover the camera", "simulated:size=64x64,z=20")
    refused(desk, SourceError, "has 2 channels: give the dark frames of one camera", "simulated:size=64x64,z=2,c=2")
    refused(desk, OctostreamError, "nothing.tif", "nothing.tif")
    refused(desk, OctostreamError, "factor is 0.5", "dark.tif", "--factor", "0.5")


def test_nothing_is_overwritten(desk):
    (desk / "empty").mkdir()
    assert call("dark.tif", "--out", "empty").exit_code == 0
    for taken in ("empty", "dark.tif"):
        refused(desk, NameRefusedError, "is there already: choose another folder", "dark.tif", "--out", taken)


def test_a_failed_write_leaves_nothing_behind(desk, monkeypatch):
    def full(path, data, **options):
        assert not (desk / "dark-calibration").exists()
        if path.name == "recipe.toml":
            raise OSError(28, os.strerror(28))
        path.write_bytes(data)

    monkeypatch.setattr(calibration, "write_durably", full)
    refused(desk, StoreError, "no space left on the disk", "dark.tif")


@pytest.mark.parametrize("name", ['a"b\nc\\d.tif', "größe.tif"])
def test_any_name_of_a_file_may_stand_in_the_recipe(name):
    frames = calibration.DarkFrames((40, 50))
    for frame in dark():
        frames.add(frame)
    text = calibration.recipe_text(frames.maps(), name)
    assert set(tomllib.loads(text)) == {"base", "name", "calibrate", "hot_pixels"}
