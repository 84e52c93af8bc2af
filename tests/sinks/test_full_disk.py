"""Disks that are full, read-only or gone: one clear line, nothing torn, and the same call works once there is room."""

from __future__ import annotations

import errno
import os
import subprocess

import pytest
from octostream.sinks.commits import recorded_blocks
from octostream.sinks.disk import check_space, free_bytes, readable
from octostream.sinks.failure import failure
from octostream.sinks.keeper import StoreKeeper
from octostream.sinks.registry import Registry
from octostream.sinks.verify import verify
from octostream.stream.errors import NoSpaceError, StoreError
from octostream.stream.report import RunReport


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting a small file system is not permitted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def fill(disk) -> None:
    with (disk / "filler").open("wb", buffering=0) as file:
        for _ in range(10_000):
            try:
                file.write(bytes(4096))
            except OSError as error:
                assert error.errno == errno.ENOSPC  # noqa: PT017
                return
    pytest.fail("the small disk is not small")


def test_a_full_disk_stops_and_goes_on_when_there_is_room(acquire, small_disk):
    made = acquire(small_disk, (3, 1, 4, 256, 256), rate_hz=4.0, bits=16)
    keeper, writer = made.keeper(), made.writer()
    made.record(writer, 0)
    keeper.publish([0])
    fill(small_disk)
    with pytest.raises(NoSpaceError, match=r"cannot write block 1 .*no space left") as error:
        made.record(writer, 1)
    assert "\n" not in str(error.value)
    with pytest.raises(NoSpaceError, match="commit record of block 1"):
        writer.commit(made.commit(1))
    assert recorded_blocks(made.store) == [0]
    report = verify(made.store)
    assert report.ok, report.problems
    assert not list((made.store / ".octostream" / "commits").glob(".*"))

    assert not [file for file in made.store.rglob("*") if file.name.endswith((".tmp", ".__lock"))]

    (small_disk / "filler").unlink()
    for number in (1, 2):
        made.record(writer, number)
    fill(small_disk)
    with pytest.raises(NoSpaceError):
        keeper.publish([1, 2])
    with pytest.raises(NoSpaceError):
        keeper.seal([])
    (small_disk / "filler").unlink()
    assert not keeper.publish([1, 2])  # closed to all but sealing
    assert keeper.seal([]).status == "complete"
    assert verify(made.store).ok


def test_publishing_goes_on_after_a_full_disk(acquire, small_disk):
    made = acquire(small_disk, (2, 1, 4, 64, 64), rate_hz=2.0)
    keeper, writer = made.keeper(), made.writer()
    for block in made.plan.blocks:
        made.record(writer, block.number)
    fill(small_disk)
    with pytest.raises(NoSpaceError):
        keeper.publish(range(4))
    (small_disk / "filler").unlink()
    assert keeper.publish([])
    assert keeper.seal([]).status == "complete"
    assert verify(made.store).ok


def test_a_store_that_does_not_fit_leaves_nothing(acquire, small_disk):
    made = acquire(small_disk)
    fill(small_disk)
    with pytest.raises(NoSpaceError, match="cannot create the store"):
        made.keeper()
    assert not list(small_disk.glob("*/*"))


def test_a_read_only_disk_is_named(acquire, small_disk):
    made = acquire(small_disk)
    made.keeper()
    writer = made.writer()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StoreError, match=r"Read-only file system: mount the disk writable"):
        writer.write(made.plan.blocks[0], made.parts(0))
    with pytest.raises(StoreError, match=r"Read-only file system: mount the disk writable"):
        writer.commit(made.commit(0))
    with pytest.raises(StoreError, match=r"Read-only file system"):
        StoreKeeper.reopen(made.store).seal([])


def test_a_registry_on_a_full_disk_says_so(small_disk):
    registry = Registry(small_disk / "runs.sqlite3")
    fill(small_disk)
    run = RunReport("r1", "a", "local", "/s", "x" * 200_000, "lightsheet", "recording", (1, 1, 1, 1, 1), 1)
    with pytest.raises(NoSpaceError, match="no space left"):
        registry.add(run)
    (small_disk / "filler").unlink()
    registry.add(run)
    assert registry.get("r1") == run
    registry.close()


def test_a_folder_replaced_by_a_file_is_named(acquire, tmp_path):
    made = acquire(tmp_path)
    made.keeper()
    writer = made.writer()
    (made.store / "0" / "c").write_text("")
    with pytest.raises(StoreError, match="Not a directory"):
        writer.write(made.plan.blocks[0], made.parts(0))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EMFILE])
def test_failures_of_python_and_tensorstore_read_alike(code):
    by_python = failure("write x", OSError(code, os.strerror(code)))
    by_tensorstore = failure("write x", ValueError(f"FAILED: \"x\": {os.strerror(code)} [os_error_code='{code}']"))
    assert str(by_python) == str(by_tensorstore)
    assert isinstance(by_python, NoSpaceError) == (code in (errno.ENOSPC, errno.EDQUOT))
    assert by_python.remedy


def test_a_failure_without_a_number_keeps_its_first_line():
    assert str(failure("read x", ValueError("Digest mismatch\nmore"))) == (
        "cannot read x: Digest mismatch: run octostream verify on the store"
    )


def test_space_is_checked_with_need_and_free_named(tmp_path):
    free, total = free_bytes(tmp_path)
    assert 0 < free <= total
    check_space(tmp_path, 0, 0)
    with pytest.raises(NoSpaceError, match=r"free, the run needs .* 1 GB stay in reserve"):
        check_space(tmp_path, total, 10**9)
    with pytest.raises(StoreError, match="No such file"):
        free_bytes(tmp_path / "nowhere")
    assert [readable(n) for n in (0, 999, 1500, 2 * 10**12)] == ["0 bytes", "999 bytes", "1.5 kB", "2 TB"]
