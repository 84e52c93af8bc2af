"""``octostream recipes``, as a microscopist and as a program use it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import octostream
import pytest
from octostream.api.cli import app
from octostream.kernels import speed
from octostream.kernels.contract import StepContract
from octostream.kernels.lane_steps import LANE
from octostream.kernels.recipe import Recipe
from octostream.kernels.recipe_file import BUILT_IN
from octostream.kernels.recipe_schema import recipe_schema
from octostream.kernels.steps import find_step, step_names
from octostream.stream.errors import UsageError
from typer.testing import CliRunner


def call(*arguments):
    return CliRunner().invoke(app, ["recipes", *map(str, arguments)])


def said(*arguments):
    result = call(*arguments)
    assert result.exit_code == 0, result.exception
    return result.stdout


@pytest.fixture
def quick(monkeypatch):
    for name in ("measure_speed", "measure_following"):
        measure = getattr(speed, name)
        monkeypatch.setattr(speed, name, lambda reduction, _, measure=measure: measure(reduction, 0.01))


def test_list_names_every_recipe_and_step():
    lines = [line.split() for line in said("list").splitlines()]
    assert [line[1] for line in lines if line[0] == "recipe"] == list(BUILT_IN)
    steps = [line for line in lines if line[0] != "recipe"]
    assert [(line[0], line[1]) for line in steps] == [(find_step(name).kind, name) for name in step_names()]
    told = json.loads(said("list", "--json"))
    assert [recipe["name"] for recipe in told["recipes"]] == list(BUILT_IN)
    assert [step["name"] for step in told["steps"]] == list(step_names())
    assert {step["origin"] for step in told["steps"]} == {"octostream"}
    assert told["cannot_be_used"] == []


@pytest.mark.parametrize("name", BUILT_IN)
def test_show_gives_a_recipe_that_can_be_read_again(tmp_path, name):
    (tmp_path / "shown.toml").write_text(said("show", name, "--set", "bin.factor=1"))
    assert Recipe.load(str(tmp_path / "shown.toml")) == Recipe.load(name, ["bin.factor=1"])
    assert json.loads(said("show", name, "--json")) == Recipe.load(name).to_json()


def test_show_gives_a_step():
    assert tomllib.loads(said("show", "bin")) == {"bin": {"factor": 2, "mode": "mean"}}
    assert json.loads(said("show", "bin", "--json")) == recipe_schema()["properties"]["bin"]


@pytest.mark.parametrize("name", BUILT_IN)
def test_check_says_what_a_recipe_makes(quick, name):
    # Levels small enough that one has the pixels that steps look at which follow a run.
    run = ["--size", "64x48", "--frames", "11", "--z", "5", "--rate", "100", "--set", "pyramid.until=16"]
    facts = json.loads(said("check", name, *run, "--json"))
    assert facts["recipe"] == name
    assert facts["plan"]["shape"] == [3, 1, 5, 64, 48]
    steps = Recipe.load(name).steps
    assert facts["one_pass"] == [step.name for step in LANE if step.name in steps]
    assert facts["pass_bytes"]["read"] > facts["pass_bytes"]["written"] > 0
    assert facts["one_pass"] + facts["beside"] + facts["follows"] == list(steps)
    level0 = facts["products"][0]
    assert (level0["path"], level0["shape"], level0["dtype"]) == ("0", [3, 1, 5, 32, 24], "uint16")
    assert level0["bytes"] == 2 * 15 * 32 * 24
    assert facts["measured"]["rate_hz"] == pytest.approx(1000 / facts["measured"]["frame_ms"])
    assert facts["measured"]["frames"] >= 1


def test_check_says_it_to_people_and_what_is_measured(quick):
    text = said("check", "lightsheet", "--size", "64x48", "--rate", "20", "--set", "statistics=false", "--keep-raw")
    lines = dict(line.split(maxsplit=1) for line in text.splitlines() if not line.startswith(("product", "one", "a ")))
    assert lines["frames"] == "1000 of 64x48, 6.14 kB each; t 100, c 1, z 10"
    assert lines["blocks"] == "50, of 20 frames at most"
    assert lines["speed"].endswith("blocks)")
    assert "on one core, without writing (measured here now" in lines["speed"]
    assert "one pass   calibrate, hot_pixels, bin, encode, pyramid, projections\n" in text
    assert "product    projections/xy  tcyx 100x1x32x24  uint16  154 kB\n" in text
    assert "product    raw/0           tczyx 100x1x10x64x48  uint16  6.14 MB\n" in text
    assert "before compression (computed)" in text
    assert re.search(r"^memory     .* read, .* written a frame by the pass \(computed\)$", text, re.MULTILINE)
    assert "of a core, without reading and writing (computed from that)" in text
    assert "following" not in text


def test_reducing_and_following_are_told_apart_and_added_for_a_rate(monkeypatch):
    seconds = {}

    def fixed(name, value):
        return lambda reduction, told: seconds.update({name: told}) or value

    monkeypatch.setattr(speed, "measure_speed", fixed("reducing", speed.Speed(25.0, 3, 30)))
    monkeypatch.setattr(speed, "measure_following", fixed("following", speed.Speed(5.0, 7, 70)))
    text = said(
        "check", "lightsheet", "--size", "64x64", "--rate", "100", "--set", "moments=true", "--set", "moments.bin=2"
    )
    assert "follows    moments\n" in text
    assert (
        "speed      40 frames/s, 25.00 ms a frame on one core, without writing (measured here now, median of 3 b"
        in text
    )
    assert "following  200 frames/s, 5.00 ms a frame on one core (measured here now, median of 7 time points)" in text
    assert "at 100 Hz  300% of a core, without reading and writing (computed from that)" in text
    assert sum(seconds.values()) == pytest.approx(2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("check", "lightsheet", "--set", "bin.factor=3"), ["bin.factor", "1, 2"]),
        (("check", "lightsheet", "--size", "big"), ["--size", "2048x2048"]),
        (("check", "lightsheet", "--set", "calibrate.gain=absent.npy"), ["calibrate.gain", "absent.npy"]),
        (("check", "nothing"), ["no recipe 'nothing'"]),
        (("show", "nothing"), ["no recipe or step 'nothing'", "octostream recipes list"]),
        (("show", "absent.toml"), ["absent.toml", "cannot be read"]),
        (("new", "mine"), [".toml"]),
        (("new", "absent-folder/mine.toml"), ["cannot be written", "No such file"]),
        (("new", "mine.toml", "--base", "nothing"), ["no recipe 'nothing'"]),
        (("new", "mine.toml", "--reduction", "mine"), ["mine.toml is no Python module"]),
        (("new", "my-mine.py", "--reduction", "mine"), ["my-mine.py is no Python module"]),
        (("new", "mine.py", "--reduction", "bin"), ["there is a step 'bin'"]),
        (("new", "mine.py", "--reduction", "my-step"), ["cannot be called 'my-step'"]),
        (("new", "mine.py", "--reduction", "version"), ["cannot be called 'version'"]),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    error = call(*arguments).exception
    assert isinstance(error, UsageError)
    assert all(word in str(error) for word in words), str(error)
    assert "\n" not in str(error)
    assert list(tmp_path.iterdir()) == []


def test_new_writes_a_recipe_that_does_what_its_base_does_and_overwrites_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scopes").mkdir()
    assert "recipes check scopes/mine.toml" in said("new", "scopes/mine.toml")
    mine = Recipe.load("scopes/mine.toml")
    assert (mine.name, mine.values) == ("mine", Recipe.load("lightsheet").values)
    error = call("new", "scopes/mine.toml").exception
    assert isinstance(error, UsageError)
    assert "exists" in str(error)
    text = (tmp_path / "scopes" / "mine.toml").read_text()
    (tmp_path / "scopes" / "mine.toml").write_text(text.replace("#factor = 2", "factor = 4"))
    assert "check other.toml" in said("new", "other.toml", "--base", "scopes/mine.toml")
    assert Recipe.load("other.toml").values["bin.factor"] == 4
    (tmp_path / "scopes" / "third.toml").touch()
    np.testing.assert_equal(call("new", "scopes/third.toml").exit_code, 1)
    assert (tmp_path / "scopes" / "third.toml").read_text() == ""


def test_a_new_reduction_keeps_its_promises_and_overwrites_nothing(tmp_path):
    text = said("new", tmp_path / "bright.py", "--reduction", "brightness")
    assert '[project.entry-points."octostream.reductions"]\nbrightness = "bright:STEP"\n' in text
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_bright.py"]
    promises = len([name for name in dir(StepContract) if name.startswith("test_")])
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=110)
    assert f"{promises} passed" in done.stdout, done.stdout + done.stderr
    before = {file: file.read_bytes() for file in tmp_path.glob("*.py")}
    assert len(before) == 2
    (tmp_path / "bright.py").unlink()
    assert isinstance(call("new", tmp_path / "bright.py", "--reduction", "other").exception, UsageError)
    assert {file.name for file in tmp_path.glob("*.py")} == {"test_bright.py"}
    assert "brightness" in (tmp_path / "test_bright.py").read_text()


def test_a_package_that_is_installed_offers_its_reductions(tmp_path):
    """A real package folder with its metadata, in a process of its own."""
    said("new", tmp_path / "bright.py", "--reduction", "brightness")
    metadata = tmp_path / "bright_pack-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bright-pack\nVersion: 1.2\n")
    offers = "brightness = bright:STEP\nbroken = bright:ABSENT\n"
    (metadata / "entry_points.txt").write_text(f"[octostream.reductions]\n{offers}")
    text = in_process(tmp_path, "-m", "octostream", "recipes", "list")
    assert "map     brightness" in text
    assert "; from bright-pack 1.2 (bright:STEP)\n" in text
    assert "not usable: broken of bright-pack 1.2 (bright:ABSENT): step 'broken' " in text
    assert {line.split()[1] for line in text.splitlines()} >= {*step_names(), "brightness"}
    (tmp_path / "mine.toml").write_text('base = "lightsheet"\n[brightness]\nshare = 50\n')
    arguments = ("check", "mine.toml", "--size", "32x32", "--frames", "4", "--z", "2", "--json")
    facts = json.loads(in_process(tmp_path, "-m", "octostream", "recipes", *arguments))
    assert facts["beside"] == ["brightness"]
    assert facts["tables"] == [{"name": "brightness", "columns": ["frame", "mean", "least"]}]
    shown = in_process(tmp_path, "-m", "octostream", "recipes", "show", "brightness")
    assert "# from bright-pack 1.2 (bright:STEP)\n[brightness]\n" in shown
    assert in_process(tmp_path, "-c", OFFLINE).split() == ["5", "23.5", "16"]


#: A block of one frame, its counts 0 to 31: the brighter half is 16 to 31.
OFFLINE = """
import numpy as np
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.stream.model import Plan
plan = Plan((9, 1, 1, 4, 8), rate_hz=1.0)
reducer = plan_reduction(Recipe.load("mine.toml"), plan).reducer()
reducer.begin(plan.blocks[5])
reducer.add(5, np.arange(32, dtype=np.uint16).reshape(4, 8))
reducer.finish()
(rows,) = reducer.tables().values()
print(*(values.item() for values in rows.values()))
"""


def in_process(folder, *arguments):
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    return done.stdout


def environment(*folders):
    """Let a process find octostream where this one found it, and modules in some folders."""
    paths = [*map(str, folders), str(Path(octostream.__file__).parents[1])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def test_schema_is_printed():
    assert json.loads(said("schema")) == recipe_schema()
