"""What every source promises, run by every source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray
from octostream.acquire.source import Source, SourceOptions
from octostream.acquire.sources.opening import open_source
from octostream.stream.errors import SourceError

Counts = NDArray[np.uint16]


@dataclass(frozen=True)
class Case:
    """How to open a source, and the frames that it must yield where they are known."""

    spec: str
    options: SourceOptions
    shape: tuple[int, int, int, int, int]
    frames: Counts | None  # (number, y, x)


def tiff(tmp_path: Path, counts: Counts) -> Case:
    tifffile.imwrite(tmp_path / "a.tif", counts, photometric="minisblack", metadata=None)
    return Case(str(tmp_path / "a.tif"), SourceOptions(), (1, 1, 12, 6, 5), counts)


def compressed_tiff(tmp_path: Path, counts: Counts) -> Case:
    tifffile.imwrite(tmp_path / "a.tif", counts, photometric="minisblack", metadata=None, compression="zlib")
    return Case(str(tmp_path / "a.tif"), SourceOptions(), (1, 1, 12, 6, 5), counts)


def folder(tmp_path: Path, counts: Counts) -> Case:
    for i, plane in enumerate(counts):
        tifffile.imwrite(tmp_path / f"img{i}.tif", plane, metadata=None)
    return Case(str(tmp_path), SourceOptions(axes="t"), (12, 1, 1, 6, 5), counts)


def zarr_array(tmp_path: Path, counts: Counts) -> Case:
    stored = counts.reshape(3, 4, 6, 5)
    array = zarr.create_array(tmp_path / "a.zarr", data=stored, chunks=(2, 3, 6, 5), dimension_names=list("tzyx"))
    return Case(str(tmp_path / array.path / "a.zarr"), SourceOptions(), (3, 1, 4, 6, 5), counts)


def tiled_and_looped(tmp_path: Path, counts: Counts) -> Case:
    tifffile.imwrite(tmp_path / "a.tif", counts, photometric="minisblack", metadata=None)
    z, y, x = np.indices((12, 13, 9))
    tiled = counts[(z + 7 * (y // 6) + 13 * (x // 5)) % 12, y % 6, x % 5]
    options = SourceOptions(tile=(13, 9), loop=3, rate_hz=250.0)
    return Case(str(tmp_path / "a.tif"), options, (3, 1, 12, 13, 9), np.tile(tiled, (3, 1, 1)))


def simulated(tmp_path: Path, counts: Counts) -> Case:
    return Case("simulated:size=70x90,z=3,t=2,c=2,cells=30", SourceOptions(rate_hz=5.0), (2, 2, 3, 70, 90), None)


@pytest.fixture(params=[tiff, compressed_tiff, folder, zarr_array, tiled_and_looped, simulated])
def case(request: pytest.FixtureRequest, tmp_path: Path, counts: Counts) -> Case:
    make: Callable[[Path, Counts], Case] = request.param
    return make(tmp_path, counts)


@pytest.fixture
def source(case: Case) -> Iterator[Source]:
    opened = open_source(case.spec, case.options)
    yield opened
    opened.close()


def every_frame(source: Source) -> Counts:
    out = np.empty((source.plan.frames, *source.plan.frame_shape), np.uint16)
    for number, frame in enumerate(out):
        source.fill(number, frame)
    return out


class TestEverySource:
    def test_the_plan_says_what_comes(self, case: Case, source: Source) -> None:
        assert source.plan.shape == case.shape
        assert source.plan.rate_hz == case.options.rate_hz
        assert source.plan.source
        assert "\n" not in source.plan.source
        sizes = dict(zip("tczyx", source.plan.shape, strict=True))
        assert all(letter in source.plan.axes for letter, size in sizes.items() if size > 1)

    def test_frames_are_those_of_the_recording_and_every_pixel_is_written(self, case: Case, source: Source) -> None:
        zeros = np.zeros((source.plan.frames, *source.plan.frame_shape), np.uint16)
        ones = np.full_like(zeros, 65535)
        for number in range(source.plan.frames):
            source.fill(number, zeros[number])
            source.fill(number, ones[number])
        assert np.array_equal(zeros, ones)
        if case.frames is not None:
            assert np.array_equal(zeros, case.frames)

    def test_a_frame_depends_on_its_number_alone(self, case: Case, source: Source) -> None:
        whole = every_frame(source)
        again = open_source(case.spec, case.options)
        out = np.empty(source.plan.frame_shape, np.uint16)
        for number in range(1, source.plan.frames, 3):  # with gaps, in another instance
            again.fill(number, out)
            assert np.array_equal(out, whole[number])
        again.close()

    def test_wrong_buffers_are_refused(self, source: Source) -> None:
        y, x = source.plan.frame_shape
        wrong = [
            np.empty((y + 1, x), np.uint16),
            np.empty((y, x), np.int16),
            np.empty((1, y, x), np.uint16),
            np.empty((x, y), np.uint16).T,
            np.empty((y, 2 * x), np.uint16)[:, ::2],
        ]
        for out in wrong:
            with pytest.raises(SourceError, match="give one C-contiguous uint16 array"):
                source.fill(0, out)

    def test_frames_beyond_the_plan_are_refused(self, source: Source) -> None:
        out = np.empty(source.plan.frame_shape, np.uint16)
        for number in (-1, source.plan.frames):
            with pytest.raises(SourceError, match=rf"frame {number} was asked of a source with \d+ frames"):
                source.fill(number, out)

    def test_close_may_be_repeated(self, source: Source) -> None:
        source.close()
        source.close()
