"""The contract of a store: what was committed is what two independent readers see, at every moment."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tensorstore as ts
import tifffile
import zarr
from hypothesis import event, given, settings
from hypothesis import strategies as st
from octostream.sinks.frames_table import LOST, STORED, read_frames_table
from octostream.sinks.keeper import StoreKeeper
from octostream.sinks.layout import array_path
from octostream.sinks.reading import read_ledger
from octostream.sinks.runfile import load_run
from octostream.sinks.verify import verify
from octostream.stream.errors import NameRefusedError, StoreError
from octostream.stream.model import Loss
from octostream.stream.ranges import Ranges


def by_zarr(store: Path, product) -> np.ndarray:
    return zarr.open_array(store / array_path(product), mode="r")[...]


def by_tensorstore(store: Path, product) -> np.ndarray:
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{store / array_path(product)}/"}}
    return ts.open(spec, open=True).result().read().result()


def agrees(store: Path, product, expected: np.ndarray) -> int:
    """Check that what is visible is the leading part of what is expected; give how many values are visible."""
    seen = by_zarr(store, product)
    assert np.array_equal(seen, by_tensorstore(store, product))
    assert np.array_equal(seen, expected[tuple(slice(0, n) for n in seen.shape)])
    return seen.size


shapes = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 7), st.integers(1, 11), st.integers(1, 11))


@settings(deadline=None, max_examples=20)
@given(shapes, st.sampled_from([None, 1.0, 2.5, 7.0]), st.booleans(), st.randoms(use_true_random=False))
def test_every_committed_value_is_read_back_and_nothing_else_is_visible(acquire, ram, shape, rate_hz, keep_raw, rng):
    with tempfile.TemporaryDirectory(dir=ram) as folder:
        made = acquire(Path(folder), shape, rate_hz, keep_raw)
        blocks = made.plan.blocks
        event("split stacks" if blocks.splits_stacks else "grouped" if blocks.step[0] > 1 else "one stack a block")
        keeper, writer = made.keeper(), made.writer()
        order = list(range(len(blocks)))
        rng.shuffle(order)
        visible = 0
        for done, number in enumerate(order, 1):
            made.record(writer, number)
            grew = keeper.publish([number])
            now = sum(agrees(made.store, p, made.arrays[p.path]) for p in made.products)
            assert grew == (now > visible)
            visible = now
            leading = next(k for k in range(len(blocks) + 1) if k not in order[:done])
            if leading == len(blocks):
                assert visible == sum(a.size for a in made.arrays.values())
        assert set(keeper.committed()) == set(order)
        ledger = keeper.seal([])
        assert ledger.status == "complete"
        for product in made.products:
            assert agrees(made.store, product, made.arrays[product.path]) == made.arrays[product.path].size
        report = verify(made.store)
        assert report.ok, report.problems
        assert (report.status, report.frames_stored) == ("complete", made.plan.frames)


@settings(deadline=None, max_examples=20)
@given(shapes, st.sampled_from([None, 1.0, 2.5, 7.0]), st.data())
def test_a_run_that_lost_frames_is_sealed_exactly(acquire, ram, shape, rate_hz, data):
    with tempfile.TemporaryDirectory(dir=ram) as folder:
        made = acquire(Path(folder), shape, rate_hz)
        plan = made.plan
        kept = data.draw(st.sets(st.integers(0, plan.frames - 1)))
        uncommitted = data.draw(st.sets(st.integers(0, len(plan.blocks) - 1), max_size=3))
        keeper, writer = made.keeper(), made.writer()
        shown: dict[str, tuple[int, ...]] = {}
        for block in plan.blocks:
            if block.number in uncommitted:
                # A worker that was killed before its commit record: everything is there but the record.
                writer.write(block, made.parts(block.number, kept))
            elif kept & set(block.frames):
                made.record(writer, block.number, kept)
                keeper.publish([block.number])
                shown = {p.path: by_zarr(made.store, p).shape for p in made.products}
        stored = {n for n in kept if plan.blocks.block_of(n).number not in uncommitted}
        ledger = keeper.seal([Loss(0, 0, "agent", "camera stopped")])
        assert ledger.stored == Ranges.of(stored)
        assert ledger.lost == Ranges.of(set(range(plan.frames)) - stored)
        assert ledger.status == ("complete" if len(stored) == plan.frames else "incomplete")
        if 0 not in stored:
            assert ledger.losses[0].where == "agent"

        there = np.zeros(plan.shape[:3], bool)
        for n in stored:
            there[plan.index(n)] = True
        for product in made.products:
            if product.axes == "tczyx":
                expected = np.where(there[..., None, None], made.arrays[product.path], 0)
                agrees(made.store, product, expected)
        first = np.where(there[..., None, None], made.arrays["0"], 0)
        for path, axis in (("projections/xy", 2), ("projections/xz", 3), ("projections/yz", 4)):
            product = next(p for p in made.products if p.path == path)
            agrees(made.store, product, first.max(axis))
        level = by_zarr(made.store, made.products[0])
        for n in stored:
            t, _, z = plan.index(n)
            assert t < level.shape[0]
            assert z < level.shape[2]
        for product in made.products:
            before = shown.get(product.path, ())
            assert all(a <= b for a, b in zip(before, by_zarr(made.store, product).shape, strict=bool(before)))

        table = read_frames_table(made.store)
        assert list(table["state"]) == [STORED if n in stored else LOST for n in range(plan.frames)]
        report = verify(made.store)
        assert report.ok, report.problems
        assert keeper.seal([]) == ledger
        assert StoreKeeper.reopen(made.store).seal([]) == ledger
        assert read_ledger(made.store) == ledger
        assert verify(made.store).ok


def test_a_restarted_head_goes_on_where_it_was(acquire, tmp_path):
    made = acquire(tmp_path, (2, 2, 5, 9, 9), rate_hz=2.0)
    assert made.plan.blocks.splits_stacks
    made.keeper()
    writer = made.writer()
    half = len(made.plan.blocks) // 2
    for number in range(half):
        made.record(writer, number)
    keeper = StoreKeeper.reopen(made.store)
    assert keeper.run == made.run
    assert keeper.products == made.products
    keeper.publish([])
    assert by_zarr(made.store, made.products[0]).shape[0] == 1
    keeper = StoreKeeper.reopen(made.store)
    for number in range(half, len(made.plan.blocks)):
        made.record(writer, number)
        keeper.publish([number])
    assert keeper.seal([]).status == "complete"
    for product in made.products:
        assert agrees(made.store, product, made.arrays[product.path]) == made.arrays[product.path].size


def test_sealing_leaves_nothing_that_was_only_needed_on_the_way(acquire, tmp_path):
    made = acquire(tmp_path, (1, 1, 5, 9, 9), rate_hz=2.0)
    keeper, writer = made.keeper(), made.writer()
    for block in made.plan.blocks:
        made.record(writer, block.number)
    dot_folder = made.store / ".octostream"
    assert list((dot_folder / "partial").rglob("*.npy"))
    torn = [folder / ".x.json.1-1.tmp" for folder in (made.store, made.store / "0", dot_folder / "commits")]
    for file in torn:
        file.write_text("what a killed process left")
    keeper.seal([])
    assert not (dot_folder / "partial").exists()
    assert not any(file.exists() for file in torn)
    assert {f.name for f in dot_folder.iterdir()} == {"closed", "commits", "ledger.json", "maps", "run.json"}


def test_a_real_recording_is_stored_exactly_in_half_its_size(acquire, tmp_path):
    recording = Path(__file__).parents[2].parent / "shared" / "data" / "lattice_lightsheet_raw.tif"
    if not recording.exists():
        pytest.skip("the recorded lattice light-sheet stack is not beside this checkout (shared/data)")
    planes = tifffile.imread(recording)
    made = acquire(tmp_path, (1, 1, *planes.shape), rate_hz=30.0, keep_raw=True, raw=planes[None, None])
    assert made.plan.blocks.splits_stacks
    keeper, writer = made.keeper(), made.writer()
    for block in made.plan.blocks:
        made.record(writer, block.number)
        keeper.publish([block.number])
    assert keeper.seal([]).status == "complete"
    for product in made.products:
        assert agrees(made.store, product, made.arrays[product.path]) == made.arrays[product.path].size
    report = verify(made.store)
    assert report.ok, report.problems
    stored = sum(f.stat().st_size for f in (made.store / "raw").rglob("*") if f.is_file())
    assert stored < 0.6 * planes.nbytes


def test_the_display_range_follows_what_is_stored(acquire, tmp_path):
    made = acquire(tmp_path, (4, 2, 2, 8, 8), rate_hz=4.0)
    keeper, writer = made.keeper(), made.writer()

    def windows(group=""):
        ome = zarr.open_group(made.store / group, mode="r").attrs["ome"]
        return [(c["window"]["start"], c["window"]["end"]) for c in ome["omero"]["channels"]]

    assert windows() == [(0, 65535)] * 2
    coarsest = made.arrays[str(sum(p.path.isdigit() for p in made.products) - 1)]
    for block in made.plan.blocks:
        made.record(writer, block.number)
        keeper.publish([block.number])
    keeper.seal([])
    for c, (start, end) in enumerate(windows()):
        assert (start, end) == (coarsest[3, c].min(), coarsest[3, c].max())
    assert windows("projections/xz") == windows()


def test_a_worker_needs_nothing_but_the_store(acquire, tmp_path):
    made = acquire(tmp_path)
    made.keeper()
    run, products, maps = load_run(made.store)
    assert (run, products) == (made.run, made.products)
    assert np.array_equal(maps["offset"], np.full((2, 2), 98.0))


def test_a_moved_store_knows_where_it_lies(acquire, tmp_path):
    made = acquire(tmp_path)
    made.keeper()
    moved = tmp_path / "elsewhere.ome.zarr"
    made.store.rename(moved)
    assert load_run(moved)[0].store == str(moved)


def test_a_taken_name_is_refused_and_what_lies_there_untouched(acquire, tmp_path):
    made = acquire(tmp_path)
    made.store.mkdir(parents=True)
    with pytest.raises(NameRefusedError, match="name taken"):
        made.keeper()
    assert list(tmp_path.rglob("*")) == [made.store.parent, made.store]


def test_a_store_that_cannot_be_made_leaves_nothing(acquire, tmp_path):
    made = acquire(tmp_path)
    (tmp_path / "local").write_text("a file where the investigation should be")
    with pytest.raises(StoreError, match="cannot create the store"):
        made.keeper()
    assert list(tmp_path.iterdir()) == [tmp_path / "local"]


def test_the_same_buffers_may_be_used_again_after_a_write(acquire, tmp_path):
    made = acquire(tmp_path, (3, 1, 4, 64, 64), rate_hz=4.0)
    keeper, writer = made.keeper(), made.writer()
    buffers = {path: part.copy() for path, part in made.parts(0).items()}
    for block in made.plan.blocks:
        for path, part in made.parts(block.number).items():
            buffers[path][...] = part
        writer.write(block, buffers)
        writer.commit(made.commit(block.number))
        for buffer in buffers.values():
            buffer[...] = 7
    keeper.publish(range(len(made.plan.blocks)))
    for product in made.products:
        agrees(made.store, product, made.arrays[product.path])


def test_writing_a_block_again_gives_the_same_files(acquire, tmp_path):
    made = acquire(tmp_path, (2, 1, 5, 12, 12), rate_hz=2.0, keep_raw=True)
    made.keeper()
    writer = made.writer()
    made.record(writer, 1)
    first = {f: f.read_bytes() for f in made.store.rglob("*") if f.is_file()}
    made.record(made.writer(), 1)
    assert {f: f.read_bytes() for f in made.store.rglob("*") if f.is_file()} == first


def test_dark_frames_are_stored_like_any_other(acquire, tmp_path):
    made = acquire(tmp_path, bits=0)
    keeper, writer = made.keeper(), made.writer()
    for block in made.plan.blocks:
        made.record(writer, block.number)
    keeper.seal([])
    assert verify(made.store).ok
    assert len(list((made.store / "0" / "c").rglob("0"))) > 0


def test_a_sealed_or_vanished_store_takes_no_more_blocks(acquire, tmp_path):
    made = acquire(tmp_path)
    keeper, writer = made.keeper(), made.writer()
    keeper.seal([])
    for late in (lambda: writer.write(made.plan.blocks[0], made.parts(0)), lambda: writer.commit(made.commit(0))):
        with pytest.raises(StoreError, match="is sealed"):
            late()
    made.store.rename(tmp_path / "gone")
    with pytest.raises(StoreError, match="is gone"):
        writer.write(made.plan.blocks[0], made.parts(0))
    assert not made.store.exists()
    writer.close()


@pytest.mark.parametrize("spoil", ["missing", "unknown", "shape", "dtype"])
def test_parts_that_do_not_fit_are_refused_before_anything_is_written(acquire, tmp_path, spoil):
    made = acquire(tmp_path)
    made.keeper()
    parts = made.parts(0)
    match spoil:
        case "missing":
            del parts["1"]
        case "unknown":
            parts["9"] = parts["0"]
        case "shape":
            parts["1"] = parts["0"]
        case "dtype":
            parts["1"] = parts["1"].astype(np.int32)
    with pytest.raises(ValueError, match="part"):
        made.writer().write(made.plan.blocks[0], parts)
    assert not list(made.store.glob("*/c"))


def test_stored_bytes_are_those_on_disk(acquire, tmp_path):
    made = acquire(tmp_path, (1, 1, 7, 33, 20), rate_hz=3.0)
    made.keeper()
    before = sum(f.stat().st_size for f in made.store.rglob("*") if f.is_file())
    written = made.writer().write(made.plan.blocks[0], made.parts(0))
    assert sum(f.stat().st_size for f in made.store.rglob("*") if f.is_file()) - before == written


def test_the_order_of_commits_does_not_matter_for_the_sealed_bytes(acquire, tmp_path):
    sealed = []
    for name, seed in (("a", 1), ("b", 2)):
        made = acquire(tmp_path / name, (2, 2, 4, 8, 8), rate_hz=3.0)
        keeper, writer = made.keeper(), made.writer()
        order = list(range(len(made.plan.blocks)))
        random.Random(seed).shuffle(order)
        for number in order:
            made.record(writer, number)
            keeper.publish([number])
        keeper.seal([])
        files = {f.relative_to(made.store): f.read_bytes() for f in made.store.rglob("*") if f.is_file()}
        del files[Path(".octostream/run.json")]
        sealed.append(files)
    assert sealed[0].keys() == sealed[1].keys()
    assert [f for f in sealed[0] if sealed[0][f] != sealed[1][f] and f.name != "zarr.json"] == []
