"""Recovery of stores with products of every kind: what is derived is never taken for more than it is."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import event, given, settings
from hypothesis import strategies as st
from octostream.sinks.commits import record_file
from octostream.sinks.derivation import derived_files
from octostream.sinks.forgotten import forgotten_folder
from octostream.sinks.keeper import StoreKeeper
from octostream.sinks.layout import array_path
from octostream.sinks.reading import read_ledger
from octostream.sinks.recover import recover
from octostream.sinks.runfile import read_run
from octostream.sinks.verify import verify

from .damaged import PLANS, PlainReduction, again, flip, no_reduction, product, record_all, shard, tree
from .test_recover import cost, damage, ours, ways
from .test_tables import DRIFT, column


@pytest.fixture(scope="module")
def sealed(acquire, ram):
    """A sealed run of every plan with everything that a run may make; not to be changed."""
    folder = Path(tempfile.mkdtemp(dir=ram))
    runs = {}
    for plan in PLANS:
        made = runs[plan] = acquire(folder / plan, *PLANS[plan], extra=True, keep_raw=plan == "stacks")
        keeper = record_all(made, seal=False)
        made.derive()
        keeper.seal([], {"drift": DRIFT})
    yield runs
    shutil.rmtree(folder)


def not_derived(store):
    return zarr.open_group(store, mode="r").attrs["octostream"]["not_derived"]


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(sorted(PLANS)), ways, st.data())
def test_any_damage_is_noticed_and_costs_only_frames_whose_counts_it_hit(sealed, ram, plan, how, data):
    made = sealed[plan]
    with tempfile.TemporaryDirectory(dir=ram) as folder:
        store = Path(shutil.copytree(made.store, Path(folder) / "copy.ome.zarr"))
        good = tree(store)
        name = data.draw(st.sampled_from([n for n in sorted(good) if n not in KEPT_OUT]), label="file")
        event(f"{how} {name.split('/')[0]}")
        damage(store, store / name, how, data)
        damaged = tree(store)
        report = verify(store)
        seen = not (name.startswith(".octostream/maps") and how == "delete")
        in_column = name.startswith("tables/") and name.count("/") >= 3
        seen &= how != "add" or ours(made, name) or in_column
        seen &= name != "provenance.json"  # a note for people, which nothing is made from or compared with
        # Nothing that is stored says what a shard must show that follows from nothing: another's passes if it fits.
        passes = how == "another's" and name.startswith(alone(made))
        assert report.ok == (damaged == good or not seen) or (report.ok and passes), (name, report.problems)
        recover(store, no_reduction, derive=lambda _: {"drift": DRIFT})
        assert set(read_ledger(store).lost) <= cost(made, name, how)
        assert verify(store).ok
        again(store)


def alone(made):
    """Give the folders of the shards that neither follow from others nor have anything that follows from them."""
    return tuple(f"{array_path(p)}/c" for p in made.products if not p.follows and p.path not in ("0", "raw/0"))


KEPT_OUT = (".octostream/run.json", ".octostream/closed")


@pytest.mark.parametrize("path", ["dff/0", "moments/mean"])
def test_what_is_damaged_of_the_derived_is_listed_or_derived_anew(sealed, copy, path):
    made = sealed["stacks"]
    store = copy(made)
    file = store / array_path(product(made, path)) / "c" / "0" / "0" / "0" / "0"
    flip(file / "0" if path == "dff/0" else file)
    (problem,) = verify(store).problems
    assert "is damaged" in problem
    other = Path(shutil.copytree(store, store.with_name("other.ome.zarr")))
    report = recover(store, no_reduction)
    assert (report.frames_lost, len(report.quarantined)) == (0, 1)
    assert not_derived(store) == [path]
    again(store)
    there = replace(made, run=replace(made.run, store=str(other)))
    recover(other, no_reduction, derive=lambda _: there.derive() or {"drift": DRIFT})
    assert not_derived(other) == []
    shutil.rmtree(other / ".octostream" / "quarantine")
    assert tree(other).keys() == tree(copy(made)).keys()


def test_what_was_made_from_frames_that_are_lost_now_is_set_aside(sealed, copy):
    made = sealed["split"]
    store = copy(made)
    flip(shard(made, store, "0"))
    report = recover(store, no_reduction)
    assert report.frames_lost > 0
    assert not_derived(store) == ["dff/0", "registered/0", "moments/mean", "projections/t-max"]
    assert zarr.open_array(store / "tables/drift/dy", mode="r").shape == (0,)
    lost = set(read_ledger(store).lost)
    rows = zarr.open_array(store / "tables/focus/frame", mode="r")[:]
    assert set(rows.tolist()) == {n for n in range(made.plan.frames) if n % 3 != 1} - lost
    again(store)


@pytest.mark.parametrize("raw", [False, True])
def test_a_product_that_follows_from_nothing_costs_no_frame(sealed, copy, raw):
    made = sealed["stacks" if raw else "grouped"]
    store = copy(made)
    path = "labels/foreground/0"
    place = tuple(
        slice(o, o + n) for o, n in zip(*(made.plan.blocks[1].origin, made.plan.blocks[1].extent), strict=True)
    )
    flip(shard(made, store, path))

    class All(PlainReduction):
        def finish(self):
            return made.parts(self.block.number)

    report = recover(store, lambda run, maps: All(made.products, made.tables))
    assert report.frames_lost == 0
    seen = zarr.open_array(store / path, mode="r")[...]
    wanted = made.arrays[path].copy()
    if not raw:
        wanted[place] = 0
    np.testing.assert_array_equal(seen, wanted)
    assert ("left empty" in report.changes[0]) == (not raw)
    again(store)


def test_a_run_that_is_opened_again_derives_anew(sealed, copy):
    made = sealed["stacks"]
    store = copy(made)
    keeper = StoreKeeper.reopen(store)
    keeper.unseal()
    assert zarr.open_array(store / "dff/0", mode="r").shape[0] == 0
    assert zarr.open_array(store / "0", mode="r").shape[0] == 3
    assert not (store / "dff/0/c").exists()
    assert forgotten_folder(store).exists(), "removed while the loop waits"
    keeper.publish([])
    assert not forgotten_folder(store).exists()
    keeper.seal([])
    assert not_derived(store) == ["dff/0", "registered/0", "moments/mean", "projections/t-max"]
    assert verify(store).ok


@pytest.mark.parametrize("killed", [False, True])
def test_however_much_was_derived_a_run_is_opened_again_with_few_syncs(acquire, tmp_path, monkeypatch, killed):
    syncs, counts, fsync = [], [], os.fsync
    for stacks in (2, 12):
        made = acquire(tmp_path / str(stacks), (stacks, 1, 3, 6, 6), 3.0, extra=True)
        keeper = record_all(made, seal=False)
        made.derive()
        keeper.seal([], {"drift": DRIFT})
        monkeypatch.setattr(os, "fsync", lambda handle: syncs.append(handle) or fsync(handle))
        keeper.unseal()
        monkeypatch.undo()
        counts.append(len(syncs))
        syncs.clear()
        keeper = StoreKeeper.reopen(made.store) if killed else keeper
        keeper.seal([])
        assert not forgotten_folder(made.store).exists()
        assert verify(made.store).ok
    assert counts[0] == counts[1] > 0


def test_a_derived_column_that_is_damaged_is_derived_all_the_same(sealed, copy):
    made = sealed["stacks"]
    store = copy(made)
    flip(store / "tables/drift/dy/c/0")
    names = [f.relative_to(store).as_posix() for f in derived_files(store, read_run(store))]
    assert [n for n in names if n.startswith("tables")] == [f"tables/drift/{c}/zarr.json" for c in ("frame", "dy")]


def test_a_killed_run_is_derived_when_it_is_recovered(acquire, tmp_path):
    made = acquire(tmp_path, *PLANS["grouped"], extra=True)
    record_all(made, seal=False)
    made.derive({0}, whole=False)
    record_file(made.store, 2).unlink()
    asked = []
    recover(made.store, no_reduction, derive=lambda s: asked.append(s) or made.derive({0, 1}) or {"drift": DRIFT})
    assert asked == [made.store]
    assert not_derived(made.store) == []
    assert column(made, "drift", "dy")[:].tobytes() == DRIFT["dy"].tobytes()
    again(made.store)
