from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octostream.sinks.names import check_name, data_folders, store_path
from octostream.stream.errors import NameRefusedError


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.text(max_size=120), st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", fullmatch=True)))
def test_a_name_is_refused_or_stays_inside_the_data_folder(tmp_path_factory, name):
    data = tmp_path_factory.getbasetemp()
    try:
        path = store_path(data, name, name)
    except NameRefusedError as error:
        assert "\n" not in str(error)  # noqa: PT017
        plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name) and ".." not in name and name[-1] != "."
        reserved = re.match(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", name, re.IGNORECASE)
        assert not plain or reserved or name.lower().endswith(".ome.zarr")
    else:
        assert path.parent.parent == data
        assert path.resolve().is_relative_to(data.resolve())
        assert path.name == name + ".ome.zarr"


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a/b",
        "/etc",
        "a\\b",
        "a\n",
        "-a",
        ".a",
        "a..b",
        "a.",
        "a" * 101,
        "é",
        "a b",
        "nul",
        "COM1.x",
        "a\0",
    ],
)
def test_names_that_would_harm_are_refused(tmp_path, name):
    with pytest.raises(NameRefusedError):
        check_name("run", name)
    for investigation, run, visit in ((name, "a", "b"), ("a", name, "b"), ("a", "b", name)):
        if visit:  # an empty visit is none
            with pytest.raises(NameRefusedError):
                store_path(tmp_path, investigation, run, visit)


@pytest.mark.parametrize("name", ["run.ome.zarr", "1.OME.ZARR", "a.Ome.Zarr"])
def test_no_folder_of_stores_looks_like_a_store(tmp_path, name):
    with pytest.raises(NameRefusedError, match=r"^visit name '.*' is not allowed \(only stores end in"):
        store_path(tmp_path, "local", "run", name)
    with pytest.raises(NameRefusedError, match=r"^investigation name"):
        store_path(tmp_path, name, "run")
    assert store_path(tmp_path, "local", name).name == name + ".ome.zarr"


@pytest.mark.parametrize("name", ["a", "0", "2026-11-22_fish.3", "a" * 100, "console", "com10", "A-_"])
def test_ordinary_names_are_allowed(tmp_path, name):
    assert check_name("run", name) == name
    assert store_path(tmp_path, "local", name) == tmp_path / "local" / f"{name}.ome.zarr"
    with_visit = store_path(tmp_path, "local", "run", name)
    assert with_visit == tmp_path / "local" / name / "run.ome.zarr"
    assert tmp_path in data_folders(with_visit)


def test_the_folders_that_may_hold_a_store_end_at_the_root():
    assert data_folders(Path("/run.ome.zarr")) == []
    assert data_folders(Path("/a/run.ome.zarr")) == [Path("/")]
    assert data_folders(Path("/d/a/1/run.ome.zarr")) == [Path("/d/a"), Path("/d")]


def test_symbolic_links_below_the_data_folder_are_refused(tmp_path):
    data, outside = tmp_path / "data", tmp_path / "outside"
    data.mkdir()
    outside.mkdir()
    (data / "linked").symlink_to(outside)
    (data / "real").mkdir()
    (data / "real" / "run.ome.zarr").symlink_to(outside)
    (data / "real" / "visit").symlink_to(outside)
    for investigation, visit in (("linked", ""), ("linked", "1"), ("real", ""), ("real", "visit")):
        with pytest.raises(NameRefusedError, match="symbolic link"):
            store_path(data, investigation, "run", visit)
    alias = tmp_path / "alias"
    alias.symlink_to(data)
    assert store_path(alias, "real", "other") == alias / "real" / "other.ome.zarr"
