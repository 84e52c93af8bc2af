"""TIFF files of every kind that a microscope leaves behind, good and bad."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from octostream.acquire.source import SourceOptions
from octostream.acquire.sources.opening import open_source
from octostream.stream.errors import OctostreamError, SourceError, UsageError
from octostream.stream.model import Pixel, Plan

Counts = NDArray[np.uint16]


def play(path: Path, **options: object) -> tuple[Plan, Counts]:
    source = open_source(str(path), SourceOptions(**options))
    out = np.empty((source.plan.frames, *source.plan.frame_shape), np.uint16)
    for number, frame in enumerate(out):
        source.fill(number, frame)
    source.close()
    return source.plan, out


def refused(path: Path, **options: object) -> str:
    with pytest.raises(OctostreamError) as caught:
        play(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert caught.value.remedy
    assert str(path) in text
    return text


def write(path: Path, counts: NDArray[np.generic], **how: object) -> Path:
    tifffile.imwrite(path, counts, **{"photometric": "minisblack", "metadata": None, **how})
    return path


def test_the_lattice_stack_is_one_stack_of_88_planes(lattice_file: Path) -> None:
    plan, frames = play(lattice_file)
    assert plan.shape == (1, 1, 88, 320, 256)
    assert plan.axes == "zyx"
    assert np.array_equal(frames, tifffile.imread(lattice_file))
    assert (frames.min(), frames.max(), np.median(frames)) == (35, 1129, 106)


@pytest.mark.parametrize("axes", ["t", "tyx", "t=200", None])
def test_the_telomere_movie_is_a_movie(telomere_file: Path, axes: str | None) -> None:
    plan, frames = play(telomere_file, axes=axes)  # ImageJ wrote the axes, so None knows them too
    assert plan.shape == (200, 1, 1, 133, 162)
    assert plan.axes == "tyx"
    assert plan.pixel.x_um == pytest.approx(0.11)
    assert plan.pixel.z_um is None
    assert np.array_equal(frames, tifffile.imread(telomere_file))


@pytest.mark.parametrize(
    "how",
    [
        {"byteorder": ">"},
        {"byteorder": ">", "compression": "zlib"},
        {"compression": "lzw"},
        {"compression": "zlib", "predictor": True},
        {"bigtiff": True},
        {"tile": (16, 16)},
        {"rowsperstrip": 2},
        {"photometric": "miniswhite"},
        {"metadata": {}},
    ],
    ids=str,
)
def test_every_way_of_storing_gives_the_same_counts(tmp_path: Path, counts: Counts, how: dict[str, object]) -> None:
    plan, frames = play(write(tmp_path / "a.tif", counts, **how))
    assert plan.shape == (1, 1, 12, 6, 5)
    assert np.array_equal(frames, counts)


@pytest.mark.parametrize("how", [{}, {"compression": "zlib"}], ids=str)
def test_8_bit_is_widened(tmp_path: Path, counts: Counts, how: dict[str, object]) -> None:
    narrow = (counts % 256).astype(np.uint8)
    _, frames = play(write(tmp_path / "a.tif", narrow, **how))
    assert np.array_equal(frames, narrow)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (6, 5)])
def test_single_pages_of_any_size(tmp_path: Path, shape: tuple[int, int]) -> None:
    counts = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    plan, frames = play(write(tmp_path / "a.tif", counts))
    assert plan.shape == (1, 1, 1, *shape)
    assert plan.axes == "yx"
    assert np.array_equal(frames[0], counts)


def test_rows_and_columns_of_one_pixel_in_many_pages(tmp_path: Path, counts: Counts) -> None:
    for part in (counts[:, :1], counts[:, :, :1], counts[:, :1, :1]):
        plan, frames = play(write(tmp_path / "a.tif", np.ascontiguousarray(part)))
        assert plan.shape == (1, 1, 12, *part.shape[1:])
        assert np.array_equal(frames, part)


OME = {
    "PhysicalSizeX": 104.0,
    "PhysicalSizeXUnit": "nm",
    "PhysicalSizeY": 0.105,
    "PhysicalSizeZ": 0.3,
    "Channel": {"Name": ["GFP", "RFP"]},
    "Plane": {"ExposureTime": [0.02] * 12, "ExposureTimeUnit": ["s"] * 12},
}


def test_ome_tiff_says_its_axes_sampling_channels_and_exposure(tmp_path: Path, counts: Counts) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, counts.reshape(3, 2, 2, 6, 5), metadata={"axes": "TCZYX", **OME})
    plan, frames = play(path)
    assert plan.shape == (3, 2, 2, 6, 5)
    assert plan.axes == "tczyx"
    assert plan.pixel == Pixel(0.3, 0.105, pytest.approx(0.104))
    assert plan.channels == ("GFP", "RFP")
    assert plan.exposure_ms == pytest.approx(20.0)
    assert np.array_equal(frames, counts)


@pytest.mark.parametrize("how", [{}, {"compression": "zlib"}], ids=str)
@pytest.mark.parametrize("axes", ["ZTC", "CZT", "ZCT", "TZC"])
def test_ome_tiff_of_any_page_order_plays_t_then_c_then_z(
    tmp_path: Path, counts: Counts, axes: str, how: dict[str, object]
) -> None:
    sizes = {"T": 3, "C": 2, "Z": 2}
    stored = counts.reshape(*(sizes[a] for a in axes), 6, 5)
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, stored, photometric="minisblack", metadata={"axes": axes + "YX"}, **how)
    plan, frames = play(path)
    assert plan.shape == (3, 2, 2, 6, 5)
    assert np.array_equal(frames, stored.transpose(*(axes.index(a) for a in "TCZ"), 3, 4).reshape(12, 6, 5))


def test_a_set_of_ome_tiff_files_plays_from_any_of_them(tmp_path: Path, counts: Counts) -> None:
    uuids = [f"urn:uuid:0000000{i}-0000-0000-0000-000000000000" for i in range(3)]
    places = "".join(
        f'<TiffData FirstT="{t}" FirstZ="0" FirstC="0" IFD="0" PlaneCount="4">'
        f'<UUID FileName="f{t}.ome.tif">{uuid}</UUID></TiffData>'
        for t, uuid in enumerate(uuids)
    )
    for t, uuid in enumerate(uuids):
        xml = (
            f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuid}">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="5" SizeY="6" '
            f'SizeZ="4" SizeC="1" SizeT="3" PhysicalSizeX="0.5">{places}</Pixels></Image></OME>'
        )
        write(tmp_path / f"f{t}.ome.tif", counts[4 * t : 4 * t + 4], description=xml)
    for t in range(3):
        plan, frames = play(tmp_path / f"f{t}.ome.tif")
        assert plan.shape == (3, 1, 4, 6, 5)
        assert plan.pixel.x_um == 0.5
        assert np.array_equal(frames, counts)
    plan, frames = play(tmp_path)  # the folder: files in natural order, one stack each
    assert plan.shape == (3, 1, 4, 6, 5)
    assert np.array_equal(frames, counts)
    (tmp_path / "f1.ome.tif").unlink()
    text = refused_in_middle(tmp_path / "f2.ome.tif", good=4)
    assert "page 5" in text
    assert "put all files of it together" in text


def test_imagej_hyperstacks_say_their_axes_and_sampling(tmp_path: Path, counts: Counts) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        counts.reshape(3, 2, 2, 6, 5),
        imagej=True,
        resolution=(1 / 0.11, 1 / 0.12),
        metadata={"axes": "TZCYX", "spacing": 0.3, "unit": "um"},
    )
    plan, frames = play(path)
    assert plan.shape == (3, 2, 2, 6, 5)
    assert plan.pixel.z_um == pytest.approx(0.3)
    assert plan.pixel.y_um == pytest.approx(0.12)
    assert plan.pixel.x_um == pytest.approx(0.11)
    assert np.array_equal(frames, counts.reshape(3, 2, 2, 6, 5).swapaxes(1, 2).reshape(12, 6, 5))


@pytest.mark.parametrize(
    ("axes", "shape", "order"),
    [
        ("t=3,z=4", (3, 1, 4), "tz"),
        ("t3z", (3, 1, 4), "tz"),
        ("z,t=3", (3, 1, 4), "zt"),
        ("c2 t=3 z", (3, 2, 2), "ctz"),
        ("z=12,c", (1, 1, 12), "zc"),
        ("tz=12yx", (1, 1, 12), "tz"),
    ],
)
def test_axes_say_what_plain_pages_are(
    tmp_path: Path, counts: Counts, axes: str, shape: tuple[int, int, int], order: str
) -> None:
    plan, frames = play(write(tmp_path / "a.tif", counts), axes=axes)
    assert plan.shape == (*shape, 6, 5)
    sizes = dict(zip("tcz", shape, strict=True))
    stored = counts.reshape(*(sizes[a] for a in order), 6, 5)
    missing = [a for a in "tcz" if a not in order]
    for _ in missing:
        stored = stored[None]
    full = "".join(missing) + order
    expected = stored.transpose(*(full.index(a) for a in "tcz"), 3, 4)
    assert np.array_equal(frames, expected.reshape(12, 6, 5))


def test_axes_may_rename_those_that_the_file_has(tmp_path: Path, counts: Counts) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, counts.reshape(3, 4, 6, 5), imagej=True, metadata={"axes": "ZCYX"})
    plan, _ = play(path, axes="tz")
    assert plan.shape == (3, 1, 4, 6, 5)


@pytest.mark.parametrize("axes", ["tz", "q", "t=5", "t=5,z", "tt", "t=0,z", "zyxt", "", "t=3,z=5", "t=-3"])
def test_axes_that_do_not_fit_are_a_wrong_request(tmp_path: Path, counts: Counts, axes: str) -> None:
    path = write(tmp_path / "a.tif", counts)
    with pytest.raises(UsageError, match='say what the planes are, slowest first, for example --axes "t=10,z=50"'):
        open_source(str(path), SourceOptions(axes=axes))


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        (np.int16, "signed 16-bit integer"),
        (np.int8, "signed 8-bit integer"),
        (np.int32, "signed 32-bit integer"),
        (np.uint32, "unsigned 32-bit integer"),
        (np.float32, "32-bit floating-point"),
        (np.float64, "64-bit floating-point"),
        (np.complex64, "64-bit complex"),
        (np.bool_, "bilevel"),
    ],
)
def test_other_pixels_are_refused_by_name(tmp_path: Path, dtype: type[np.generic], name: str) -> None:
    text = refused(write(tmp_path / "a.tif", np.zeros((3, 16, 16), dtype)))
    assert name in text
    assert "convert to unsigned 16-bit" in text


def test_colours_are_refused_by_name(tmp_path: Path) -> None:
    grey = np.zeros((16, 16), np.uint8)
    rgb = write(tmp_path / "rgb.tif", np.zeros((16, 16, 3), np.uint8), photometric="rgb")
    planar = write(tmp_path / "p.tif", np.zeros((3, 16, 16), np.uint16), photometric="rgb", planarconfig="separate")
    rgba = write(
        tmp_path / "rgba.tif", np.zeros((2, 16, 16, 4), np.uint8), photometric="rgb", extrasamples=["unassalpha"]
    )
    palette = write(tmp_path / "palette.tif", grey, photometric="palette", colormap=np.zeros((3, 256), np.uint16))
    pair = write(
        tmp_path / "pair.tif", np.zeros((16, 16, 2), np.uint16), planarconfig="contig", extrasamples=["unspecified"]
    )
    for path, name in ((rgb, "RGB"), (planar, "RGB"), (rgba, "RGB"), (palette, "palette"), (pair, "2-sample")):
        assert f"has {name} colour pixels" in refused(path)


def test_pages_that_change_size_are_named_with_both_sizes(tmp_path: Path, counts: Counts) -> None:
    for odd in (1, 3, 5):
        path = tmp_path / f"odd{odd}.tif"
        with tifffile.TiffWriter(path) as writer:
            for i in range(6):
                writer.write(counts[i][: 4 if i == odd else 6], metadata=None, contiguous=False)
        text = refused(path)
        assert f"page {odd + 1} of" in text
        assert "is 4x5, the ones before it are 6x5" in text


def test_an_ome_tiff_with_an_odd_page_is_refused(tmp_path: Path, counts: Counts) -> None:
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="5" SizeY="6" SizeZ="4" SizeC="1" SizeT="1">'
        '<TiffData IFD="0" PlaneCount="4"/></Pixels></Image></OME>'
    )
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path) as writer:
        for i in range(4):
            plane = counts[i].reshape(5, 6) if i == 2 else counts[i]
            writer.write(plane, metadata=None, contiguous=False, description=xml if i == 0 else None)
    assert "page 3 of" in (text := refused(path))
    assert "is 5x6, the ones before it are 6x5" in text


def test_pages_of_another_pixel_type_are_refused(tmp_path: Path, counts: Counts) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for i in range(4):
            writer.write(counts[i].astype(np.uint8 if i == 2 else np.uint16), metadata=None, contiguous=False)
    assert "page 3 of" in (text := refused(path))
    assert "another kind" in text


def test_a_file_with_several_images_is_refused(tmp_path: Path, counts: Counts) -> None:
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(counts, photometric="minisblack", metadata={"axes": "ZYX"})
        writer.write(counts[:, :4], photometric="minisblack", metadata={"axes": "ZYX"})
    assert "holds 2 images (ome)" in refused(path)


def test_axes_order_without_planes_is_refused(tmp_path: Path, counts: Counts) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, counts, photometric="minisblack", metadata={"axes": "YXT"})
    assert "save it so that y and x come last" in refused(path)


def test_what_is_no_tiff_is_refused(tmp_path: Path) -> None:
    for name, content in (("a.tif", b""), ("b.png", b"\x89PNG\r\n\x1a\n" + bytes(100)), ("c.tif", b"hello world")):
        path = tmp_path / name
        path.write_bytes(content)
        assert "is not a TIFF file: give a TIFF file" in refused(path)


def test_what_is_missing_or_closed_is_refused(tmp_path: Path) -> None:
    assert "does not exist: check the path" in refused(tmp_path / "nowhere.tif")
    (tmp_path / "a.tif").write_bytes(b"x")
    assert "cannot be read (Not a directory)" in refused(tmp_path / "a.tif" / "b.tif")


def test_a_file_that_may_not_be_read_is_refused(
    tmp_path: Path, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.tif", counts)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", denied)  # tests may run as root, whom no mode keeps out
    assert "may not be read by this user: change its permissions" in refused(path)


@pytest.mark.parametrize(
    ("kind", "contiguous"), [("plain", True), ("plain", False), ("zlib", True), ("zlib", False), ("imagej", True)]
)
def test_a_file_cut_anywhere_is_refused_or_plays_whole_frames(
    tmp_path: Path, counts: Counts, kind: str, contiguous: bool
) -> None:
    path = tmp_path / "whole.tif"
    with tifffile.TiffWriter(path, imagej=kind == "imagej") as writer:
        how = {"compression": "zlib"} if kind == "zlib" else {}
        meta = {} if kind == "imagej" else {"metadata": None}
        if contiguous:
            writer.write(counts, photometric="minisblack", **how, **meta)
        else:
            for plane in counts:
                writer.write(plane, photometric="minisblack", contiguous=False, **how, **meta)
    whole = path.read_bytes()
    cut = tmp_path / "cut.tif"
    with tifffile.TiffFile(path) as tif:
        # After four entries of a page's list, what remains of the file looks like the start of another list.
        inside = {page.aspage().offset + 50 for page in tif.pages if not page.is_virtual}
    refusals: list[str] = []
    step = 17
    for length in sorted({*range(1, len(whole), step), *inside}):
        cut.write_bytes(whole[:length])
        try:
            _, frames = play(cut)
        except SourceError as error:
            refusals.append(str(error))
        else:
            # What follows the last plane (ImageJ's own copy of the list of pages) may be missing.
            assert np.array_equal(frames, counts)
    assert len(refusals) > len(whole) // 2 // step
    assert all(str(cut) in text and "\n" not in text for text in refusals)


@pytest.mark.parametrize(
    "how",
    [
        {"imagej": True},
        {"metadata": None},
        {"metadata": {}},
        {"truncate": True},
        {"metadata": None, "compression": "zlib"},
    ],
    ids=str,
)
def test_a_cut_file_is_refused_when_it_is_opened(tmp_path: Path, counts: Counts, how: dict[str, object]) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.tile(counts, (1, 9, 9)), photometric="minisblack", **how)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceError, match="the file is cut short or damaged: copy it again from its origin"):
        open_source(str(path))


def test_a_set_whose_files_only_look_continuous_is_read_from_each(tmp_path: Path, counts: Counts) -> None:
    uuids = [f"urn:uuid:0000000{i}-0000-0000-0000-000000000000" for i in range(2)]
    places = "".join(
        f'<TiffData FirstT="{t}" FirstZ="0" FirstC="0" IFD="0" PlaneCount="1">'
        f'<UUID FileName="f{t}.ome.tif">{uuid}</UUID></TiffData>'
        for t, uuid in enumerate(uuids)
    )
    offsets = []
    for t, uuid in enumerate(uuids):
        xml = (
            f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuid}">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="32" SizeY="32" '
            f'SizeZ="1" SizeC="1" SizeT="2">{places}</Pixels></Image>{" " * (2048 * t)}</OME>'
        )
        path = write(tmp_path / f"f{t}.ome.tif", np.full((32, 32), t + 1, np.uint16), description=xml)
        with tifffile.TiffFile(path, is_ome=False) as tif:
            offsets.append(tif.pages[0].aspage().dataoffsets[0])
    assert offsets[1] == offsets[0] + 2048  # where the second plane would lie in the first file
    _, frames = play(tmp_path / "f0.ome.tif")
    assert [int(frame.max()) for frame in frames] == [1, 2]


def test_a_damaged_page_is_named_by_the_frame_that_needs_it(tmp_path: Path, counts: Counts) -> None:
    path = write(tmp_path / "a.tif", counts, compression="zlib")
    spoil_page(path, 4)
    text = refused_in_middle(path, good=4)
    assert f"frame 4 cannot be replayed, page 5 of {path} cannot be read" in text
    assert "copy it again" in text


def test_a_damaged_page_spoils_only_the_tiled_frames_that_show_it(tmp_path: Path, counts: Counts) -> None:
    path = write(tmp_path / "a.tif", counts, compression="zlib")
    spoil_page(path, 4)
    source = open_source(str(path), SourceOptions(tile=(12, 5)))  # frame z shows planes z and z + 7 mod 12
    out = np.empty((12, 5), np.uint16)
    for z in range(12):
        if 4 in (z, (z + 7) % 12):
            with pytest.raises(SourceError, match=rf"frame {z} cannot be replayed, page 5 of"):
                source.fill(z, out)
        else:
            source.fill(z, out)
            assert np.array_equal(out, np.concatenate([counts[z], counts[(z + 7) % 12]]))
    source.close()


def test_a_missing_codec_says_what_to_install(tmp_path: Path, counts: Counts) -> None:
    path = write(tmp_path / "a.tif", counts, compression="lzw")
    code = (
        "import sys; sys.modules['imagecodecs'] = None\n"
        "from octostream.acquire.sources.opening import open_source\n"
        "import numpy as np\n"
        f"source = open_source({str(path)!r})\n"
        "source.fill(0, np.empty((6, 5), np.uint16))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    last = ended.stderr.strip().splitlines()[-1]
    assert "SourceError" in last
    assert "page 1 of" in last
    assert 'pip install "octostream[codecs]"' in last


def test_the_reading_library_is_silent_and_the_application_keeps_its_log(
    tmp_path: Path, counts: Counts, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "a.tif", counts)
    path.write_bytes(path.read_bytes()[:700])
    refused(path)
    assert not caplog.records
    logging.getLogger("tifffile").warning("from elsewhere")
    assert [record.message for record in caplog.records] == ["from elsewhere"]
    assert capsys.readouterr() == ("", "")


def refused_in_middle(path: Path, good: int) -> str:
    """Open, play frames 0 … good - 1, and give the error of frame ``good``."""
    source = open_source(str(path))
    out = np.empty(source.plan.frame_shape, np.uint16)
    for number in range(good):
        source.fill(number, out)
    with pytest.raises(SourceError) as caught:
        source.fill(good, out)
    source.close()
    return str(caught.value)


def spoil_page(path: Path, place: int) -> None:
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[place].aspage()
        offset, count = page.dataoffsets[0], page.databytecounts[0]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * count)
