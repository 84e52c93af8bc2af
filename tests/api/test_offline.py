"""Reducing offline: the same bytes by any number of workers, with any interruption, and every loss by name."""

import itertools
import json
import shutil
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xxhash
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from octostream.api import offline
from octostream.api.offline import reduce_offline
from octostream.api.offline_input import Input, open_input
from octostream.api.offline_store import open_store
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.sinks.commits import intact_commits
from octostream.sinks.frames_table import read_frames_table
from octostream.sinks.keeper import StoreKeeper
from octostream.sinks.provenance import provenance_file
from octostream.sinks.reading import read_ledger
from octostream.sinks.verify import verify
from octostream.stream.errors import (
    NameRefusedError,
    NoSpaceError,
    OctostreamError,
    SourceError,
    StoreError,
    UsageError,
)
from octostream.stream.model import Frame, Loss, Plan, Run

T0 = 10**18
#: In memory the many small syncs of a property cost nothing.
RAM = "/dev/shm" if Path("/dev/shm").is_dir() else None
BAD = "page 3 of x.tif is damaged: take a copy"


def raw_of(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 4096, shape, dtype=np.uint16)


def input_of(raw, rate_hz=None, lost=(), seen=None):
    """Give frames in memory; those in ``lost`` cannot be read, what is asked for is noted in ``seen``."""
    plan = Plan(raw.shape, rate_hz=rate_hz, source="x.tif")
    calls = itertools.count()

    def read(number, out):
        if seen is not None:
            seen.append(number)
        if number in lost:
            raise SourceError(*BAD.split(": "))
        out[...] = raw[plan.index(number)]
        return Frame(number, T0 + next(calls), xxhash.xxh3_64_intdigest(out.data))

    return Input(plan, read, lambda: None)


def nobody(done, total):
    pass


def reduce(frames, out, workers=1, overrides=(), keep_raw=False, progress=nobody, following=nobody):
    recipe, maps = Recipe.load("lightsheet", ["pyramid.until=4", *overrides]).resolve(frames.plan.frame_shape)
    reduction = plan_reduction(recipe, frames.plan, maps, keep_raw=keep_raw)
    with open_store(out, frames, reduction, maps, keep_raw=keep_raw) as store:
        return store.sealed or reduce_offline(frames, reduction, store, workers, progress, following)


def pixels(store):
    """Give the bytes of every array but the table's times, by path."""
    files = [f for f in store.rglob("*") if f.is_file() and ".octostream" not in f.parts]
    times = {"timestamp_ns", "committed_ns"}
    return {
        f.relative_to(store).as_posix(): f.read_bytes()
        for f in files
        if "c" in f.relative_to(store).parts and not times & set(f.parts)
    }


shapes = st.tuples(st.integers(1, 4), st.integers(1, 2), st.integers(1, 6), st.integers(1, 11), st.integers(1, 11))


@settings(max_examples=25)
@given(shapes, st.sampled_from([None, 1.0, 2.5]), st.integers(2, 5), st.booleans(), st.data())
def test_any_number_of_workers_gives_the_same_bytes(shape, rate_hz, workers, keep_raw, data):
    raw = raw_of(shape)
    frames = input_of(raw, rate_hz)
    lost = data.draw(st.sets(st.integers(0, frames.plan.frames - 1), max_size=4), label="lost")
    with tempfile.TemporaryDirectory(dir=RAM) as folder:
        stores = [Path(folder) / f"{count}.ome.zarr" for count in (1, workers)]
        for store, count in zip(stores, (1, workers), strict=True):
            ledger = reduce(input_of(raw, rate_hz, lost), store, count, keep_raw=keep_raw)
            assert ledger.status == ("incomplete" if lost else "complete")
            assert {n for k in ledger.losses for n in range(k.first, k.last + 1)} == lost
            assert {(k.where, k.why) for k in ledger.losses} <= {("source", BAD)}
            assert verify(store).problems == ()
        assert pixels(stores[0]) == pixels(stores[1])
        assert np.flatnonzero(read_frames_table(stores[0])["state"] == 2).tolist() == sorted(lost)


def six_blocks(seed=0, **options):
    """Two stacks of which each is split into three blocks of four frames."""
    frames = input_of(raw_of((2, 1, 12, 9, 7), seed), 4.0, **options)
    assert [block.count for block in frames.plan.blocks] == [4] * 6
    return frames


@pytest.fixture
def whole(tmp_path):
    """The store of an uninterrupted reduction."""
    store = tmp_path / "whole.ome.zarr"
    assert reduce(six_blocks(), store).status == "complete"
    return store


@pytest.mark.parametrize("blocks", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("where", ["write", "commit"])
def test_what_failed_goes_on_where_it_was(whole, tmp_path, monkeypatch, blocks, where):
    calls, real = itertools.count(), getattr(offline.StoreWriter, where)

    def full(*arguments):
        if next(calls) >= blocks:
            raise NoSpaceError("the disk is full", "free some space")
        return real(*arguments)

    store = tmp_path / "a.ome.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(offline.StoreWriter, where, full)
        with pytest.raises(NoSpaceError):
            reduce(six_blocks(), store)
    assert read_ledger(store).status == "recording"
    assert [commit.block for commit in intact_commits(store)] == list(range(blocks))
    seen = []
    assert reduce(six_blocks(seen=seen), store).status == "complete"
    # Of what is there only one frame at either end is looked at.
    assert [n for n in seen if n < 4 * blocks] == ([] if not blocks else sorted({0, 4 * (blocks - 1)}))
    assert seen[-(24 - 4 * blocks) :] == list(range(4 * blocks, 24))
    assert pixels(store) == pixels(whole)
    assert verify(store).ok


def test_ctrl_c_finishes_the_blocks_under_way_and_the_same_call_goes_on(whole, tmp_path):
    pressed, plain = threading.Event(), six_blocks()

    def read(number, out):
        assert number < 8 or pressed.wait(30)
        return plain.read(number, out)

    def press(done, total):
        assert total == 24
        if done >= 8:
            pressed.set()
            raise KeyboardInterrupt

    store = tmp_path / "a.ome.zarr"
    with pytest.raises(KeyboardInterrupt):
        reduce(replace(plain, read=read), store, progress=press)
    there = [commit.block for commit in intact_commits(store)]
    assert there[:2] == [0, 1]
    assert len(there) in (2, 3)  # the third, if its reading had begun
    assert read_ledger(store).status == "recording"
    shown = []
    assert reduce(six_blocks(), store, 3, progress=lambda done, total: shown.append(done)).status == "complete"
    assert (shown[0], shown[-1]) == (4 * len(there), 24)
    assert shown == sorted(shown)
    assert pixels(store) == pixels(whole)


def test_a_finished_store_is_told_again_and_not_touched(whole):
    before = {f: f.stat().st_mtime_ns for f in whole.rglob("*")}
    seen = []
    assert reduce(six_blocks(seen=seen), whole).status == "complete"
    assert seen == [0, 20]
    assert {f: f.stat().st_mtime_ns for f in whole.rglob("*")} == before


def test_what_follows_the_frames_is_shown_as_it_comes(tmp_path):
    frames, told = input_of(raw_of((7, 1, 2, 9, 7)), 4.0), []
    series = ("drift=true", "drift.max_shift=2")
    tell = {name: lambda done, total, name=name: told.append((name, done, total)) for name in ("frames", "images")}
    reduce(frames, tmp_path / "a.ome.zarr", 1, series, progress=tell["frames"], following=tell["images"])
    assert frames.plan.blocks.grid[0] > 2
    names, shown = [name for name, *_ in told], [(done, total) for name, done, total in told if name == "images"]
    assert (names[0], names[-1], names) == ("frames", "images", sorted(names))
    assert shown == [(min(k * frames.plan.blocks.step[0], 7), 7) for k in range(frames.plan.blocks.grid[0] + 1)]
    reduce(frames, tmp_path / "b.ome.zarr", following=lambda *_: pytest.fail("nothing follows these frames"))


def test_a_finished_store_says_what_it_was_reduced_on(whole):
    assert json.loads(provenance_file(whole).read_bytes())["devices"] == {"offline": ["cpu"]}


def test_an_unfinished_block_is_read_again_and_loses_nothing(tmp_path, monkeypatch):
    store = tmp_path / "a.ome.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(StoreKeeper, "seal", lambda *_: (_ for _ in ()).throw(StoreError("cut off")))
        with pytest.raises(StoreError, match="cut off"):
            reduce(six_blocks(lost={6}), store)
    ledger = reduce(six_blocks(lost={5, 6}), store)
    assert ledger.losses == (Loss(6, 6, "source", BAD),)
    with monkeypatch.context() as patch:
        patch.setattr(StoreKeeper, "seal", lambda *_: (_ for _ in ()).throw(StoreError("cut off")))
        with pytest.raises(StoreError, match="cut off"):
            reduce(six_blocks(lost={6}), tmp_path / "b.ome.zarr")
    assert reduce(six_blocks(), tmp_path / "b.ome.zarr").status == "complete"
    assert verify(tmp_path / "b.ome.zarr").ok


def test_a_run_of_which_nothing_can_be_read_is_sealed_with_the_reason(tmp_path):
    ledger = reduce(six_blocks(lost=range(24)), tmp_path / "a.ome.zarr", 3)
    assert ledger.losses == (Loss(0, 23, "source", BAD),)
    assert verify(tmp_path / "a.ome.zarr").problems == ()


def test_a_defect_of_the_input_is_not_swallowed(tmp_path):
    frames = six_blocks()

    def read(number, out):
        if number == 9:
            raise MemoryError("no room")
        return frames.read(number, out)

    with pytest.raises(MemoryError, match="no room"):
        reduce(replace(frames, read=read), tmp_path / "a.ome.zarr", 2)


def test_a_step_that_fails_costs_what_it_makes_and_no_seal(tmp_path, monkeypatch):
    monkeypatch.setattr("octostream.kernels.following.Follower.take", lambda *_: 1 / 0)
    store = tmp_path / "a.ome.zarr"
    assert reduce(six_blocks(), store, overrides=("drift=true", "drift.max_shift=2")).status == "complete"
    assert verify(store).problems == ()
    assert zarr.open_group(store, mode="r").attrs["octostream"]["not_derived"] == ["tables/drift"]


# --- what is refused ------------------------------------------------------------------------------------------------


def tree(folder):
    return {f.relative_to(folder): f.stat().st_mtime_ns for f in folder.rglob("*")}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"overrides": ("calibrate.offset=98",)}, "was begun with another recipe: choose another --out, or give"),
        ({"keep_raw": True}, "was begun with another --keep-raw"),
        ({"frames": input_of(raw_of((2, 1, 12, 9, 8)), 4.0)}, "was begun with another input or axes"),
        ({"frames": six_blocks(seed=1)}, "was made of other frames (frame 0 differs): choose another --out, or give"),
    ],
)
def test_another_run_is_not_mixed_with_what_is_there(whole, change, words):
    before = tree(whole)
    with pytest.raises(UsageError) as caught:
        reduce(change.pop("frames", None) or six_blocks(), whole, **change)
    assert words in str(caught.value)
    assert str(whole) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert tree(whole) == before


def test_what_is_no_store_of_this_command_is_not_touched(tmp_path):
    frames = six_blocks()
    (tmp_path / "file.ome.zarr").write_text("mine")
    (tmp_path / "folder.ome.zarr").mkdir()
    for name in ("file", "folder"):
        with pytest.raises(NameRefusedError, match="is there and is no store: choose another --out"):
            reduce(frames, tmp_path / f"{name}.ome.zarr")
    recipe = Recipe.load("lightsheet", ["pyramid.until=4"])
    reduction = plan_reduction(recipe, frames.plan)
    recorded = tmp_path / "recorded.ome.zarr"
    run = Run("r-1", "recorded", "local", frames.plan, recipe.to_json(), str(recorded), False, T0)
    StoreKeeper.create(run, reduction.products, {}, {})
    with pytest.raises(UsageError, match="is the store of a recorded run: choose another --out"):
        reduce(frames, recorded)
    for name in ("plain", "a.zarr", ".ome.zarr", "a b.ome.zarr"):
        with pytest.raises(NameRefusedError):
            reduce(frames, tmp_path / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file.ome.zarr", "folder.ome.zarr", "recorded.ome.zarr"]


def test_one_process_at_a_time(tmp_path):
    frames, store = six_blocks(), tmp_path / "a.ome.zarr"
    recipe = Recipe.load("lightsheet", ["pyramid.until=4"])
    reduction = plan_reduction(recipe, frames.plan)
    with (
        open_store(store, frames, reduction, {}, keep_raw=False),
        pytest.raises(UsageError, match="another process is reducing into"),
    ):
        reduce(frames, store)
    assert reduce(frames, store).status == "complete"


def test_a_disk_that_is_too_small_is_told_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr("octostream.api.offline_store.free_bytes", lambda path: (10, 10**12))
    monkeypatch.setattr("octostream.sinks.disk.free_bytes", lambda path: (10, 10**12))
    with pytest.raises(NoSpaceError, match="the run needs"):
        reduce(six_blocks(), tmp_path / "a.ome.zarr")
    assert not list(tmp_path.iterdir())


# --- the raw frames of a store --------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path):
    """A store with raw frames, of which two are lost."""
    store = tmp_path / "kept.ome.zarr"
    reduce(six_blocks(lost={6, 7}), store, keep_raw=True)
    return store


@pytest.mark.parametrize("place", ["", "raw/0"])
def test_a_store_is_reduced_again_with_its_losses_and_times(kept, tmp_path, place):
    frames = open_input(str(kept / place))
    assert frames.plan == replace(six_blocks().plan, source="kept.ome.zarr, raw frames")
    again = tmp_path / "again.ome.zarr"
    ledger = reduce(frames, again, 3, keep_raw=True)
    assert ledger.losses == (
        *(Loss(n, n, "source", f"frame {n} was lost when it was recorded, at source: {BAD}") for n in (6, 7)),
    )
    assert pixels(again) == pixels(kept)
    for column in ("timestamp_ns", "checksum"):
        np.testing.assert_array_equal(read_frames_table(again)[column], read_frames_table(kept)[column])
    other = tmp_path / "other.ome.zarr"
    reduce(frames, other, overrides=["bin.factor=1"])
    assert verify(other).problems == ()


def test_a_damaged_raw_frame_is_lost_alone(kept, tmp_path):
    shards = sorted(f for f in (kept / "raw/0/c").rglob("*") if f.is_file())
    data = bytearray(shards[0].read_bytes())
    data[len(data) // 8] ^= 1
    shards[0].write_bytes(data)
    ledger = reduce(open_input(str(kept)), tmp_path / "a.ome.zarr")
    gone = {n for k in ledger.losses for n in range(k.first, k.last + 1)}
    assert gone - {6, 7}
    assert gone <= {0, 1, 2, 3, 6, 7}
    assert all(k.where == "source" and "\n" not in k.why for k in ledger.losses)


def test_a_record_that_is_gone_costs_its_block(kept, tmp_path):
    (kept / ".octostream/commits/00000002.json").write_text("?")
    ledger = reduce(open_input(str(kept)), tmp_path / "a.ome.zarr")
    assert {n for k in ledger.losses for n in range(k.first, k.last + 1)} == {6, 7, 8, 9, 10, 11}
    assert "frame 8 of" in ledger.losses[2].why
    assert "has no intact commit record: run octostream verify" in ledger.losses[2].why


def test_stores_that_cannot_be_reduced_again(whole, kept):
    with pytest.raises(StoreError, match="keeps no raw frames: give the recording itself, or record with --keep-raw"):
        open_input(str(whole))
    with pytest.raises(UsageError, match="says itself what its frames are: leave --axes out"):
        open_input(str(kept), "t")
    (kept / ".octostream/ledger.json").unlink()
    with pytest.raises(StoreError, match="is not over: wait for its end"):
        open_input(str(kept))
    shutil.rmtree(kept / ".octostream")
    with pytest.raises(OctostreamError):
        open_input(str(kept / "nothing"))


def test_raw_frames_of_another_block_are_noticed(kept, tmp_path):
    shards = sorted(f for f in (kept / "raw/0/c").rglob("*") if f.is_file())
    shutil.copy(shards[2], shards[0])
    ledger = reduce(open_input(str(kept)), tmp_path / "a.ome.zarr")
    gone = {n for k in ledger.losses for n in range(k.first, k.last + 1)}
    assert gone == {0, 1, 2, 3, 6, 7}
    assert "raw/0 is not what was recorded: run octostream verify on the store" in ledger.losses[0].why
