"""Disks that are full, read-only or not there: one clear line, and nothing that was durable is lost."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress

import pytest
from octostream.acquire.spool import Spool
from octostream.acquire.spool_errors import SpoolError, SpoolFullError
from octostream.stream.model import Plan
from octostream.stream.ranges import Ranges

from .spooled import get, make, put

#: Frames of 512 KiB, so that a small disk is full soon.
LARGE = Plan((1000, 1, 1, 512, 512))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 32 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting a small file system is not permitted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)  # a failed test leaves files open


def free(disk):
    status = os.statvfs(disk)
    return status.f_bavail * status.f_frsize


def fill(disk):
    """Write until nothing fits any more, as another program may."""
    with suppress(OSError), (disk / "filler").open("ab", buffering=0) as file:
        while free(disk):
            file.write(bytes(4096))
    assert free(disk) == 0


def put_until_full(spool, first):
    for number in range(first, first + 1000):
        try:
            put(spool, number)
        except SpoolFullError as error:
            return number, error
    return pytest.fail("the small disk is not small")


def test_a_disk_is_filled_up_to_its_reserve_and_used_again(small_disk):
    spool = make(small_disk, plan=LARGE)
    count, error = put_until_full(spool, 0)
    assert "is full: the disk's reserve is reached" in str(error)
    assert error.frames == Ranges(((count, count),))
    assert 40 < count < 64
    assert free(small_disk) >= 32 * 2**20 // 50
    assert spool.sync() == spool.frames == Ranges(((0, count - 1),))
    spool.forget(spool.frames)
    put(spool, count)
    assert spool.sync() == Ranges(((count, count),))
    get(spool, count)
    spool.close()


def test_a_disk_that_others_filled(small_disk):
    """The journal cannot grow either: nothing is reported durable until it can; what was, stays."""
    spool = make(small_disk, plan=LARGE, limit_bytes=20 * 2**20)
    put(spool, 0, 1)
    assert spool.sync() == Ranges(((0, 1),))
    put(spool, 2)
    spool.note_run("r-1", "name", "/store")
    fill(small_disk)
    with pytest.raises(SpoolError, match="No space left on device: free some space"):
        spool.ended("stopped" * 10_000)
    with pytest.raises(SpoolError, match="No space left"):
        spool.sync()
    get(spool, 2)
    spool.close()
    fill(small_disk)
    again = Spool.open(spool.directory)
    assert (again.frames, again.run, again.finished) == (Ranges(((0, 2),)), "r-1", "stopped" * 10_000)
    for number in again.frames:
        get(again, number)
    with pytest.raises(SpoolError):
        again.sync()
    (small_disk / "filler").unlink()
    put(again, 3)
    assert again.sync() == Ranges(((3, 3),))
    again.close()


def test_a_spool_that_does_not_fit_leaves_nothing(small_disk):
    fill(small_disk)
    with pytest.raises(SpoolError, match=r"cannot make a spool in .*: No space left on device: free some space"):
        make(small_disk / "spools")
    assert not list(small_disk.glob("spools/*"))


def test_a_read_only_disk_is_named_and_what_is_there_can_be_listed(small_disk):
    spool = make(small_disk / "spools", plan=LARGE)
    put(spool, 0)
    spool.sync()
    spool.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(SpoolError, match=r"cannot open the spool .*: Read-only file system: mount the disk writable"):
        Spool.open(spool.directory)
    with pytest.raises(SpoolError, match=r"cannot make a spool .*: Read-only file system: mount the disk writable"):
        make(small_disk / "spools")


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SpoolError, match=r"cannot make a spool in .*file"):
        make(tmp_path / "file")
    with pytest.raises(SpoolError, match=r"cannot make a spool in .*Not a directory"):
        make(tmp_path / "file" / "spools")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_directory_that_somebody_removes_under_it(tmp_path):
    spool = make(tmp_path)
    put(spool, 0)
    for path in spool.directory.iterdir():
        path.unlink()
    spool.directory.rmdir()
    with pytest.raises(SpoolError, match="No such file or directory: check that nobody moved or removed it"):
        spool.sync()
    spool.lost([])
    spool.forget([0])
    spool.close()
