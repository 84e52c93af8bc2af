"""Sparse products: what shows nothing takes no space, and what is gone is told from what was left out."""

from __future__ import annotations

import shutil
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from octostream.sinks import layout
from octostream.sinks.arrays import context, open_planned
from octostream.sinks.commits import read_commit, record_file
from octostream.sinks.layout import array_path, cut
from octostream.sinks.reading import read_ledger
from octostream.sinks.recover import recover
from octostream.sinks.shards import blank_chunks, left_out
from octostream.sinks.verify import verify
from octostream.stream.ranges import Ranges

from .damaged import PlainReduction, again, flip, holds, no_reduction, product, record_all, shard, tree
from .test_recover import check_damage, ways
from .test_recover_kills import killed_after

ABSENT = 2**64 - 1
LEVELS = ("0", "1", "2")


@pytest.fixture(scope="module", autouse=True)
def tiny_chunks():
    """Chunks of at most 16 pixels: a row of level 0, two rows of level 1, two planes of level 2."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(layout, "CHUNK_BYTES", 32)
        yield


def scene():
    """Four stacks: one with a dark band and a dark plane, one all dark, one with a single bright pixel, one full."""
    raw = np.random.default_rng(3).integers(1, 4096, (4, 1, 4, 16, 24), dtype=np.uint16)
    raw[0, :, :, :8] = 0
    raw[0, :, 2] = 0
    raw[1] = 0
    raw[2] = 0
    raw[2, 0, 3, 15, 23] = 4095
    return raw


@pytest.fixture(scope="module")
def runs(acquire, tiny_chunks, ram):
    """Sealed runs with and without raw frames; not to be changed."""
    folder = Path(tempfile.mkdtemp(dir=ram))
    made = {}
    for raw in (False, True):
        pixels = scene()
        one = made[raw] = acquire(folder / str(raw), pixels.shape, 4.0, keep_raw=raw, raw=pixels, sparse=True)
        assert len(one.plan.blocks) == 4
        record_all(one)
    yield made
    shutil.rmtree(folder)


def index(file, made, path):
    """Read the index at the end of a shard as the specification of Zarr says; True where a chunk is there."""
    whole, part = cut(made.plan, product(made, path))
    grid = tuple(a // b for a, b in zip(whole, part, strict=True))
    size = int(np.prod(grid))
    entries = struct.unpack(f"<{2 * size}Q", file.read_bytes()[-16 * size - 4 : -4])
    absent = [entries[k : k + 2] == (ABSENT, ABSENT) for k in range(0, 2 * size, 2)]
    return ~np.array(absent).reshape(grid)


def lose(made, store, path, t, where):
    """Take chunks out of a shard so that its index is right again, as no damage of a disk does."""
    array = open_planned(store, made.plan, product(made, path), context(1))
    array[(t, 0, *where)].write(0).result()


# --- writing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", LEVELS)
def test_a_chunk_is_in_its_shard_if_it_shows_anything(runs, path):
    made = runs[True]
    _, part = cut(made.plan, product(made, path))
    for t in range(4):
        there = index(shard(made, made.store, path, t), made, path)
        for at in np.ndindex(there.shape):
            place = tuple(slice(k * n, (k + 1) * n) for k, n in zip(at, part, strict=True))
            assert there[at] == made.arrays[path][t : t + 1][place].any(), (t, at)
    assert not index(shard(made, made.store, path, 1), made, path).any()
    assert index(shard(made, made.store, path, 2), made, path).sum() == 1
    assert index(shard(made, made.store, path, 3), made, path).all()


def test_other_readers_see_zeros_where_nothing_was_stored(runs):
    made = runs[True]
    for p in made.products:
        seen = zarr.open_array(made.store / array_path(p), mode="r")[...]
        np.testing.assert_array_equal(seen, made.arrays[p.path])


def test_products_that_are_not_sparse_store_zeros(runs):
    made = runs[True]
    assert index(shard(made, made.store, "raw/0", 1), made, "raw/0").all()
    assert index(shard(made, made.store, "projections/xz", 1), made, "projections/xz").all()


def test_the_record_of_a_block_says_what_its_shards_leave_out(runs):
    made = runs[True]
    for block in made.plan.blocks:
        told = read_commit(made.store, block.number).left_out
        assert set(told) == set(LEVELS)
        for path in LEVELS:
            there = index(shard(made, made.store, path, block.number), made, path)
            assert told[path] == Ranges.of(np.flatnonzero(~there).tolist())
            part = made.parts(block.number)[path]
            assert told[path] == blank_chunks(made.plan, product(made, path), part)


def test_a_block_that_is_written_twice_leaves_nothing_of_the_first(acquire, tmp_path):
    pixels = scene()
    made = acquire(tmp_path, pixels.shape, 4.0, raw=pixels, sparse=True)
    made.keeper()
    writer = made.writer()
    block, parts, bright = made.plan.blocks[1], made.parts(1), made.parts(3)
    good = None
    for each in (parts, bright, parts, parts):
        writer.write(block, each)
        assert shard(made, made.store, "0").exists()
        found = left_out(shard(made, made.store, "0"), made.plan, product(made, "0"))
        assert found == blank_chunks(made.plan, product(made, "0"), each["0"])
        good = good or shard(made, made.store, "0").read_bytes()
    assert shard(made, made.store, "0").read_bytes() == good


# --- verifying and recovering ------------------------------------------------------------------------------------


def test_a_sound_store_has_no_problems_and_is_left_as_it_is(runs):
    for made in runs.values():
        assert verify(made.store).problems == ()
        again(made.store)


@pytest.mark.parametrize("path", LEVELS)
@pytest.mark.parametrize("t", [0, 1, 3])
def test_a_shard_that_is_gone_is_a_loss_also_where_all_was_dark(runs, copy, path, t):
    made = runs[False]
    store = copy(made)
    shard(made, store, path, t).unlink()
    report = verify(store)
    name = shard(made, store, path, t).relative_to(store).as_posix()
    assert any(name in line and f"frames {4 * t}-{4 * t + 3}" in line and "missing" in line for line in report.problems)
    assert not any("zarr.json" in line for line in report.problems)  # nothing is concluded from zeros in its place
    lost = range(4 * t, 4 * t + 4) if path == "0" else ()
    assert recover(store, no_reduction).frames_lost == len(lost)
    holds(made, store, set(range(16)) - set(lost))
    again(store)


@pytest.mark.parametrize(("path", "where"), [("0", np.s_[1, 5]), ("1", np.s_[1, 2:4]), ("2", np.s_[0:2, :])])
def test_a_chunk_that_vanished_from_an_index_is_found(runs, copy, path, where):
    made = runs[False]
    store = copy(made)
    lose(made, store, path, 3, where)
    report = verify(store)
    frames = "frames 12-13" if path == "2" else "frame 13"
    name = shard(made, store, path, 3).relative_to(store).as_posix()
    assert any(line.startswith(f"{name} is damaged") and frames in line for line in report.problems), report.problems
    report = recover(store, no_reduction)
    lost = {13} if path == "0" else set()
    assert report.frames_lost == len(lost)
    assert report.quarantined
    holds(made, store, set(range(16)) - lost)
    again(store)


def test_a_chunk_that_vanished_is_made_again_from_raw_frames(runs, copy):
    made = runs[True]
    store = copy(made)
    lose(made, store, "0", 3, np.s_[1, 5])
    lose(made, store, "0", 2, np.s_[3, 7])
    shard(made, store, "0", 1).unlink()
    assert not verify(store).ok
    report = recover(store, lambda run, maps: PlainReduction(made.products))
    assert report.status == "complete"
    shutil.rmtree(store / ".octostream" / "quarantine")
    assert tree(store) == tree(made.store)


def test_a_label_that_vanished_follows_from_nothing_and_is_found(acquire, copy, tmp_path):
    pixels = scene()
    made = acquire(tmp_path, pixels.shape, 4.0, raw=pixels, sparse=True, extra=True)
    keeper = record_all(made, seal=False)
    made.derive()
    keeper.seal([])
    assert verify(made.store).problems == ()
    store, path = copy(made), "labels/foreground/0"
    lose(made, store, path, 3, np.s_[2, :])
    assert any(f"{path}/c/3" in line and "frame 14" in line for line in verify(store).problems)
    report = recover(store, no_reduction)
    assert (report.status, report.frames_lost) == ("complete", 0)
    assert "left empty" in " ".join(report.changes)
    assert not zarr.open_array(store / path, mode="r")[3, 0, 2].any()
    assert verify(store).problems == ()
    again(store)


@pytest.mark.parametrize("t", [0, 1])
def test_a_record_that_is_made_again_takes_the_word_of_sound_shards(runs, copy, t):
    made = runs[False]
    store = copy(made)
    record_file(store, t).unlink()
    assert recover(store, no_reduction).status == "complete"
    assert read_commit(store, t).left_out == read_commit(made.store, t).left_out
    holds(made, store, range(16))


def test_a_record_made_again_beside_a_damaged_shard_ends_in_a_sound_store(runs, copy):
    made = runs[False]
    store = copy(made)
    record_file(store, 0).unlink()
    flip(shard(made, store, "1", 0), -1)
    assert recover(store, no_reduction).status == "complete"
    holds(made, store, range(16))
    again(store)


def test_a_run_that_was_killed_goes_on(acquire, tmp_path):
    pixels = scene()
    made = acquire(tmp_path, pixels.shape, 4.0, raw=pixels, sparse=True)
    record_all(made, {0, 2}, seal=False)
    made.writer().write(made.plan.blocks[1], made.parts(1))  # killed before its record
    assert recover(made.store, no_reduction).frames_stored == 8
    holds(made, made.store, {0, 1, 2, 3, 8, 9, 10, 11})
    assert not shard(made, made.store, "0", 1).exists()


@settings(deadline=None, max_examples=60)
@given(st.booleans(), ways, st.data())
def test_any_damage_is_noticed_and_costs_only_what_it_hit(runs, ram, raw, how, data):
    check_damage(runs[raw], ram, how, data)


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(LEVELS), st.integers(0, 3), st.data())
def test_whatever_vanishes_is_noticed_and_never_read_as_dark(runs, ram, path, t, data):
    made = runs[False]
    with tempfile.TemporaryDirectory(dir=ram) as folder:
        store = Path(shutil.copytree(made.store, Path(folder) / "copy.ome.zarr"))
        z, y = data.draw(st.integers(0, 3)), data.draw(st.integers(0, made.arrays[path].shape[3] - 1))
        lose(made, store, path, t, np.s_[z, y])
        changed = tree(store) != tree(made.store)
        assert verify(store).ok != (zeroed := bool(made.arrays[path][t, 0, z, y].any())), (changed, zeroed)
        recover(store, no_reduction)
        lost = set(read_ledger(store).lost)
        assert lost == ({4 * t + z} if path == "0" and zeroed else set())
        holds(made, store, set(range(16)) - lost)


@pytest.mark.timeout(300)  # a hundred recoveries
def test_killed_at_any_change_of_a_file_recovery_comes_to_the_same_end(acquire, copy, ram, monkeypatch):
    pixels = scene()[:2]
    with tempfile.TemporaryDirectory(dir=ram) as folder:
        made = acquire(Path(folder), pixels.shape, 4.0, raw=pixels, sparse=True)
        record_all(made)
        killed_everywhere(made, copy, monkeypatch)


def killed_everywhere(made, copy, monkeypatch):
    def ruined():
        store = copy(made)
        lose(made, store, "0", 0, np.s_[1, 5])
        shard(made, store, "1", 1).unlink()
        return store

    whole = ruined()
    recover(whole, no_reduction)
    end = tree(whole)
    for count in range(1000):
        store = ruined()
        over = killed_after(store, count, monkeypatch, no_reduction)
        recover(store, no_reduction)
        assert tree(store) == end, count
        shutil.rmtree(store)
        if over:
            break
    assert over
    assert count > 20
