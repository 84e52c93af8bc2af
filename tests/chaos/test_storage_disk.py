"""The disk that fails keeps its own rules: without them the campaign would prove nothing."""

from __future__ import annotations

import errno
import os

import pytest
from octostream.sinks.durable import sync

from .faultdisk import PAGE, FaultDisk, File, Folder, Survivors


def written(disk, path, data, *, synced=True):
    file = File()
    disk.create(path, file)
    file.write(0, data)
    if synced:
        file.sync()
    return file


def content(disk, path):
    return bytes(disk.file(path).data)


def test_a_file_is_there_once_its_bytes_and_its_name_are_synced():
    disk = FaultDisk()
    for name, bytes_synced in (("both", True), ("name", False)):
        written(disk, name, b"x" * 10, synced=bytes_synced)
    disk.sync_names(disk.root)
    written(disk, "bytes", b"y", synced=True)
    disk.cut(Survivors())
    assert sorted(disk.root.names) == ["both", "name"]
    assert content(disk, "both") == b"x" * 10
    assert content(disk, "name") == b""


def test_a_folder_needs_a_sync_of_the_one_above():
    disk = FaultDisk()
    disk.create("a", Folder())
    disk.create("a/b", Folder())
    written(disk, "a/b/c", b"z")
    for path in ("a/b", "a"):
        disk.sync_names(disk.folder(path))
    disk.cut(Survivors())
    assert not disk.root.names


def test_a_rename_is_there_or_not_but_never_half():
    for share in (0.0, 0.5, 1.0):
        disk = FaultDisk()
        written(disk, "old", b"1")
        disk.sync_names(disk.root)
        written(disk, "new.tmp", b"2")
        disk.rename("new.tmp", "old")
        disk.cut(Survivors(names=share))
        assert content(disk, "old") == (b"2" if share == 1.0 else b"1")


def test_a_rename_between_folders_is_synced_on_both_sides():
    disk = FaultDisk()
    for name in ("a", "b"):
        disk.create(name, Folder())
    written(disk, "a/x", b"1")
    disk.sync_names(disk.root)
    disk.rename("a/x", "b/x")
    disk.sync_names(disk.folder("b"))
    disk.cut(Survivors())
    assert content(disk, "b/x") == b"1"
    assert not disk.folder("a").names


def test_a_sync_that_failed_has_dropped_its_bytes():
    disk = FaultDisk()
    file = written(disk, "f", b"lost" * 2000, synced=False)
    disk.sync_names(disk.root)
    file.sync_failed()
    file.sync()
    disk.cut(Survivors())
    assert content(disk, "f") == bytes(8000)
    file = disk.file("f")
    file.write(0, b"kept" * 2000)
    file.sync()
    disk.cut(Survivors())
    assert content(disk, "f") == b"kept" * 2000


@pytest.mark.parametrize("data", ["half", "some", "all"])
def test_of_what_was_not_synced_a_part_may_last(data):
    whole = bytes(range(1, 251)) * 200
    seen = set()
    for seed in range(20):
        disk = FaultDisk()
        written(disk, "f", whole, synced=False)
        disk.cut(Survivors(names=1.0, data=data, seed=seed))
        left = content(disk, "f")
        assert len(left) <= len(whole)
        for page in range(0, len(left), PAGE):
            part, right = left[page : page + PAGE], whole[page : page + PAGE]
            kept = sum(a == b for a, b in zip(part, right, strict=False))
            assert kept in (0, len(part)) or (data == "half" and page + PAGE >= len(left))
        seen.add(left)
    assert (len(seen) > 5) == (data == "some")
    assert (whole in seen) == (data == "all")


def test_what_was_removed_comes_back_until_that_is_synced():
    disk = FaultDisk()
    written(disk, "f", b"1")
    disk.sync_names(disk.root)
    disk.unlink("f")
    disk.cut(Survivors())
    assert content(disk, "f") == b"1"
    disk.unlink("f")
    disk.sync_names(disk.root)
    disk.cut(Survivors())
    assert not disk.root.names


def test_shrinking_and_growing_again_leaves_zeros():
    disk = FaultDisk()
    file = written(disk, "f", b"x" * 9000)
    disk.sync_names(disk.root)
    file.truncate(10)
    file.truncate(9000)
    file.sync()
    disk.cut(Survivors())
    assert content(disk, "f") == b"x" * 10 + bytes(8990)


def test_a_mounted_disk_obeys(fault_disk, tmp_path):
    disk = fault_disk()
    (disk.path / "a").mkdir()
    sync(disk.path)
    with (disk.path / "a" / "f").open("wb", buffering=0) as file:
        disk.arm({"operations": ["write"], "at": 2, "short": True})
        assert (file.write(b"12345678"), file.write(b"12345678")) == (8, 4)
        os.fsync(file.fileno())
        sync(disk.path / "a")
        disk.arm({"operations": ["fsync"], "error": "EIO"}, {"operations": ["write"], "error": "ENOSPC", "at": 2})
        file.write(b"lost")
        with pytest.raises(OSError) as failed:
            os.fsync(file.fileno())
        assert failed.value.errno == errno.EIO
        os.fsync(file.fileno())
        with pytest.raises(OSError) as full:
            file.write(b"more")
        assert full.value.errno == errno.ENOSPC
    assert disk.fired == 2
    disk.flip(disk.path / "a" / "f", 0)
    (disk.path / "gone").mkdir()
    assert [operation for operation, _ in disk.done].count("mkdir") == 2
    disk.cut()
    with pytest.raises(OSError):
        (disk.path / "b").mkdir()
    left = disk.save(tmp_path / "left")
    assert [path.name for path in left.iterdir()] == ["a"]
    assert (left / "a" / "f").read_bytes() == b"023456781234" + bytes(4)
