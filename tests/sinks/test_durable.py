"""What is told as durable is durable: which folders are synced, and what is left when a sync fails."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
from octostream.sinks import creation, durable, sealfile
from octostream.sinks.commits import record_file
from octostream.sinks.durable import make_folders, sync_above, write_durably
from octostream.sinks.keeper import StoreKeeper
from octostream.sinks.layout import commits_folder, shard_file
from octostream.sinks.sealfile import close_to_writers, is_closed
from octostream.sinks.verify import verify
from octostream.stream.errors import StoreError
from octostream.stream.model import Loss


@pytest.fixture
def synced(monkeypatch):
    """The folders that were synced, in order, and those whose sync shall fail."""
    done, failing = [], set()
    really = durable.sync

    def sync(folder):
        if folder in failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        really(folder)
        done.append(folder)

    for module in (durable, creation, sealfile):
        monkeypatch.setattr(module, "sync", sync)
    sync.done, sync.failing = done, failing
    return sync


def test_the_whole_way_to_a_shard_is_synced(acquire, tmp_path, synced):
    made = acquire(tmp_path)
    made.keeper()
    writer = made.writer()
    synced.done.clear()
    made.record(writer, 0)
    for product in made.products:
        shard = shard_file(made.store, made.plan, product, made.plan.blocks[0])
        array = next(folder for folder in shard.parents if (folder / "zarr.json").exists())
        way = [folder for folder in shard.parents if folder.is_relative_to(array)][1:]
        assert set(way) <= set(synced.done), product.path


def test_the_way_to_a_merged_projection_is_synced(acquire, tmp_path, synced):
    made = acquire(tmp_path, (1, 1, 6, 10, 14), rate_hz=3.0)
    keeper, writer = made.keeper(), made.writer()
    for block in made.plan.blocks:
        made.record(writer, block.number)
    synced.done.clear()
    keeper.publish([0, 1])
    array = made.store / "projections" / "xy" / "0"
    assert {array, array / "c", array / "c" / "0", array / "c" / "0" / "0"} <= set(synced.done)


def test_above_means_up_to_the_top(tmp_path, synced):
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    sync_above(tmp_path / "a" / "b" / "c" / "file", tmp_path)
    assert synced.done == [tmp_path / "a" / "b", tmp_path / "a", tmp_path]


def test_a_folder_that_could_not_be_synced_is_not_left_for_durable(tmp_path, synced):
    synced.failing.add(tmp_path / "a")
    with pytest.raises(OSError, match="Input/output"):
        make_folders(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    synced.failing.clear()
    make_folders(tmp_path / "a" / "b")
    assert {tmp_path, tmp_path / "a"} <= set(synced.done)
    synced.done.clear()
    make_folders(tmp_path / "a" / "b")
    assert synced.done == [tmp_path / "a"]


def test_a_store_whose_name_could_not_be_synced_is_not_there(acquire, tmp_path, synced):
    made = acquire(tmp_path)
    made.store.parent.mkdir()
    synced.failing.add(made.store.parent)
    with pytest.raises(StoreError, match="cannot create the store"):
        made.keeper()
    assert list(made.store.parent.iterdir()) == []
    synced.failing.clear()
    made.keeper()


def test_the_mark_of_a_closed_store_is_synced_again(acquire, tmp_path, synced):
    made = acquire(tmp_path)
    made.keeper()
    folder = made.store / ".octostream"
    synced.failing.add(folder)
    with pytest.raises(OSError, match="Input/output"):
        close_to_writers(made.store)
    synced.failing.clear()
    synced.done.clear()
    close_to_writers(made.store)
    assert synced.done == [folder]


def test_records_are_settled_before_they_count(acquire, tmp_path, monkeypatch):
    """A worker that was killed between the record's name and its sync leaves a record that a power cut can take."""
    made = acquire(tmp_path)
    made.keeper()
    made.record(made.writer(), 0)
    seen = []
    monkeypatch.setattr("octostream.sinks.commits.sync", seen.append)
    assert StoreKeeper.reopen(made.store).committed().keys() == {0}
    assert seen == [commits_folder(made.store)]


def test_what_is_removed_is_removed_for_good(acquire, tmp_path, synced):
    made = acquire(tmp_path, rate_hz=4.0)
    keeper, writer = made.keeper(), made.writer()
    made.record(writer, 0)
    writer.write(made.plan.blocks[1], made.parts(1))
    shards = [shard_file(made.store, made.plan, product, made.plan.blocks[1]) for product in made.products]
    synced.done.clear()
    keeper.seal([])
    assert not any(shard.exists() for shard in shards)
    assert {shard.parent for shard in shards} <= set(synced.done)


def test_half_a_projection_does_not_come_back_after_a_power_cut(acquire, tmp_path, synced):
    """It would pass for the projection of the whole stack, and the frames still to come would not be in it."""
    made = acquire(tmp_path, (1, 1, 6, 10, 14), rate_hz=3.0)
    keeper = made.keeper()
    made.record(made.writer(), 0)
    keeper.seal([Loss(3, 5, "agent", "the agent was silent")])
    shard = made.store / "projections" / "xy" / "0" / "c" / "0" / "0" / "0" / "0"
    assert shard.exists()
    synced.done.clear()
    keeper.unseal()
    assert not shard.exists()
    assert shard.parent in synced.done


def test_a_seal_that_ends_while_parts_are_removed_can_be_repeated(acquire, tmp_path, monkeypatch):
    """Of the parts that were left, another seal would make a projection of some of the frames only."""
    made = acquire(tmp_path, (1, 1, 6, 10, 14), rate_hz=3.0)
    keeper, writer = made.keeper(), made.writer()
    for block in made.plan.blocks:
        made.record(writer, block.number)
    really = shutil.rmtree

    def cut_short(folder, *arguments, **options):
        os.stat(folder)
        next(Path(folder).rglob("*.npy")).unlink()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(shutil, "rmtree", cut_short)
    with pytest.raises(StoreError, match="Input/output"):
        keeper.seal([])
    monkeypatch.setattr(shutil, "rmtree", really)
    assert keeper.seal([]).status == "complete"
    report = verify(made.store)
    assert report.ok, report.problems
    assert not [
        file for file in (made.store / ".octostream").rglob("*") if file.suffix == ".npy" and "maps" not in file.parts
    ]


def test_what_lies_under_a_damaged_record_is_named_and_not_removed(acquire, tmp_path):
    """A bit of the record has flipped; the agent let go of these frames long ago."""
    made = acquire(tmp_path, rate_hz=4.0)
    keeper, writer = made.keeper(), made.writer()
    for block in made.plan.blocks:
        made.record(writer, block.number)
    record = record_file(made.store, 1)
    record.write_bytes(record.read_bytes().replace(b"1000", b"1001", 1))
    ledger = keeper.seal([])
    assert ledger.losses == (Loss(4, 7, "store", "the commit record is damaged"),)
    for product in made.products:
        assert shard_file(made.store, made.plan, product, made.plan.blocks[1]).exists()
    assert any("record of block 1 is damaged" in problem for problem in verify(made.store).problems)


def test_the_first_failure_is_told_when_cleaning_up_fails_too(tmp_path, monkeypatch):
    def failing(code):
        def fail(*_, **__):
            raise OSError(code, os.strerror(code))

        return fail

    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    monkeypatch.setattr(Path, "unlink", failing(errno.EROFS))
    with pytest.raises(OSError, match="No space left"):
        write_durably(tmp_path / "file", b"x")
    assert not (tmp_path / "file").exists()


def test_permissions_of_a_durable_file(tmp_path):
    write_durably(tmp_path / "secret", b"x", mode=0o600)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_disk_that_does_not_answer_is_a_store_error(acquire, tmp_path, monkeypatch):
    """Anything else would end the thread that writes, without a word."""
    made = acquire(tmp_path)
    made.keeper()
    writer = made.writer()

    def fail(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "exists", fail)
    for call in (
        lambda: is_closed(made.store),
        lambda: writer.write(made.plan.blocks[0], made.parts(0)),
        lambda: writer.commit(made.commit(0)),
    ):
        with pytest.raises(StoreError, match="Input/output error"):
            call()


def test_a_record_that_another_worker_wrote_is_settled_before_it_counts(acquire, tmp_path, monkeypatch):
    made = acquire(tmp_path)
    made.keeper()
    writer = made.writer()
    made.record(writer, 0)
    seen = []
    monkeypatch.setattr("octostream.sinks.commits.sync", seen.append)
    assert writer.committed(0) == made.commit(0, stored_bytes=writer.committed(0).stored_bytes)
    assert set(seen) == {commits_folder(made.store)}
