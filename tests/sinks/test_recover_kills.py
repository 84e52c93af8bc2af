"""From a kill at any instant to a consistent store, also from a kill of the recovery itself."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octostream.sinks import arrays, frames_table, tables
from octostream.sinks.commits import record_file
from octostream.sinks.keeper import StoreKeeper
from octostream.sinks.reading import read_ledger
from octostream.sinks.recover import CUT_SHORT, recover
from octostream.sinks.verify import verify
from octostream.stream.model import Loss

from .damaged import PLANS, again, flip, holds, no_reduction, record_all, shard, tree

# --- kills --------------------------------------------------------------------------------------------------------

shapes = st.tuples(st.integers(1, 4), st.integers(1, 2), st.integers(1, 6), st.integers(1, 11), st.integers(1, 11))


@settings(deadline=None, max_examples=25)
@given(shapes, st.sampled_from([None, 1.0, 2.5]), st.booleans(), st.data())
def test_a_killed_run_keeps_what_was_committed_and_nothing_else(acquire, ram, shape, rate_hz, keep_raw, data):
    with tempfile.TemporaryDirectory(dir=ram) as folder:
        made = acquire(Path(folder), shape, rate_hz, keep_raw)
        blocks = range(len(made.plan.blocks))
        committed = data.draw(st.sets(st.sampled_from(blocks)), label="committed")
        torn = data.draw(st.sets(st.sampled_from(blocks), max_size=2), label="written without a record")
        published = data.draw(st.sets(st.sampled_from(blocks)), label="published")
        sealing = data.draw(st.booleans(), label="killed when sealing began")
        keeper, worker = made.keeper(), made.writer()
        for number in blocks:
            if number in committed:
                made.record(worker, number)
                if number in published:
                    keeper.publish([number])
            elif number in torn:
                worker.write(made.plan.blocks[number], made.parts(number))
        for file in data.draw(st.lists(st.sampled_from(sorted(tree(made.store))), max_size=3), label="torn beside"):
            place = made.store / file
            place.with_name(f".{place.name}.17-42.tmp").write_bytes(b"what a killed process left")
            place.with_name(f"{place.name}.__lock").write_bytes(b"what a killed tensorstore left")
        if sealing:
            (made.store / ".octostream" / "closed").touch()
        stored = {n for k in committed for n in made.plan.blocks[k].frames}
        report = recover(made.store, no_reduction)
        assert report.ok == (len(stored) == made.plan.frames)
        assert report.status == ("complete" if report.ok else "incomplete")
        assert (report.frames_stored, report.frames_lost) == (len(stored), made.plan.frames - len(stored))
        assert {(loss.where, loss.why) for loss in report.losses} <= {("agent", CUT_SHORT)}
        assert report.quarantined == ()
        holds(made, made.store, stored)
        assert not [f for f in tree(made.store) if f.endswith((".tmp", ".__lock"))]
        again(made.store)


def test_a_healthy_store_is_not_touched(stores):
    for made in stores.values():
        before = {f: (f.lstat().st_ino, f.lstat().st_mtime_ns) for f in [made.store, *made.store.rglob("*")]}
        report = recover(made.store, no_reduction)
        assert (report.ok, report.changes, report.quarantined) == (True, (), ())
        assert {f: (f.lstat().st_ino, f.lstat().st_mtime_ns) for f in [made.store, *made.store.rglob("*")]} == before


def test_losses_that_are_known_stay_as_they_were_told(acquire, tmp_path):
    made = acquire(tmp_path, rate_hz=4.0)
    keeper = made.keeper()
    made.record(made.writer(), 1)
    keeper.seal([Loss(0, 3, "agent", "camera stopped")])
    (made.store / "0" / "zarr.json").write_bytes(b"")
    recover(made.store, no_reduction)
    assert read_ledger(made.store).losses == (
        Loss(0, 3, "agent", "camera stopped"),
        Loss(8, 11, "store", "no commit record"),
    )
    again(made.store)


@settings(deadline=None, max_examples=15)
@given(shapes, st.sampled_from([None, 1.0, 2.5]), st.data())
def test_a_recovered_run_may_still_be_opened_again(acquire, ram, shape, rate_hz, data):
    with tempfile.TemporaryDirectory(dir=ram) as folder:
        made = acquire(Path(folder), shape, rate_hz)
        blocks = range(len(made.plan.blocks))
        before = data.draw(st.sets(st.sampled_from(blocks)), label="before the kill")
        record_all(made, before, seal=False)
        for file in data.draw(st.lists(st.sampled_from(sorted(tree(made.store))), max_size=2), label="damaged"):
            if "partial" in file:
                (made.store / file).write_bytes(b"")
        recover(made.store, no_reduction)
        again(made.store)
        keeper = StoreKeeper.reopen(made.store)
        keeper.unseal()
        for number in set(blocks) - before:
            made.record(made.writer(), number)
            keeper.publish([number])
        assert keeper.seal([]).status == "complete"
        holds(made, made.store, range(made.plan.frames))
        again(made.store)


def test_a_commit_that_raced_the_seal_is_taken_in(acquire, tmp_path):
    made = acquire(tmp_path, rate_hz=4.0)
    keeper, worker = made.keeper(), made.writer()
    made.record(worker, 0)
    keeper.seal([])
    (made.store / ".octostream" / "closed").unlink()
    made.record(worker, 1)  # its worker had looked before the store was closed
    assert not verify(made.store).ok
    report = recover(made.store, no_reduction)
    assert report.frames_stored == 8
    holds(made, made.store, range(8))
    again(made.store)


# --- killed while it recovers ------------------------------------------------------------------------------------


class Killed(BaseException):
    """Ends a recovery as SIGKILL does: nothing that waits for an OSError sees it."""


class Countdown:
    """Lets so many changes of files happen, and no other."""

    def __init__(self, count):
        self.left = count

    def step(self):
        if self.left == 0:
            raise Killed
        self.left -= 1


CHANGES = ("fsync", "replace", "rename", "link", "unlink", "mkdir", "rmdir")


def killed_after(store, count, monkeypatch, reduce):
    """Recover, but end after so many changes of files; tell whether it was over before."""
    countdown = Countdown(count)

    def counted(real):
        def call(*args, **options):
            countdown.step()
            return real(*args, **options)

        return call

    with monkeypatch.context() as patched:
        for name in CHANGES:
            patched.setattr(os, name, counted(getattr(os, name)))
        for module in (frames_table, tables):
            patched.setattr(module, "write_chunks", counted(arrays.write_chunks))
        try:
            recover(store, reduce)
        except Killed:
            return False
    return True


def ruined(made, store, scenario):
    """Ruin a store in one of several ways."""
    match scenario:
        case "a shard of level 0":
            flip(shard(made, store, "0"))
        case "everything but level 0":
            for path in ("projections/xy", "projections/xz", "1"):
                flip(shard(made, store, path))
            record_file(store, 0).write_bytes(b"")
            (store / "frames" / "zarr.json").unlink()
            (store / "1" / "zarr.json").write_bytes(b"{")
            (store / "0" / "c" / "stray").write_bytes(b"?")
            (store / ".octostream" / "ledger.json").write_bytes(b"")


@pytest.mark.timeout(400)  # some hundred recoveries, each on a copy of its own
@pytest.mark.parametrize(
    ("plan", "scenario"),
    [
        ("grouped", "a shard of level 0"),
        ("split", "everything but level 0"),
        ("split", "an open run"),
    ],
)
def test_killed_at_any_change_of_a_file_it_comes_to_the_same_end(
    acquire, stores, copy, ram, monkeypatch, plan, scenario
):
    made = stores[plan, False]
    with tempfile.TemporaryDirectory(dir=ram) as folder:
        if scenario == "an open run":
            made = acquire(Path(folder), *PLANS[plan])
            record_all(made, {0, 1, 2}, seal=False)
        whole = copy(made)
        ruined(made, whole, scenario)
        recover(whole, no_reduction)
        end = tree(whole)
        for count in range(1000):
            store = copy(made)
            ruined(made, store, scenario)
            over = killed_after(store, count, monkeypatch, no_reduction)
            recover(store, no_reduction)
            assert tree(store) == end, count
            shutil.rmtree(store)
            if over:
                break
        assert over
        assert count > 20
