"""From damage of any kind to a consistent store: what can be made again is, all else is kept aside and named."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from octostream.sinks import frames_table
from octostream.sinks.commits import record_file
from octostream.sinks.keeper import StoreKeeper
from octostream.sinks.layout import array_path
from octostream.sinks.reading import read_ledger
from octostream.sinks.recover import recover
from octostream.sinks.verify import verify
from octostream.stream.errors import StoreError, UsageError
from octostream.stream.model import Loss

from .damaged import PLANS, PlainReduction, again, flip, holds, no_reduction, record_all, shard, shard_name, tree

# --- damage ------------------------------------------------------------------------------------------------------

ways = st.sampled_from(["flip", "flip", "flip", "truncate", "zero", "delete", "add", "another's"])


def damage(store, file, how, data):
    good = file.read_bytes()
    # Drawn in any case, and not by what is on the disk: the same draws must mean the same to every run.
    at, bit = data.draw(st.integers(0, 2**32 - 1), label="at"), data.draw(st.integers(0, 7), label="bit")
    match how:
        case "flip" if good:
            bad = bytearray(good)
            bad[at % len(good)] ^= 1 << bit
            file.write_bytes(bad)
        case "truncate":
            # More than the last line's end, which means nothing in JSON.
            file.write_bytes(good[: at % max(1, len(good.rstrip()))])
        case "zero":
            file.write_bytes(bytes(len(good)))
        case "delete":
            file.unlink()
        case "add":
            file.with_name("9" + file.name).write_bytes(good)
        case "another's":
            others = sorted(f for f in store.rglob(file.name) if f.is_file())
            file.write_bytes(others[at % len(others)].read_bytes())


def cost(made, name, how):
    """Give the frames that damage to one file may cost at most, where the frames cannot be reduced again."""
    if how == "add" or not name.startswith(("0/c", "raw/0/c")):
        return set()
    return {n for b in made.plan.blocks for p in made.products if name == shard_name(made, p, b) for n in b.frames}


def ours(made, name):
    """Tell whether a file lies in a folder in which nobody else has any business."""
    own = [array_path(p) for p in made.products] + [f"frames/{c}" for c in frames_table.COLUMNS]
    return name.startswith(tuple(f"{folder}/" for folder in (*own, ".octostream/commits")))


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(PLANS)), st.booleans(), ways, st.data())
def test_any_damage_is_noticed_and_costs_only_what_it_hit(stores, ram, plan, raw, how, data):
    check_damage(stores[plan, raw], ram, how, data)


def check_damage(made, ram, how, data):
    """Damage one file of a store: it is noticed, and recovery gives up no more than what it hit."""
    with tempfile.TemporaryDirectory(dir=ram) as folder:
        store = Path(shutil.copytree(made.store, Path(folder) / "copy.ome.zarr"))
        good = tree(store)
        # The run's own description needs its recipe, and is tested where recipes are; maps are seen by no reader.
        names = [n for n in sorted(good) if n not in (".octostream/run.json", ".octostream/closed")]
        name = data.draw(st.sampled_from(names), label="file")
        event(f"{how} {name.split('/')[0]}")
        damage(store, store / name, how, data)
        damaged = tree(store)
        report = verify(store)
        seen = not (name.startswith(".octostream/maps") and how == "delete") and (how != "add" or ours(made, name))
        seen &= name != "provenance.json"  # a note for people, which nothing is made from or compared with
        assert report.ok == (damaged == good or not seen), report.problems
        report = recover(store, no_reduction)
        lost = set(read_ledger(store).lost)
        assert lost <= cost(made, name, how)
        holds(made, store, set(range(made.plan.frames)) - lost)
        assert all(loss.where == "store" and "damaged" in loss.why for loss in report.losses)
        assert report.ok == (not lost and not report.quarantined)
        kept = {store / ".octostream" / "quarantine" / n for n in report.quarantined}
        assert all(f.is_file() for f in kept)
        if lost or (
            seen and damaged != good and how != "delete" and not name.endswith("zarr.json") and "frames/" not in name
        ):
            changed = next((n for n in damaged if damaged[n] != good.get(n)), None)
            assert changed is None or damaged[changed] in [f.read_bytes() for f in kept]
        again(store)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(sorted(PLANS)), st.booleans(), st.integers(2, 5), st.data())
def test_much_damage_at_once_ends_in_a_consistent_store(stores, ram, plan, raw, count, data):
    made = stores[plan, raw]
    with tempfile.TemporaryDirectory(dir=ram) as folder:
        store = Path(shutil.copytree(made.store, Path(folder) / "copy.ome.zarr"))
        for _ in range(count):
            names = [n for n in sorted(tree(store)) if n != ".octostream/run.json"]
            damage(store, store / data.draw(st.sampled_from(names), label="file"), data.draw(ways, label="how"), data)
        report = recover(store, no_reduction)
        stored = set(range(made.plan.frames)) - set(read_ledger(store).lost)
        assert verify(store).ok
        assert report.frames_stored == len(stored)
        if not any(name.startswith(".octostream/commits") for name in report.quarantined):
            holds(made, store, stored)
        again(store)


@pytest.mark.parametrize("path", ["1", "projections/xy", "projections/xz", "projections/yz"])
@pytest.mark.parametrize("plan", sorted(PLANS))
def test_what_follows_from_level_0_is_made_again_to_the_bit(stores, copy, plan, path):
    made = stores[plan, False]
    store = copy(made)
    flip(shard(made, store, path))
    report = recover(store, no_reduction)
    assert (report.status, report.frames_lost, len(report.quarantined)) == ("complete", 0, 1)
    assert not report.ok  # somebody should look at the disk
    shutil.rmtree(store / ".octostream" / "quarantine")
    assert tree(store) == tree(made.store)
    assert recover(store, no_reduction).ok


@pytest.mark.parametrize("plan", sorted(PLANS))
def test_level_0_is_made_again_from_raw_frames_to_the_bit(stores, copy, plan):
    made = stores[plan, True]
    store = copy(made)
    flip(shard(made, store, "0"))
    shard(made, store, "projections/xz").unlink()
    asked = []

    def reduce(run, maps):
        asked.append((run.id, sorted(maps)))
        return PlainReduction(made.products)

    report = recover(store, reduce)
    assert report.status == "complete"
    assert asked == [(made.run.id, ["offset"])]
    shutil.rmtree(store / ".octostream" / "quarantine")
    assert tree(store) == tree(made.store)


def test_a_recipe_that_makes_other_products_now_reduces_nothing_again(stores, copy):
    made = stores["stacks", True]
    store = copy(made)
    flip(shard(made, store, "0"))
    report = recover(store, lambda run, maps: PlainReduction(made.products[:-1]))
    assert report.frames_lost == 3


def test_a_damaged_map_reduces_nothing_again(stores, copy):
    made = stores["stacks", True]
    store = copy(made)
    flip(store / ".octostream" / "maps" / "offset.npy")
    flip(shard(made, store, "0"))
    seen = []
    recover(store, lambda run, maps: seen.append(sorted(maps)) or no_reduction(run, maps))
    assert seen == [[]]
    assert verify(store).ok


def test_damage_costs_the_frames_of_the_damaged_chunk_and_no_other(acquire, ram):
    with tempfile.TemporaryDirectory(dir=ram) as folder:
        made = acquire(Path(folder), (1, 1, 4, 1024, 2048), rate_hz=4.0)  # a plane of level 0 is a chunk
        record_all(made)
        file = shard(made, made.store, "0", 0)
        bad = file.read_bytes()
        flip(file, len(bad) // 8 * 5)  # chunks lie in a shard in no promised order
        report = recover(made.store, no_reduction)
        (loss,) = report.losses
        assert (loss.count, loss.where, loss.why) == (1, "store", "damaged on the disk: 0 of block 0")
        holds(made, made.store, set(range(4)) - {loss.first})
        kept = made.store / ".octostream" / "quarantine"
        assert set(report.quarantined) >= {"0/c/0/0/0/0/0", "1/c/0/0/0/0/0", ".octostream/commits/00000000.json"}
        assert (kept / "0/c/0/0/0/0/0").stat().st_size == len(bad)


def test_a_frame_whose_raw_counts_are_damaged_is_lost(stores, copy):
    made = stores["stacks", True]
    store = copy(made)
    flip(shard(made, store, "raw/0"))
    report = recover(store, lambda run, maps: PlainReduction(made.products))
    assert report.losses == (Loss(3, 5, "store", "damaged on the disk: raw/0 of block 1"),)
    holds(made, store, set(range(made.plan.frames)) - {3, 4, 5})


def test_raw_frames_that_can_be_read_but_are_others_are_found_out(stores, copy):
    made = stores["stacks", True]
    store = copy(made)
    shutil.copy(shard(made, store, "raw/0", 0), shard(made, store, "raw/0", 1))
    assert recover(store, no_reduction).losses[0].why == "damaged on the disk: raw/0 of block 1"
    holds(made, store, set(range(made.plan.frames)) - {3, 4, 5})


def test_level_0_that_all_deny_is_the_one_that_is_wrong(stores, copy):
    made = stores["stacks", False]
    store = copy(made)
    shutil.copy(shard(made, store, "0", 0), shard(made, store, "0", 1))
    assert recover(store, no_reduction).losses == (Loss(3, 5, "store", "damaged on the disk: 0 of block 1"),)
    holds(made, store, set(range(made.plan.frames)) - {3, 4, 5})


def test_a_projection_that_stands_alone_is_the_one_that_is_wrong(stores, copy):
    made = stores["stacks", False]
    store = copy(made)
    shutil.copy(shard(made, store, "projections/xz", 0), shard(made, store, "projections/xz", 1))
    assert recover(store, no_reduction).status == "complete"
    holds(made, store, range(made.plan.frames))


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("raw", [False, True])
def test_a_record_is_made_again_from_the_frames_table(stores, copy, raw, gone):
    made = stores["stacks", raw]
    store = copy(made)
    file = record_file(store, 1)
    file.unlink() if gone else file.write_bytes(file.read_bytes()[:100])
    report = recover(store, no_reduction)
    assert (report.status, len(report.changes), len(report.quarantined)) == ("complete", 1, 0 if gone else 1)
    assert "made again from the frames table" in report.changes[0]
    holds(made, store, range(made.plan.frames))
    again(store)
    commit = StoreKeeper.reopen(store).committed()[1]
    assert commit.frames == made.commit(1).frames
    if raw:
        assert commit.stats == made.commit(1).stats


def test_a_record_that_nothing_else_knows_takes_its_block_into_quarantine(acquire, tmp_path):
    made = acquire(tmp_path, rate_hz=4.0)
    record_all(made, seal=False)
    before = tree(made.store)
    record_file(made.store, 1).write_bytes(bytes(300))
    report = recover(made.store, no_reduction)
    assert report.losses == (Loss(4, 7, "store", "the commit record 00000001.json was damaged"),)
    holds(made, made.store, [0, 1, 2, 3, 8, 9, 10, 11])
    kept = made.store / ".octostream" / "quarantine"
    block = [shard_name(made, p, made.plan.blocks[1]) for p in made.products]
    assert set(report.quarantined) == {*block, ".octostream/commits/00000001.json"}
    assert all((kept / name).read_bytes() == before[name] for name in block)
    again(made.store)


def test_parts_that_wait_for_their_stack_are_not_trusted(acquire, tmp_path):
    made = acquire(tmp_path, *PLANS["split"])
    record_all(made, {0, 1}, seal=False)
    record_all_but = made.store / ".octostream" / "partial" / "projections-xy"
    flip(record_all_but / "00000000.npy", -1)
    (record_all_but / "00000001.npy").write_bytes(b"")
    recover(made.store, no_reduction)
    holds(made, made.store, {n for k in (0, 1) for n in made.plan.blocks[k].frames})


def test_files_of_others_are_left_alone(stores, copy):
    store = copy(stores["stacks", False])
    (store / "labels" / "cells").mkdir(parents=True)
    (store / "labels" / "cells" / "zarr.json").write_text("{}")
    (store / "notes.txt").write_text("the fish moved")
    assert verify(store).ok
    before = tree(store)
    flip(shard(stores["stacks", False], store, "1"))
    recover(store, no_reduction)
    assert before.items() <= tree(store).items()


def test_a_folder_in_place_of_a_file_and_a_file_in_place_of_a_folder(stores, copy):
    made = stores["stacks", False]
    store = copy(made)
    for file in (store / "1" / "zarr.json", shard(made, store, "1", 0), record_file(store, 2)):
        file.unlink()
        (file / "inside").mkdir(parents=True)
    shutil.rmtree(store / "projections" / "xz" / "0" / "c" / "1")
    (store / "projections" / "xz" / "0" / "c" / "1").write_text("?")
    assert not verify(store).ok
    recover(store, no_reduction)
    holds(made, store, range(made.plan.frames))
    again(store)


def test_a_disk_without_links_gets_copies(stores, copy, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    made = stores["stacks", False]
    store, other = copy(made), copy(made)
    flip(shard(made, store, "0"))
    flip(shard(made, other, "0"))
    recover(store, no_reduction)
    monkeypatch.setattr(os, "link", refuse)
    recover(other, no_reduction)
    assert tree(store) == tree(other)


def test_a_second_damage_at_the_same_place_is_kept_beside_the_first(stores, copy):
    made = stores["stacks", False]
    store = copy(made)
    for at in (5, 6):
        flip(shard(made, store, "1"), at)
        recover(store, no_reduction)
    report = again(store)
    assert report.quarantined == ("1/c/0/1/0/0/0", "1/c/0/1/0/0/0~2")


# --- what is refused ---------------------------------------------------------------------------------------------


def test_what_cannot_be_read_is_not_called_damaged(stores, copy, monkeypatch):
    made = stores["stacks", False]
    store = copy(made)
    before = tree(store)
    real = Path.read_bytes

    def refuse(file):
        if file == record_file(store, 1):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(file)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(StoreError, match="Permission denied"):
        recover(store, no_reduction)
    with pytest.raises(StoreError, match="Permission denied"):
        verify(store)
    monkeypatch.undo()
    assert tree(store) == before


def test_two_recoveries_at_once_are_refused(stores, copy):
    made = stores["stacks", True]
    store = copy(made)
    flip(shard(made, store, "0"))
    refused = []

    def reduce(run, maps):
        with pytest.raises(UsageError, match="another recovery is at work") as error:
            recover(store, no_reduction)
        refused.append(str(error.value))
        return PlainReduction(made.products)

    assert recover(store, reduce).status == "complete"
    assert len(refused) == 1


@pytest.mark.parametrize("there", ["nothing", "file", "folder", "hollow"])
def test_what_is_no_store_is_refused_in_one_line(tmp_path, there):
    path = tmp_path / "x"
    match there:
        case "file":
            path.write_text("x")
        case "folder":
            path.mkdir()
        case "hollow":
            (path / ".octostream").mkdir(parents=True)
    with pytest.raises(StoreError, match="is not an octostream store") as error:
        recover(path, no_reduction)
    assert "\n" not in str(error.value)
    assert list(tmp_path.rglob("*")) == {"nothing": [], "hollow": [path, path / ".octostream"]}.get(there, [path])


def test_a_full_disk_is_told_and_the_same_call_goes_on(stores, copy, monkeypatch):
    made = stores["stacks", False]
    store, other = copy(made), copy(made)
    for one in (store, other):
        flip(shard(made, one, "1"))
        flip(shard(made, one, "0"))
    recover(other, no_reduction)
    with monkeypatch.context() as full:

        def refuse(_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        full.setattr(os, "fsync", refuse)
        with pytest.raises(StoreError, match="no space left"):
            recover(store, no_reduction)
    recover(store, no_reduction)
    assert tree(store) == tree(other)
