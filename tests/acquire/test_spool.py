"""A spool keeps what it was given, in any order of doing, and comes back after its process has ended."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from octostream.acquire.spool import Spool
from octostream.acquire.spool_errors import SpoolError, SpoolFullError
from octostream.stream.errors import UsageError
from octostream.stream.model import Loss, Plan
from octostream.stream.ranges import Ranges

from .spooled import PLAN, STRIDE, TO, frame, get, make, opening, pixels, put


@pytest.fixture
def spool(tmp_path):
    made = make(tmp_path / "state" / "spool")
    yield made
    made.close()


@pytest.fixture
def small_segments(monkeypatch):
    """Four records a segment."""
    monkeypatch.setattr("octostream.acquire.spool_record.SEGMENT_BYTES", 4 * STRIDE)


def segments(spool):
    return sorted(p.name for p in spool.directory.glob("segment-*"))


def test_what_was_appended_can_be_read_and_becomes_durable_when_synced(spool):
    assert (spool.frames, spool.used_bytes, spool.limit_bytes) == (Ranges(), 0, 2**30)
    put(spool, 3, 4, 9)
    assert spool.frames == Ranges(((3, 4), (9, 9)))
    get(spool, 9)
    assert spool.sync() == Ranges(((3, 4), (9, 9)))
    assert spool.sync() == Ranges()
    put(spool, 10)
    assert spool.sync() == Ranges(((10, 10),))
    for number in spool.frames:
        get(spool, number)


def test_all_that_was_known_is_known_after_opening_again(spool):
    put(spool, 0, 1)
    spool.note_run("r-1", "embryo-7", "/data/local/embryo-7.ome.zarr")
    spool.lost([Loss(5, 7, "agent", "dropped: the spool is full")])
    assert spool.finished is None
    spool.ended("stopped by the operator")
    spool.sync()
    spool.close()
    again = Spool.open(spool.directory)
    assert (again.run, again.name, again.store) == ("r-1", "embryo-7", "/data/local/embryo-7.ome.zarr")
    assert again.losses == (Loss(5, 7, "agent", "dropped: the spool is full"),)
    assert (again.finished, again.to, again.limit_bytes) == ("stopped by the operator", TO, 2**30)
    assert again.opening == opening()
    assert bytes(again.opening.payload) == opening().payload
    assert (again.frames, again.id) == (Ranges(((0, 1),)), spool.id)
    for number in again.frames:
        get(again, number)
    put(again, 2)
    assert again.sync() == Ranges(((2, 2),))
    again.close()


def test_frames_that_were_not_durable_yet_are_kept_if_they_are_whole(spool):
    put(spool, 0, 1)
    spool.sync()
    put(spool, 2, 3)
    spool.close()
    again = Spool.open(spool.directory)
    assert again.frames == Ranges(((0, 3),))
    assert again.sync() == Ranges(((2, 3),))
    again.close()


@pytest.mark.usefixtures("small_segments")
def test_space_comes_back_as_soon_as_a_segment_is_forgotten(spool):
    put(spool, *range(10))
    spool.sync()
    assert spool.used_bytes == 12 * STRIDE == sum(p.stat().st_size for p in spool.directory.glob("segment-*"))
    spool.forget([0, 1, 2, 3, 777])
    assert len(segments(spool)) == 2
    assert spool.used_bytes == 8 * STRIDE
    spool.forget([4, 6, 7, 8, 9])
    assert (spool.frames, len(segments(spool))) == (Ranges(((5, 5),)), 2)
    put(spool, 10, 11, 12)
    spool.sync()
    assert len(segments(spool)) == 3
    spool.close()
    again = Spool.open(spool.directory)
    assert (again.frames, again.losses) == (Ranges(((5, 5), (10, 12))), ())
    assert len(segments(again)) == 3
    again.forget(again.frames)
    assert (segments(again), again.used_bytes) == ([], 0)
    again.close()


def test_a_killed_process_leaves_no_room_unused(spool):
    """What was taken beforehand and never written is given back when the spool is opened."""
    put(spool, 0, 1, 2)
    spool.sync()
    directory = spool.directory.with_name("copy")
    shutil.copytree(spool.directory, directory)
    assert sum(p.stat().st_size for p in directory.glob("segment-*")) == spool.used_bytes > 100 * STRIDE
    again = Spool.open(directory)
    assert again.used_bytes == 3 * STRIDE == sum(p.stat().st_size for p in directory.glob("segment-*"))
    assert again.frames == Ranges(((0, 2),))
    put(again, 3)
    assert again.sync() == Ranges(((3, 3),))
    again.close()
    assert again.used_bytes == 4 * STRIDE


@pytest.mark.usefixtures("small_segments")
def test_a_full_spool_takes_nothing_and_takes_more_when_there_is_room(tmp_path):
    spool = make(tmp_path, limit_bytes=6 * STRIDE + 5000)
    put(spool, *range(6))
    for _ in range(2):
        with pytest.raises(SpoolFullError, match="is full: its limit is reached: there is room again") as error:
            put(spool, 6)
        assert error.value.frames == Ranges(((6, 6),))
    assert spool.sync() == Ranges(((0, 5),))
    assert spool.used_bytes == 6 * STRIDE <= spool.limit_bytes
    assert spool.frames == Ranges(((0, 5),))
    spool.forget(range(4))
    put(spool, 6, 7, 8, 9)
    with pytest.raises(SpoolFullError):
        put(spool, 10)
    assert spool.sync() == Ranges(((6, 9),))
    spool.close()


def test_a_spool_that_holds_no_frame_is_refused(tmp_path):
    with pytest.raises(UsageError, match=f"holds no frame: give it {STRIDE} bytes at least"):
        make(tmp_path, limit_bytes=STRIDE - 1)
    assert not list(tmp_path.iterdir())


def test_a_lost_frame_waits_no_more(spool):
    put(spool, 0, 1, 2)
    spool.sync()
    spool.lost([Loss(1, 1, "spool", "damaged"), Loss(2, 2, "spool", "damaged"), Loss(9, 9, "agent", "dropped")])
    assert spool.frames == Ranges(((0, 0),))
    spool.close()
    again = Spool.open(spool.directory)
    assert again.frames == Ranges(((0, 0),))
    assert again.losses == (Loss(1, 2, "spool", "damaged"), Loss(9, 9, "agent", "dropped"))
    again.close()


def test_a_frame_that_is_not_there_is_named(spool):
    with pytest.raises(SpoolError, match=f"frame 5 is not in the spool {spool.id}"):
        spool.read(5, np.empty((9, 7), np.uint16).data)
    with pytest.raises(SpoolError, match="frame 5 is not"):
        spool.frame(5)


@pytest.mark.parametrize("shape", [(1, 1), (9, 7), (64, 32), (64, 33), (128, 96)])
@pytest.mark.parametrize("direct", [True, False])
def test_frames_of_any_size_and_place_in_memory(tmp_path, shape, direct, monkeypatch):
    if not direct:
        monkeypatch.setattr(os, "O_DIRECT", 0)
    spool = make(tmp_path, plan=Plan((50, 1, 1, *shape)))
    nbytes = 2 * shape[0] * shape[1]
    memory = np.zeros(nbytes + 8192, np.uint8)
    at_page = -memory.ctypes.data % 4096
    rows = np.zeros((shape[0] * 2, shape[1] * 3), np.uint16)[::2, ::3]
    for number, begin in enumerate((at_page, at_page + 2, at_page + 512)):
        ring = memory[begin : begin + nbytes].view(np.uint16).reshape(shape)
        ring[:] = pixels(number, shape)
        spool.append(frame(number, shape), ring)
    rows[:] = pixels(3, shape)
    spool.append(frame(3, shape), rows)
    assert spool.sync() == Ranges(((0, 3),))
    for number in range(4):
        get(spool, number)
        for begin in (at_page, at_page + 2):
            into = memory[begin : begin + nbytes]
            into[:] = 1
            spool.read(number, into.data)
            np.testing.assert_array_equal(into.view(np.uint16).reshape(shape), pixels(number, shape))
    spool.close()


def test_files_are_private_because_the_token_is_a_secret(spool):
    put(spool, 0)
    spool.sync()
    assert stat.S_IMODE(spool.directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(spool.directory.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in spool.directory.iterdir()} == {0o600}
    assert opening().token[:6] not in spool.id


def test_one_process_owns_a_spool(spool):
    with pytest.raises(SpoolError, match=rf"{spool.id} is in use by process {os.getpid()}: wait"):
        Spool.open(spool.directory)
    code = "import pathlib, sys\nfrom octostream.acquire.spool import Spool\nSpool.open(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(spool.directory)]
    other = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert f"is in use by process {os.getpid()}" in other.stderr.splitlines()[-1]
    put(spool, 1)
    spool.close()
    spool.close()
    Spool.open(spool.directory).close()


def test_a_path_that_is_no_spool_is_left_alone(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    for path in (tmp_path, tmp_path / "note.txt", tmp_path / "nothing"):
        with pytest.raises(SpoolError, match="is no spool: see `octostream spool list`"):
            Spool.open(path)
    assert [p.name for p in tmp_path.iterdir()] == ["note.txt"]


def test_discarding_leaves_nothing(spool):
    put(spool, 0)
    spool.sync()
    spool.discard()
    assert not spool.directory.exists()
    with pytest.raises(SpoolError, match="is no spool"):
        Spool.open(spool.directory)


@pytest.mark.usefixtures("small_segments")
def test_one_thread_writes_while_another_reads_and_forgets(tmp_path):
    """The reader is never given anything but the frame it asks for, and all space comes back."""
    spool = make(tmp_path)
    count, done = 300, 0

    def write():
        for number in range(count):
            put(spool, number)
            if number % 7 == 6:
                spool.sync()

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        while not writing.done() or spool.frames.spans:
            for number in spool.frames:
                get(spool, number)
                spool.forget([number])
                done += 1
        writing.result()
    assert done == count
    put(spool, *range(count, count + 5))
    spool.forget(spool.frames)
    assert len(segments(spool)) <= 1
    spool.close()
    again = Spool.open(spool.directory)
    assert (again.frames, again.losses, segments(again)) == (Ranges(), (), [])
    again.close()


def test_the_plan_decides_what_a_record_is(tmp_path):
    """A segment of another run in this one's folder is not taken for its own."""
    one, other = make(tmp_path / "a"), make(tmp_path / "b", plan=PLAN)
    put(one, 0, 1)
    one.sync()
    one.close()
    other.close()
    foreign = Spool.create(tmp_path / "c", opening().__class__(**{**vars(opening()), "token": "another"}), TO, 2**30)
    put(foreign, 7)
    foreign.sync()
    foreign.close()
    (foreign.directory / "segment-00000001").rename(one.directory / "segment-00000002")
    again = Spool.open(one.directory)
    assert again.frames == Ranges(((0, 1),))
    assert again.losses == ()
    assert len(segments(again)) == 2
    again.close()
