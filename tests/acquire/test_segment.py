"""One file of a spool: short writes, file systems without direct I/O, headers that are not what they seem."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from octostream.acquire.segment import Scan, scan, segment_path, segments_of
from octostream.acquire.segment_reader import SegmentReader
from octostream.acquire.segment_writer import SegmentWriter
from octostream.acquire.spool_errors import DamagedFrameError, SpoolError
from octostream.acquire.spool_record import RecordLayout, capacity_of
from octostream.stream.direct_io import PAGE_BYTES, page_memory, write_at
from octostream.stream.model import Frame

from .spooled import frame, pixels

LAYOUT = RecordLayout(126, 7)


def write(path, *numbers, layout=LAYOUT, shape=(9, 7)):
    writer = SegmentWriter(path, layout, 5)
    for number in numbers:
        writer.write(frame(number, shape), pixels(number, shape))
    writer.sync()
    writer.close()
    return writer


def read(path, slot, number, layout=LAYOUT):
    into = page_memory(layout.frame_bytes)
    SegmentReader(layout).read(path, slot, frame(number), into)
    return np.frombuffer(into, np.uint16).reshape(9, 7)


def test_records_lie_at_whole_pages_and_say_what_they_are(tmp_path):
    path = segment_path(tmp_path, 3)
    writer = write(path, 4, 8)
    assert writer.nbytes == path.stat().st_size == 2 * 8192
    os.truncate(path, 5 * 8192)
    found = scan(path, LAYOUT, 5)
    assert found == Scan({0: frame(4), 1: frame(8)}, 0, 5 * 8192, 2 * 8192)
    np.testing.assert_array_equal(read(path, 1, 8), pixels(8))
    assert segments_of(tmp_path) == {3: path}


@pytest.mark.parametrize(
    ("frame_bytes", "stride", "capacity"),
    [
        (2, 8192, 32768),
        (4096, 8192, 32768),
        (4098, 12288, 21845),
        (8 << 20, (8 << 20) + 4096, 31),
        (256 << 20, None, 1),
    ],
)
def test_sizes(frame_bytes, stride, capacity):
    layout = RecordLayout(frame_bytes, 1)
    assert layout.stride == (stride or frame_bytes + PAGE_BYTES)
    assert capacity_of(layout) == capacity


@given(
    number=st.integers(0, 2**64 - 1),
    timestamp_ns=st.integers(-(2**63), 2**63 - 1),
    checksum=st.integers(0, 2**64 - 1),
    at=st.integers(0, 63),
    flip=st.integers(1, 255),
)
def test_a_header_comes_back_or_is_refused(number, timestamp_ns, checksum, at, flip):
    made = Frame(number, timestamp_ns, checksum)
    header = bytearray(LAYOUT.header(made))
    assert len(header) == 64
    assert LAYOUT.frame(bytes(header)) == made
    header[at] ^= flip
    assert LAYOUT.frame(bytes(header)) is None


@given(block=st.binary(max_size=200))
def test_no_other_bytes_are_a_header(block):
    assert LAYOUT.frame(block) is None


@pytest.mark.parametrize("other", [RecordLayout(126, 8), RecordLayout(128, 7)])
def test_records_of_another_run_are_refused(other):
    assert LAYOUT.frame(other.header(frame(1))) is None


@pytest.mark.parametrize("most", [4096, 5000, 9000])
def test_short_writes_are_gone_on_with(tmp_path, monkeypatch, most):
    real = os.pwrite, os.pwritev
    calls = []

    def pwrite(handle, data, offset):
        calls.append(offset)
        return real[0](handle, memoryview(data)[: max(most // 4096 * 4096, 4096)], offset)

    def pwritev(handle, parts, offset):
        calls.append(offset)
        return real[1](handle, [memoryview(parts[0])[:most]], offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    monkeypatch.setattr(os, "pwritev", pwritev)
    layout = RecordLayout(2 * 64 * 64, 7)
    block = np.frombuffer(page_memory(layout.frame_bytes), np.uint16).reshape(64, 64)
    block[:] = pixels(1, (64, 64))
    writer = SegmentWriter(tmp_path / "segment-00000001", layout, 5)
    writer.write(frame(1, (64, 64)), block)
    writer.write(frame(2, (64, 64)), pixels(2, (64, 64)))
    writer.close()
    assert len(calls) > 3
    for slot, number in enumerate((1, 2)):
        into = np.empty((64, 64), np.uint16)
        SegmentReader(layout).read(writer.path, slot, frame(number, (64, 64)), into.data)
        np.testing.assert_array_equal(into, pixels(number, (64, 64)))


@pytest.mark.parametrize("step", [1, 4])
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5), takes=st.lists(st.integers(4, 12), min_size=20))
def test_any_parts_and_any_short_writes_make_the_same_file(step, sizes, takes):
    whole = bytes(range(1, sum(sizes) + 1))
    parts, begin = [], 0
    for size in sizes:
        parts.append(memoryview(whole)[begin : begin + size])
        begin += size
    written = bytearray(len(whole))
    left = iter(takes)

    def pwritev(_handle, buffers, offset):
        assert offset % step == 0
        data = b"".join(buffers)[: next(left)]
        written[offset : offset + len(data)] = data
        return len(data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pwritev", pwritev)
        patch.setattr(os, "pwrite", lambda handle, data, offset: pwritev(handle, [data], offset))
        write_at(0, parts, 0, step)
    assert bytes(written) == whole


def test_a_disk_that_takes_nothing_is_an_error(monkeypatch):
    monkeypatch.setattr(os, "pwrite", lambda *_: 0)
    with pytest.raises(OSError, match="Input/output error"):
        write_at(0, [memoryview(b"abc")], 0)


def without_direct(monkeypatch, *, when):
    """Be a file system that refuses direct I/O: when a file is opened, or only when it is written and read."""
    real_open, real_pwrite, real_preadv = os.open, os.pwrite, os.preadv
    direct = set()

    def open_(path, flags, mode=0o777, **more):
        if flags & os.O_DIRECT and when == "open":
            if flags & os.O_CREAT:
                os.close(real_open(path, flags & ~os.O_DIRECT, mode, **more))
            raise OSError(errno.EINVAL, "Invalid argument")
        handle = real_open(path, flags & ~os.O_DIRECT, mode, **more)
        (direct.add if flags & os.O_DIRECT else direct.discard)(handle)
        return handle

    def refuse(real):
        def call(handle, *arguments):
            if handle in direct:
                raise OSError(errno.EINVAL, "Invalid argument")
            return real(handle, *arguments)

        return call

    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(os, "pwrite", refuse(real_pwrite))
    monkeypatch.setattr(os, "preadv", refuse(real_preadv))


@pytest.mark.parametrize("when", ["open", "use"])
def test_file_systems_without_direct_io_get_ordinary_writes(tmp_path, monkeypatch, when):
    without_direct(monkeypatch, when=when)
    path = tmp_path / "segment-00000001"
    assert not write(path, 1, 2).direct
    np.testing.assert_array_equal(read(path, 1, 2), pixels(2))


def test_room_is_taken_before_it_is_used_and_what_is_left_over_is_given_back(tmp_path):
    writer = SegmentWriter(tmp_path / "segment-00000001", LAYOUT, 5)
    writer.write(frame(1), pixels(1))
    status = writer.path.stat()
    assert writer.nbytes == status.st_size == 5 * 8192 <= status.st_blocks * 512
    writer.close()
    assert writer.nbytes == writer.path.stat().st_size == 8192


def test_what_cannot_be_made_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path / "segment-00000001")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda path: path.unlink(), r"cannot be read \(No such file"),
        (lambda path: (path.unlink(), path.mkdir()), r"cannot be read \(Is a directory|Invalid argument"),
        (lambda path: os.truncate(path, 8192 + 4096 + 125), "is cut off"),
        (lambda path: os.truncate(path, 0), "is cut off"),
        (lambda path: path.write_bytes(path.read_bytes()[:12288] + b"?" + path.read_bytes()[12289:]), "does not match"),
    ],
)
@pytest.mark.parametrize("direct", [True, False])
def test_damage_names_frame_file_and_place(tmp_path, monkeypatch, harm, says, direct):
    if not direct:
        monkeypatch.setattr(os, "O_DIRECT", 0)
    path = tmp_path / "segment-00000001"
    write(path, 4, 8)
    harm(path)
    with pytest.raises(
        DamagedFrameError, match=rf"frame 8 of the spool, segment-00000001 at byte 12288, ({says})"
    ) as error:
        read(path, 1, 8)
    assert list(error.value.frames) == [8]
    assert error.value.remedy


def test_a_process_that_is_hindered_is_not_a_damaged_frame(tmp_path, monkeypatch):
    path = tmp_path / "segment-00000001"
    write(path, 4)

    def refused(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(SpoolError, match=r"cannot read frame 4 .*Too many open files: raise the limit") as error:
        read(path, 0, 4)
    assert not isinstance(error.value, DamagedFrameError)
    with pytest.raises(OSError, match="Too many"):
        scan(path, LAYOUT, 5)


def test_what_is_not_a_file_is_a_damaged_segment(tmp_path):
    (tmp_path / "segment-00000001").mkdir()
    os.mkfifo(tmp_path / "segment-00000002")
    (tmp_path / "segment-00000003").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "segment-00000004.bak").write_text("")
    assert list(segments_of(tmp_path)) == [1, 2, 3]
    for path in segments_of(tmp_path).values():
        assert scan(path, LAYOUT, 5) == Scan({}, 1, 0, 0)


def test_a_huge_file_is_not_looked_through(tmp_path):
    path = tmp_path / "segment-00000001"
    write(path, 1)
    os.truncate(path, 2**40)
    assert scan(path, LAYOUT, 5).frames == {0: frame(1)}
