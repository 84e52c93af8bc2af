"""docs/store.md against a real store: every file, array, column and attribute."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import zarr
from octostream.acquire.recording import open_run
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.kernels.steps import origin, step_names
from octostream.sinks.layout import array_path
from octostream.stream.model import Pixel, Plan

from ..system.conftest import until
from .conftest import ROOT, codes, table, tables

pytestmark = pytest.mark.system

PAGE = ROOT / "docs" / "store.md"
#: A stack of three blocks, so that parts of the xy projection wait for one another; the last frames never come.
PLAN = Plan((1, 1, 30, 16, 20), rate_hz=10, pixel=Pixel(0.3, 0.1, 0.1), channels=("GFP",))


def files(store):
    found = {path.relative_to(store).as_posix() for path in store.rglob("*") if path.is_file()}
    return {path for path in found if not path.endswith((".tmp", ".__lock"))}


@pytest.fixture(scope="module")
def store(desk, tmp_path_factory):
    """A sealed store that uses everything; gives its path and the files that it ever had."""
    offset = tmp_path_factory.mktemp("maps") / "offset.npy"
    np.save(offset, np.full(PLAN.frame_shape, 98, np.float32))
    recipe, maps = Recipe.load("lightsheet", [f"calibrate.offset={offset}", "pyramid.until=5"]).resolve(
        PLAN.frame_shape
    )
    frame = np.arange(16 * 20, dtype=np.uint16).reshape(16, 20) + 200
    asked = {"name": "everything", "recipe": recipe.to_json(), "maps": maps, "keep_raw": True}
    with open_run(desk.ingest, PLAN, **asked) as run:
        for _ in range(15):
            run.send(frame)
        path = Path(run.store)
        until(lambda: any((path / ".octostream/partial/projections-xy").glob("0*.npy")))
        recording = files(path)
    assert run.sealed.status == "incomplete"
    return path, recording | files(path)


def pattern(path):
    columns = "|".join(codes(row[0])[0] for row in table(PAGE, "column of `frames`"))
    path = re.escape(path).replace("COLUMN", f"(?:{columns})").replace("KEY", r"[a-z_]+\.[a-z_]+")
    return re.compile(re.sub(r"\bN\b", r"[0-9]+", path))


def test_every_file_is_documented_and_every_documented_file_exists(store):
    _, found = store
    (rows,) = [rows for rows in tables(PAGE) if rows[0] == ["path", "what it is"]]
    documented = {path: pattern(path) for cell, _ in rows[1:] for path in codes(cell)}
    for file in found:
        assert [path for path, p in documented.items() if p.fullmatch(file)], file
    for path, p in documented.items():
        assert [file for file in found if p.fullmatch(file)], path


def test_arrays_have_the_documented_axes_and_types(store):
    path, _ = store
    (rows,) = [rows for rows in tables(PAGE) if rows[0][:2] == ["path", "axes"]]
    arrays = {codes(place)[0]: (axes.split(", "), dtype) for place, axes, dtype, _ in rows[1:]}
    root = zarr.open_group(path, mode="r")
    real = {"0", "1", *(f"projections/{p}/0" for p in ("xy", "xz", "yz")), "raw/0"}
    assert arrays.keys() == real
    for place, (axes, dtype) in arrays.items():
        array = root[place]
        assert list(array.metadata.dimension_names) == axes, place
        assert array.dtype == dtype, place
    assert sorted(p.name for p in path.iterdir() if p.name.isdigit()) == ["0", "1"]


def test_what_every_step_makes():
    """Beside what the recipe lightsheet makes: every array and every table, and none that nothing makes."""
    plan = Plan((3, 1, 4, 600, 600))
    more = {"drift": ["drift.correct=true"], "projections": ['projections.modes=["max", "min", "mean"]']}
    plain = {p.path for p in plan_reduction(Recipe.load("lightsheet"), plan).products}
    arrays, columns = {}, {}
    for step in (name for name in step_names() if origin(name) == "octostream"):
        asked = [*([] if step == "projections" else [f"{step}=true"]), *more.get(step, [])]
        reduction = plan_reduction(Recipe.load("lightsheet", asked), plan)
        for p in reduction.products:
            if p.path not in plain:
                place = re.sub(r"^(labels/.*/)[0-9]+$", r"\1N", array_path(p))
                arrays[step, place] = [", ".join(p.axes), p.dtype, p.stage]
        columns |= {(step, f"tables/{t.name}"): [c.name for c in t.columns] for t in reduction.tables}
    (rows,) = [rows for rows in tables(PAGE) if rows[0][:2] == ["step", "array"]]
    assert arrays == {(codes(step)[0], p): rest for step, at, *rest in rows[1:] for p in codes(at) if p != "correct"}
    (rows,) = [rows for rows in tables(PAGE) if rows[0][:2] == ["step", "table"]]
    assert columns == {(codes(step)[0], codes(at)[0]): codes(told) for step, at, told in rows[1:]}


def test_columns_of_frames(store):
    path, _ = store
    group = zarr.open_group(path, mode="r")["frames"]
    documented = {codes(column)[0]: dtype for column, dtype, _ in table(PAGE, "column of `frames`")}
    assert documented == {name: str(array.dtype) for name, array in group.arrays()}
    assert group["state"][:].tolist() == [1] * 15 + [2] * 15


def test_attributes(store):
    path, _ = store
    root = zarr.open_group(path, mode="r")
    assert set(root.attrs) == {"ome", "octostream"}
    assert keys("key of `octostream`") == set(root.attrs["octostream"])
    assert set(root["projections/xz"].attrs) == set(root["raw"].attrs) == {"ome"}
    assert set(root["frames"].attrs) == set()


def test_levels_and_values_are_what_the_formula_says(store):
    path, _ = store
    root = zarr.open_group(path, mode="r")
    raw = root["raw/0"][0, 0, 0].astype(float)
    n = (raw - 98).reshape(8, 2, 10, 2).mean(axis=(1, 3))
    np.testing.assert_array_equal(root["0"][0, 0, 0], np.clip(np.rint(n + 100), 0, 65535))
    scales = [d["coordinateTransformations"] for d in root.attrs["ome"]["multiscales"][0]["datasets"]]
    assert [s["translation"][-1] for _, s in scales] == pytest.approx([0.1 * (f - 1) / 2 for f in (2, 4)])


def test_commit_record_and_ledger(store):
    path, _ = store
    content = json.loads((path / ".octostream/commits/00000000.json").read_bytes())
    assert set(content) == {"record", "xxh3_64"}
    assert keys("key of a record") == set(content["record"])
    (columns,) = [text for key, text in table(PAGE, "key of a record") if key == "`frames`"]
    assert codes(columns) == list(content["record"]["frames"])
    ledger = json.loads((path / ".octostream/ledger.json").read_bytes())
    assert keys("key of the ledger") == set(ledger)
    (lost,) = [text for key, text in table(PAGE, "key of the ledger") if key == "`lost`"]
    assert codes(lost)[:3] == ["first", "last", "where"]
    assert set(ledger["lost"][0]) == {"first", "last", "where", "why"}


def test_the_service_does_not_serve_the_dot_folder(store, desk):
    assert desk.get("/data/local/everything.ome.zarr/zarr.json").status_code == 200
    assert desk.get("/data/local/everything.ome.zarr/.octostream/token").status_code == 404


def keys(heading):
    return {key for row in table(PAGE, heading) for key in codes(row[0])}
