"""``octostream reduce`` beside the service: the same bytes, also after a kill; bad input in one line."""

import json
import signal

import numpy as np
import pytest
import tifffile
import zarr
from octostream.sinks.frames_table import read_frames_table

from .conftest import Command, acquire, until

pytestmark = pytest.mark.system
TIMES = {"timestamp_ns", "committed_ns"}
#: What the provenance says of the run and its processes, not of the data.
OF_THE_RUN = {"run", "devices"}
#: Of the recording that is cut off in the middle: enough that no machine is done before it is cut off.
BLOCKS = 80


def frames_of(shape, seed=0):
    frames = np.random.default_rng(seed).integers(0, 4096, shape, dtype=np.uint16)
    frames[..., 0, 0] = 65535
    return frames


def tiff(folder):
    path = folder / "movie.tif"
    tifffile.imwrite(path, frames_of((4, 2, 5, 33, 47)).reshape(-1, 33, 47), photometric="minisblack", metadata=None)
    return path, ["--axes", "t=4,c=2,z=5"]


def long_stack(folder):
    """A stack that is split into blocks, so that its projections are merged."""
    zarr.save_array(str(folder / "stack.zarr"), frames_of((1500, 9, 11)))
    return folder / "stack.zarr", ["--set", "bin.factor=1"]


def files(folder):
    for k, frame in enumerate(frames_of((6, 40, 30))):
        tifffile.imwrite(folder / f"{k}.tif", frame)
    offset = np.random.default_rng(1).normal(100, 5, (40, 30)).astype(np.float32)
    np.save(folder / "offset.npy", offset)
    settings = [f"calibrate.offset={folder / 'offset.npy'}", "hot_pixels.pixels=[[0,0],[7,9]]", "bin.factor=4"]
    return folder, ["--keep-raw", *(word for one in settings for word in ("--set", one))]


def damaged(folder):
    path = folder / "damaged.tif"
    tifffile.imwrite(path, frames_of((12, 64, 64)), compression="zlib", metadata=None)
    with tifffile.TiffFile(path) as file:
        at, count = file.pages[7].dataoffsets[0], file.pages[7].databytecounts[0]
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(b"\xff" * count)
    return path, []


def followed(folder):
    """A movie in two channels whose recipe has steps that need the frames before, and tables."""
    tifffile.imwrite(
        folder / "movie.tif", frames_of((40, 2, 3, 20, 24)).reshape(-1, 20, 24), photometric="minisblack", metadata=None
    )
    steps = (
        "drift",
        "baseline",
        "events",
        "moments",
        "time_projections",
        "histogram",
        "focus",
        "hot_test",
        "saturation",
    )
    settings = ["pyramid.until=4", *(f"{step}=true" for step in steps), "baseline.window=7", "baseline.every=2"]
    return folder / "movie.tif", ["--axes", "t=40,c=2,z=3", *(word for one in settings for word in ("--set", one))]


def products(store):
    """Give every file that readers see, by path, but for times and what names the run."""
    found = {f.relative_to(store): f.read_bytes() for f in store.rglob("*") if f.is_file()}
    root = json.loads((store / "zarr.json").read_bytes())
    kept = {path.as_posix(): data for path, data in found.items() if not path.parts[0].startswith(".")}
    kept = {path: data for path, data in kept.items() if not TIMES & set(path.split("/"))}
    kept["zarr.json"] = json.dumps(root["attributes"]["ome"]).encode()
    made = json.loads(kept["provenance.json"])
    kept["provenance.json"] = json.dumps({key: made[key] for key in made.keys() - OF_THE_RUN}, sort_keys=True).encode()
    return kept


@pytest.mark.parametrize("make", [tiff, long_stack, files, damaged, followed])
def test_offline_and_live_give_the_same_bytes(shared_service, command, tmp_path, make):
    (tmp_path / "input").mkdir()
    source, options = make(tmp_path / "input")
    name = f"live-{make.__name__}"
    code, agent = acquire(shared_service, source, "--name", name, *options)
    live = shared_service.data / "local" / f"{name}.ome.zarr"
    store = tmp_path / f"{name}.ome.zarr"
    made = command("reduce", source, "--out", store, "--json", "--workers", 3, *options)
    assert made.wait(90) == code, made.err
    told, sent = made.json(), agent.json()
    for key in ("status", "frames_expected", "frames_stored", "frames_lost", "lost"):
        assert told[key] == sent[key]
    assert told["frames_stored"] > 0
    assert len([path for path in products(live) if "/c/" in path]) >= 10
    assert products(store) == products(live)
    a, b = read_frames_table(store), read_frames_table(live)
    for column in a.keys() - TIMES:
        np.testing.assert_array_equal(a[column], b[column])
    check = command("verify", store)
    assert check.wait(60) == code


@pytest.fixture(scope="module")
def many_blocks(tmp_path_factory):
    """Give stacks of a block each, so that the work lasts many commits, and what is made of them at one go."""
    folder = tmp_path_factory.mktemp("many")
    zarr.save_array(str(folder / "many.zarr"), frames_of((BLOCKS, 1, 600, 8, 8)))
    assert reduced(folder / "many.zarr", folder / "a.ome.zarr")["blocks_found"] == 0
    return folder / "many.zarr", products(folder / "a.ome.zarr")


def reduced(source, store):
    """Reduce to the end; gives what the command says."""
    made = Command("reduce", source, "--workers", 2, "--json", "--out", store)
    try:
        assert made.wait(90) == 0, made.err
    finally:
        made.end()
    assert made.json()["status"] == "complete"
    return made.json()


def commits(store):
    return sorted((store / ".octostream" / "commits").glob("*.json"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_cut_off_in_the_middle_the_same_command_goes_on(many_blocks, tmp_path, number):
    (source, whole), store = many_blocks, tmp_path / "a.ome.zarr"
    made = Command("reduce", source, "--workers", 2, "--json", "--out", store)
    try:
        until(lambda: len(commits(store)) >= 2 or made.process.poll() is not None, 60, 0.001)
        made.signal(number)
        code = made.wait(60)
    finally:
        made.end()
    there = len(commits(store))
    assert 2 <= there < BLOCKS
    if number == signal.SIGKILL:
        assert code == -number
    else:
        assert code == 1
        (said,) = [line for line in made.err if line.startswith("octostream: ")]
        assert said == "octostream: stopped by the operator: the same command goes on with what is left"
    assert json.loads((store / "zarr.json").read_text())["attributes"]["octostream"]["status"] == "recording"
    assert reduced(source, store)["blocks_found"] == there
    assert products(store) == whole
    check = Command("verify", store)
    try:
        assert check.wait(60) == 0
    finally:
        check.end()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.tif", "--out", "a.ome.zarr"], ["nothing.tif"]),
        (["good.tif", "--out", "a.zarr"], ["a.zarr", ".ome.zarr"]),
        (["good.tif", "--out", "good.tif"], ["good.tif", ".ome.zarr"]),
        (["good.tif", "--out", "a.ome.zarr", "--recipe", "nonsense"], ["nonsense", "lightsheet"]),
        (["good.tif", "--out", "a.ome.zarr", "--set", "blur.sigma=2"], ["blur"]),
        (["good.tif", "--out", "a.ome.zarr", "--axes", "t=3"], ["axes"]),
        (["good.tif", "--out", "good.tif/a.ome.zarr"], ["good.tif"]),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(call, tmp_path, monkeypatch, arguments, words):
    tifffile.imwrite(tmp_path / "good.tif", frames_of((4, 20, 30)), photometric="minisblack")
    monkeypatch.chdir(tmp_path)
    code, lines = call("reduce", *arguments)
    assert code in (1, 2)
    (said,) = [line for line in lines if line.strip()]
    assert said.startswith("octostream: ")
    for word in words:
        assert word in said
    assert [p.name for p in tmp_path.iterdir()] == ["good.tif"]
