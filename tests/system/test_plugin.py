"""Reductions of another package, through the real service and into a store that verifies."""

import os

import numpy as np
import pytest
import zarr

from .conftest import Command

pytestmark = pytest.mark.system

MODULE = """
import numpy as np
from octostream.kernels.plugin import frame_step, image_step, stack_step, table_step
from octostream.stream.tables import Column


def spots(stack):
    z, y, x = np.nonzero(stack > np.quantile(stack, 0.99))
    return {"z": z, "y": y.astype(np.float32), "x": x.astype(np.float32)}


def fails(frame):
    if frame[0, 0] % 2:
        raise RuntimeError("odd")
    return frame[0, 0]


def doubled(size):
    return 2 * size[0], size[1] + 7, size[2]


def double(stack):
    return np.pad(np.repeat(stack, 2, axis=0), ((0, 0), (0, 7), (0, 0)))


PLACE = [Column("z", "int32", "plane", "from 0"), *(Column(a, "float32", "pixel", "of level 0") for a in "yx")]
DOUBLE = stack_step("double", "twice the planes, and more of y", double, "uint16", shape=doubled)
LIGHT = image_step("light", "where light is", lambda level0: level0 > 150, "uint8", label=True)
SPOTS = table_step("spots", "bright pixels", spots, PLACE)
CORNER = frame_step("corner", "first pixel, if it is even", fails, [Column("count", "float64", "count", "its count")])
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with its metadata, where every process that is started finds it."""
    folder = tmp_path / "package"
    metadata = folder / "pack-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / "pack.py").write_text(MODULE)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: pack\nVersion: 1.0\n")
    offers = [f"{name.lower()} = pack:{name}" for name in ("DOUBLE", "LIGHT", "SPOTS", "CORNER")]
    (metadata / "entry_points.txt").write_text("\n".join(["[octostream.reductions]", *offers]))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
    recipe = tmp_path / "mine.toml"
    recipe.write_text('base = "lightsheet"\n[double]\n[light]\n[spots]\n[corner]\n')
    return recipe


def test_what_others_make_is_stored_and_what_fails_loses_no_frame(package, serve, command):
    service = serve()
    source = "simulated:size=24x32,t=4,z=5"
    run = command("acquire", source, "--to", service.ingest, "--recipe", package, "--keep-raw", "--json")
    assert run.wait(110) == 0, run.err
    facts = run.json()
    store = zarr.open_group(facts["store"], mode="r")
    raw, level0 = store["raw/0"][...], store["0"][...]
    expected = np.pad(np.repeat(level0, 2, axis=2), [(0, 0)] * 3 + [(0, 7), (0, 0)])
    np.testing.assert_array_equal(store["double/0"][...], expected)
    np.testing.assert_array_equal(store["labels/light/0"][...], level0 > 150)
    table = store["tables/spots"]
    found = [np.add(np.argwhere(s > np.quantile(s, 0.99)), [5 * t, 0, 0]) for t, s in enumerate(level0[:, 0])]
    np.testing.assert_array_equal(
        np.stack([table[name][...] for name in ("frame", "y", "x")], axis=1), np.concatenate(found)
    )
    first = raw[..., 0, 0].reshape(-1)
    np.testing.assert_array_equal(store["tables/corner/count"][...], np.where(first % 2, np.nan, first))
    assert 0 < np.isnan(store["tables/corner/count"][...]).sum() < 20
    assert len([line for line in service.err if "a step failed" in line and "corner" in line]) == 1
    check = Command("verify", facts["store"])
    assert check.wait() == 0, check.out
    check.end()
