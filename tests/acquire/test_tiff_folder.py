"""Folders of TIFF files."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from octostream.acquire.source import SourceOptions
from octostream.acquire.sources.opening import open_source
from octostream.acquire.sources.replay import Replay
from octostream.acquire.sources.tiff_folder import TiffFolderPlanes, natural_key
from octostream.stream.errors import SourceError

Counts = NDArray[np.uint16]


def fill_folder(folder: Path, counts: Counts, names: list[str]) -> None:
    for name, plane in zip(names, counts, strict=True):
        tifffile.imwrite(folder / name, plane, photometric="minisblack", metadata=None)


def play(folder: Path, axes: str | None = None) -> tuple[tuple[int, ...], str, Counts]:
    source = open_source(str(folder), SourceOptions(axes=axes))
    out = np.empty((source.plan.frames, *source.plan.frame_shape), np.uint16)
    for number, frame in enumerate(out):
        source.fill(number, frame)
    source.close()
    return source.plan.shape, source.plan.axes, out


def test_planes_come_in_natural_order_and_are_one_stack(tmp_path: Path, counts: Counts) -> None:
    fill_folder(tmp_path, counts, [f"img{i}.TIF" if i % 2 else f"Img{i}.tiff" for i in range(1, 13)])
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "._img1.tif").write_bytes(b"left by a Mac")
    (tmp_path / "img30.tif").mkdir()
    shape, axes, frames = play(tmp_path)
    assert shape == (1, 1, 12, 6, 5)
    assert axes == "zyx"
    assert np.array_equal(frames, counts)


def test_axes_divide_the_files(tmp_path: Path, counts: Counts) -> None:
    fill_folder(tmp_path, counts, [f"{i}.tif" for i in range(12)])
    shape, axes, frames = play(tmp_path, "z=4,t=3")
    assert shape == (3, 1, 4, 6, 5)
    assert axes == "tzyx"
    assert np.array_equal(frames, counts.reshape(4, 3, 6, 5).swapaxes(0, 1).reshape(12, 6, 5))


def test_files_of_several_pages_are_time_points(tmp_path: Path, counts: Counts) -> None:
    for t in range(3):
        tifffile.imwrite(tmp_path / f"t{t}.tif", counts[4 * t : 4 * t + 4], photometric="minisblack", metadata=None)
    shape, _, frames = play(tmp_path)
    assert shape == (3, 1, 4, 6, 5)
    assert np.array_equal(frames, counts)
    assert play(tmp_path, "zt")[0] == (4, 1, 3, 6, 5)


def test_files_of_channels_and_planes_are_time_points(tmp_path: Path, counts: Counts) -> None:
    for t in range(3):
        stored = counts[4 * t : 4 * t + 4].reshape(2, 2, 6, 5)
        tifffile.imwrite(tmp_path / f"t{t}.tif", stored, imagej=True, metadata={"axes": "ZCYX"})
    shape, _, frames = play(tmp_path)
    assert shape == (3, 2, 2, 6, 5)
    assert np.array_equal(frames, counts.reshape(3, 2, 2, 6, 5).swapaxes(1, 2).reshape(12, 6, 5))


def test_the_first_file_that_differs_is_named(tmp_path: Path, counts: Counts) -> None:
    fill_folder(tmp_path, counts, [f"img{i}.tif" for i in range(12)])
    tifffile.imwrite(tmp_path / "img10.tif", counts[10][:4], metadata=None)
    with pytest.raises(SourceError, match=r"img10\.tif is 4x5, the ones before it are 6x5: all frames must"):
        open_source(str(tmp_path))
    tifffile.imwrite(tmp_path / "img2.tif", counts[:2], photometric="minisblack", metadata=None)
    with pytest.raises(SourceError, match=r"img2\.tif has 2 pages, the files before it have 1"):
        open_source(str(tmp_path))


def test_a_bad_file_is_named(tmp_path: Path, counts: Counts) -> None:
    fill_folder(tmp_path, counts, [f"img{i}.tif" for i in range(12)])
    (tmp_path / "img5.tif").write_bytes(b"MM")
    with pytest.raises(SourceError, match=r"img5\.tif"):
        open_source(str(tmp_path))
    tifffile.imwrite(tmp_path / "img5.tif", counts[0].astype(np.float32))
    with pytest.raises(SourceError, match=r"img5\.tif has 32-bit floating-point pixels"):
        open_source(str(tmp_path))


def test_a_file_that_changes_after_opening_is_named_by_its_frame(tmp_path: Path, counts: Counts) -> None:
    fill_folder(tmp_path, counts, [f"img{i}.tif" for i in range(12)])
    source = Replay(TiffFolderPlanes(tmp_path), SourceOptions(), "folder", cache_bytes=0)
    tifffile.imwrite(tmp_path / "img3.tif", counts[3][:4], metadata=None)
    (tmp_path / "img4.tif").unlink()
    out = np.empty((6, 5), np.uint16)
    source.fill(2, out)
    with pytest.raises(
        SourceError, match=r"frame 3 cannot be replayed, .*img3\.tif is 4x5, the ones before it are 6x5"
    ):
        source.fill(3, out)
    with pytest.raises(SourceError, match=r"frame 4 cannot be replayed, .*img4\.tif does not exist"):
        source.fill(4, out)
    source.fill(5, out)
    assert np.array_equal(out, counts[5])
    source.close()


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(SourceError, match=r"holds no TIFF files and is no Zarr array: give a folder of \.tif"):
        open_source(str(tmp_path))


def test_names_that_differ_in_zeros_or_case_alone_have_an_order_too() -> None:
    names = ["img01", "img1", "IMG1", "img001"]
    assert sorted(names, key=natural_key) == sorted(names[::-1], key=natural_key)


@settings(deadline=None)
@given(st.lists(st.text("aB1029.²_", min_size=1, max_size=8), unique=True, max_size=12), st.randoms())
def test_natural_order_is_total(names: list[str], rng: random.Random) -> None:
    ordered = sorted(names, key=natural_key)
    shuffled = list(names)
    rng.shuffle(shuffled)
    assert sorted(shuffled, key=natural_key) == ordered


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**12), unique=True), st.sampled_from(["img", "", "t1_z", "²"]))
def test_numbers_sort_as_numbers(numbers: list[int], prefix: str) -> None:
    names = sorted((f"{prefix}{n}.tif" for n in numbers), key=natural_key)
    assert names == [f"{prefix}{n}.tif" for n in sorted(numbers)]
