"""Zarr arrays and OME-Zarr images, format 2 and 3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from octostream.acquire.source import SourceOptions
from octostream.acquire.sources import zarr_array
from octostream.acquire.sources.opening import open_source
from octostream.stream.errors import SourceError, UsageError
from octostream.stream.model import Pixel, Plan

Counts = NDArray[np.uint16]


def play(path: Path, axes: str | None = None) -> tuple[Plan, Counts]:
    source = open_source(str(path), SourceOptions(axes=axes))
    out = np.empty((source.plan.frames, *source.plan.frame_shape), np.uint16)
    for number, frame in enumerate(out):
        source.fill(number, frame)
    source.close()
    return source.plan, out


AXES = [
    {"name": "t", "type": "time", "unit": "second"},
    {"name": "c", "type": "channel"},
    {"name": "z", "type": "space", "unit": "micrometer"},
    {"name": "y", "type": "space", "unit": "nanometer"},
    {"name": "x", "type": "space"},
]


def multiscales(axes: list[dict[str, str]], scale: list[float], **more: Any) -> list[dict[str, Any]]:
    datasets = [
        {"path": "full", "coordinateTransformations": [{"type": "scale", "scale": scale}]},
        {"path": "half", "coordinateTransformations": [{"type": "scale", "scale": [2 * s for s in scale]}]},
    ]
    return [{"axes": axes, "datasets": datasets, **more}]


def write_image(path: Path, counts: Counts, version: int) -> None:
    group = zarr.open_group(path, mode="w", zarr_format=version)
    group.create_array("full", data=counts, chunks=(1, 1, 2, 4, 4))
    group.create_array("half", data=counts[..., ::2, ::2].copy())
    scales = multiscales(
        AXES,
        [0.5, 1.0, 0.3, 105.0, 0.1],
        coordinateTransformations=[{"type": "scale", "scale": [1.0, 1.0, 2.0, 2.0, 2.0]}],
    )
    omero = {"channels": [{"label": "GFP"}, {"label": "RFP"}]}
    if version == 2:
        group.attrs.update({"multiscales": scales, "omero": omero})
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": scales, "omero": omero}


@pytest.mark.parametrize("version", [2, 3])
def test_an_image_plays_its_full_resolution_with_axes_and_sampling(
    tmp_path: Path, counts: Counts, version: int
) -> None:
    write_image(tmp_path / "a.zarr", counts.reshape(3, 2, 2, 6, 5), version)
    plan, frames = play(tmp_path / "a.zarr")
    assert plan.shape == (3, 2, 2, 6, 5)
    assert plan.axes == "tczyx"
    assert plan.channels == ("GFP", "RFP")
    assert plan.pixel == Pixel(pytest.approx(0.6), pytest.approx(0.21), None)  # x has no unit: not known
    assert np.array_equal(frames, counts)
    plan, frames = play(tmp_path / "a.zarr" / "half")
    assert plan.shape == (3, 2, 2, 3, 3)
    assert np.array_equal(frames, counts[:, ::2, ::2])


def test_a_wrapped_image_is_found(tmp_path: Path, counts: Counts) -> None:
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    write_image(tmp_path / "a.zarr" / "0", counts.reshape(3, 2, 2, 6, 5), 2)
    assert play(tmp_path / "a.zarr")[0].shape == (3, 2, 2, 6, 5)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(("stored", "axes"), [((12,), "zyx"), ((3, 2, 2), "tczyx")])
def test_arrays_without_names(tmp_path: Path, counts: Counts, version: int, stored: tuple[int, ...], axes: str) -> None:
    data = counts.reshape(*stored, 6, 5)
    zarr.create_array(tmp_path / "a.zarr", data=data, zarr_format=version)
    plan, frames = play(tmp_path / "a.zarr")
    assert plan.axes == axes
    assert plan.shape == (*(1,) * (3 - len(stored)), *stored, 6, 5)
    assert np.array_equal(frames, counts)


def test_one_plane(tmp_path: Path, counts: Counts) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=counts[0])
    plan, frames = play(tmp_path / "a.zarr")
    assert plan.shape == (1, 1, 1, 6, 5)
    assert plan.axes == "yx"
    assert np.array_equal(frames, counts[:1])


def test_names_may_have_any_order(tmp_path: Path, counts: Counts) -> None:
    data = counts.reshape(2, 2, 3, 6, 5)
    zarr.create_array(tmp_path / "a.zarr", data=data, dimension_names=["z", "c", "t", "y", "x"], chunks=(2, 1, 2, 6, 5))
    plan, frames = play(tmp_path / "a.zarr")
    assert plan.shape == (3, 2, 2, 6, 5)
    assert np.array_equal(frames, data.transpose(2, 1, 0, 3, 4).reshape(12, 6, 5))


@pytest.mark.parametrize("dtype", [">u2", "<u2", "u1"])
@pytest.mark.parametrize("version", [2, 3])
def test_byte_orders_and_8_bit(tmp_path: Path, counts: Counts, dtype: str, version: int) -> None:
    data = (counts % 256).astype(dtype)
    zarr.create_array(tmp_path / "a.zarr", data=data, zarr_format=version)
    assert np.array_equal(play(tmp_path / "a.zarr")[1], counts % 256)


def test_planes_that_share_a_chunk_are_decoded_once(
    tmp_path: Path, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    zarr.create_array(
        tmp_path / "a.zarr",
        data=counts.reshape(2, 6, 6, 5),
        chunks=(1, 4, 6, 5),
        shards=(1, 8, 6, 5),
        dimension_names=list("tzyx"),
    )
    taken: list[Any] = []
    read = zarr.Array.__getitem__

    def counting(array: zarr.Array[Any], region: Any) -> Any:
        taken.append(region)
        return read(array, region)

    monkeypatch.setattr(zarr.Array, "__getitem__", counting)
    planes = zarr_array.ZarrPlanes(tmp_path / "a.zarr")
    out = np.empty((6, 5), np.uint16)
    for number in range(12):
        planes.read(number, out)
        assert np.array_equal(out, counts[number])
    assert taken == [(0, slice(0, 4)), (0, slice(4, 8)), (1, slice(0, 4)), (1, slice(4, 8))]
    planes.close()
    planes.read(5, out)
    assert np.array_equal(out, counts[5])
    monkeypatch.setattr(zarr_array, "SLAB_BYTES", 3 * 6 * 5 * 2)
    bounded = zarr_array.ZarrPlanes(tmp_path / "a.zarr")
    taken.clear()
    for number in range(6):
        bounded.read(number, out)
    assert taken == [(0, slice(0, 3)), (0, slice(3, 6))]


def test_a_damaged_chunk_is_named_by_the_frame_that_needs_it(tmp_path: Path, counts: Counts) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=counts, chunks=(1, 6, 5))
    (tmp_path / "a.zarr" / "c" / "7" / "0" / "0").write_bytes(b"nonsense")
    source = open_source(str(tmp_path / "a.zarr"))
    out = np.empty((6, 5), np.uint16)
    source.fill(6, out)
    with pytest.raises(SourceError, match=r"frame 7 cannot be replayed, plane 7 of .*a\.zarr cannot be read"):
        source.fill(7, out)
    source.fill(8, out)
    assert np.array_equal(out, counts[8])
    source.close()


@pytest.mark.parametrize(
    ("dtype", "name"),
    [("i2", "signed 16-bit"), ("f4", "32-bit floating-point"), ("u4", "unsigned 32-bit"), ("?", "bilevel")],
)
def test_other_pixels_are_refused_by_name(tmp_path: Path, dtype: str, name: str) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=np.zeros((2, 4, 4), dtype))
    with pytest.raises(SourceError, match=f"has {name}.* pixels"):
        open_source(str(tmp_path / "a.zarr"))


def test_groups_without_an_image_say_what_is_in_them(tmp_path: Path, counts: Counts) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    with pytest.raises(SourceError, match="is a Zarr group that describes no image: it is empty"):
        open_source(str(tmp_path / "a.zarr"))
    group.create_array("second", data=counts)
    group.create_array("first", data=counts)
    with pytest.raises(SourceError, match="give the path of an array in it: first, second"):
        open_source(str(tmp_path / "a.zarr"))


def test_four_axes_without_names_must_be_declared(tmp_path: Path, counts: Counts) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=counts.reshape(3, 4, 6, 5))
    with pytest.raises(SourceError, match="without axis names: say what the axes before y and x are"):
        open_source(str(tmp_path / "a.zarr"))
    assert play(tmp_path / "a.zarr", "tz")[0].shape == (3, 1, 4, 6, 5)
    assert play(tmp_path / "a.zarr", "zc")[0].shape == (1, 4, 3, 6, 5)
    with pytest.raises(UsageError, match="do not fit the 12 planes"):
        open_source(str(tmp_path / "a.zarr"), SourceOptions(axes="t=5"))


def test_arrays_that_hold_no_planes_are_refused(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=np.zeros((4, 4, 4), np.uint16), dimension_names=["x", "y", "z"])
    with pytest.raises(SourceError, match="axes 'xyz', which are no planes: store y and x last"):
        open_source(str(tmp_path / "a.zarr"))
    zarr.create_array(tmp_path / "b.zarr", shape=(0, 4, 4), chunks=(1, 4, 4), dtype="u2")
    with pytest.raises(SourceError, match="which are no planes"):
        open_source(str(tmp_path / "b.zarr"))
    zarr.create_array(tmp_path / "c.zarr", data=np.zeros(4, np.uint16))
    with pytest.raises(SourceError, match="without axis names"):
        open_source(str(tmp_path / "c.zarr"))


def test_broken_metadata_and_missing_levels_are_refused(tmp_path: Path, counts: Counts) -> None:
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "array"')
    with pytest.raises(SourceError, match=r"a\.zarr cannot be read") as caught:
        open_source(str(tmp_path / "a.zarr"))
    assert "\n" not in str(caught.value)
    group = zarr.open_group(tmp_path / "b.zarr", mode="w")
    group.attrs["ome"] = {"multiscales": multiscales(AXES, [1.0] * 5)}
    with pytest.raises(SourceError, match=r"full does not exist"):
        open_source(str(tmp_path / "b.zarr"))
