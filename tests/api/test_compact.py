"""The recipe `lightsheet-compact` on a recorded stack, to the disk and back: what is kept, how exactly, in how much."""

import json
import math
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from octostream.api.cli import app
from octostream.api.offline import reduce_offline
from octostream.api.offline_input import open_input
from octostream.api.offline_store import open_store
from octostream.kernels.foreground_step import CELL
from octostream.kernels.quantise import Quantise, restore_reference
from octostream.kernels.recipe import Recipe
from octostream.kernels.recipe_file import BUILT_IN
from octostream.kernels.reduction import plan_reduction
from octostream.sinks.verify import verify
from typer.testing import CliRunner

DATA = Path(__file__).parents[2].parent / "shared" / "data"
STACK = DATA / "lattice_lightsheet_raw.tif"


def reduced(recipe, out):
    """Reduce the recorded stack; give the reduction and what the store shows."""
    frames = open_input(str(STACK))
    reduction = plan_reduction(Recipe.load(recipe, ["calibrate.offset=98", "pyramid.until=20"]), frames.plan)
    with closing(frames), open_store(out, frames, reduction, {}, keep_raw=False) as store:
        assert reduce_offline(frames, reduction, store, 1, lambda done, total: None).status == "complete"
    assert verify(out).problems == ()
    return reduction, zarr.open_group(out, mode="r")


def size(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_a_recorded_stack_takes_less_and_comes_back_within_its_noise(tmp_path):
    if not STACK.exists():
        pytest.skip(f"{STACK} is not there")
    _, whole = reduced("lightsheet", tmp_path / "whole.ome.zarr")
    reduction, compact = reduced("lightsheet-compact", tmp_path / "compact.ome.zarr")
    product = reduction.products[0]
    p = Quantise.from_json(product.attributes["quantise"])
    labels, codes, counts = compact["labels/foreground/0"][0, 0], compact["0"][0, 0], whole["0"][0, 0].astype(float)
    specimen = np.zeros(labels.shape, bool)
    for y in range(0, labels.shape[1], CELL):
        for x in range(0, labels.shape[2], CELL):
            cell = np.s_[:, y : y + CELL, x : x + CELL]
            specimen[cell] = labels[cell].any(axis=(1, 2), keepdims=True)
    assert 0.9 < specimen.mean() < 1
    assert not codes[~specimen].any()
    light = np.maximum(counts - p.offset, 0)
    sigma = p.gain * np.sqrt(light / p.gain + p.read_noise**2)
    off = abs(restore_reference(codes, p) - p.offset - light)
    assert (off <= sigma / 2 + p.gain / 16 + 1e-9)[specimen].all()
    assert (compact["projections/xy/0"][0, 0] >= codes.max(axis=0)).all()
    for k in range(1, 4):
        assert not compact[f"{k}"][0, 0, :, : CELL >> k, : CELL >> k][~specimen[:, 0, 0]].any()
    assert size(tmp_path / "compact.ome.zarr" / "0") < 0.8 * size(tmp_path / "whole.ome.zarr" / "0")
    assert size(tmp_path / "compact.ome.zarr") < 0.9 * size(tmp_path / "whole.ome.zarr")


def chunks(store, path, at):
    """Tell of every chunk of a shard whether it is there, by the index at the shard's end."""
    described = json.loads((store / path / "zarr.json").read_bytes())
    whole = described["chunk_grid"]["configuration"]["chunk_shape"]
    part = described["codecs"][0]["configuration"]["chunk_shape"]
    size = math.prod(a // b for a, b in zip(whole, part, strict=True))
    entries = np.frombuffer((store / path / "c" / at).read_bytes()[-16 * size - 4 : -4], "<u8").reshape(size, 2)
    return [bool(entry.any() and (entry != 2**64 - 1).any()) for entry in entries]


@pytest.mark.parametrize("least", [200, 2000])
def test_planes_without_specimen_are_in_no_shard(tmp_path, least):
    rng = np.random.default_rng(5)
    frames = rng.normal(110, 3, (2, 5, 2048, 1024))
    frames[0, 0, 900:1100, 400:600] += 400
    tifffile.imwrite(tmp_path / "in.tif", frames.astype(np.uint16), metadata={"axes": "TZYX"}, imagej=True)
    source, out = open_input(str(tmp_path / "in.tif")), tmp_path / "out.ome.zarr"
    changed = ["keep=true", "keep.metric=max", f"keep.threshold={least}", "foreground.threshold=1"]
    reduction = plan_reduction(Recipe.load("lightsheet-compact", changed), source.plan)
    with closing(source), open_store(out, source, reduction, {}, keep_raw=True) as store:
        assert reduce_offline(source, reduction, store, 1, lambda done, total: None).status == "complete"
    report, told = verify(out), CliRunner().invoke(app, ["verify", str(out)])
    assert report.problems == ()
    assert told.exit_code == 0
    assert f"10 of 10 frames stored, 0 lost; only projections of frames {5 if least < 500 else 0}-9\n" in told.stdout
    seen, kept = zarr.open_group(out, mode="r"), least < 500
    for path in ("0", "labels/foreground/0"):  # a chunk is a plane
        there = chunks(out, path, "0/0/0/0/0")
        assert there == seen[path][...].reshape(10, -1).any(axis=1).tolist()
        assert there in ([kept] * n + [False] * (10 - n) for n in range(1, 5))
    assert seen["projections/xy/0"][1].any()


def test_the_recipe_is_there_without_a_file():
    assert "lightsheet-compact" in BUILT_IN
    steps = Recipe.load("lightsheet-compact").steps
    assert steps == (*Recipe.load("lightsheet").steps, "foreground", "quantise")
