"""A camera calibrated, and a run recorded with the recipe that came of it: the real processes."""

import numpy as np
import pytest
import tifffile
import zarr

from .conftest import acquire

pytestmark = pytest.mark.system


def frames_of(path, count, light=0.0):
    rng = np.random.default_rng(0)
    stack = np.rint(200 + 20 * (np.arange(48) % 2) + light + rng.normal(0, 2, (count, 32, 48)))
    stack[:, 5, 6] = 65535
    tifffile.imwrite(path, stack.astype(np.uint16), photometric="minisblack")
    return path


def test_a_run_takes_the_recipe(shared_service, command, tmp_path):
    dark = frames_of(tmp_path / "dark.tif", 100)
    calibrate = command("calibrate", dark, "--out", tmp_path / "camera", "--json")
    assert calibrate.wait(90) == 0, calibrate.err
    facts = calibrate.json()
    assert (facts["hot_pixels"], calibrate.err) == (1, [])
    source = frames_of(tmp_path / "light.tif", 10, light=50)
    recipe = tmp_path / "camera" / "recipe.toml"
    code, agent = acquire(shared_service, source, "--recipe", recipe, "--set", "bin.factor=1")
    assert code == 0, agent.err
    level0 = zarr.open_group(agent.json()["store"], mode="r")["0"]
    # Columns no longer differ by 20 counts; the light is 50, the pedestal 100; the pixel at full scale is healed.
    assert np.abs(level0[0, 0].mean(axis=0) - 150).max() < 5


def test_bad_input_is_one_line(command, tmp_path):
    lit = tmp_path / "lit.tif"
    rng = np.random.default_rng(1)
    tifffile.imwrite(lit, rng.poisson(np.linspace(100, 900, 64 * 64).reshape(64, 64), (9, 64, 64)).astype(np.uint16))
    made = command("calibrate", lit, "--out", tmp_path / "camera")
    assert made.wait(60) == 1
    (said,) = [line for line in made.err if line.strip()]
    assert said.startswith("octostream: ")
    assert "cover the camera" in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lit.tif"]
