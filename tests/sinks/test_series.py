"""What follows the committed blocks: read from them, written beside them, shown as far as it has come."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from octostream.sinks.keeper import StoreKeeper
from octostream.sinks.layout import array_path, of_stage, shard_file
from octostream.sinks.part import DamagedPartError
from octostream.sinks.series import SeriesReader
from octostream.sinks.verify import verify
from octostream.stream.errors import RecipeError, StoreError
from octostream.stream.model import Product

from .damaged import PLANS, flip, product, record_all, shard, tree


def shown(made, path):
    return zarr.open_array(made.store / array_path(product(made, path)), mode="r")[...]


def leading(made, path):
    """Give how much is shown of a product along its first axis, having seen that it is right."""
    seen = shown(made, path)
    np.testing.assert_array_equal(seen, made.arrays[path][tuple(slice(0, n) for n in seen.shape)])
    return seen.shape


SERIES, AT_END = ("dff/0", "registered/0"), ("moments/mean", "projections/t-max")


@settings(deadline=None, max_examples=15)
@given(st.sampled_from(sorted(PLANS)), st.data())
def test_a_series_is_shown_as_far_as_it_has_come_and_never_less(acquire, ram, plan, data):
    with tempfile.TemporaryDirectory(dir=ram) as folder:
        made = acquire(Path(folder), *PLANS[plan], extra=True)
        keeper, writer = made.keeper(), made.writer()
        count = len(made.plan.blocks)
        committed, derived, before = set(), 0, 0
        order = iter(data.draw(st.permutations(range(count)), label="order"))
        restart = data.draw(st.integers(0, 2 * count), label="restart")
        for turn in range(2 * count):
            ready = next((k for k in range(count) if k not in committed), count)
            if derived < ready and (len(committed) == count or data.draw(st.booleans(), label="derive")):
                made.derive({derived}, whole=False)
                derived += 1
                keeper.publish([])
            else:
                number = next(order)
                made.record(writer, number)
                committed.add(number)
                keeper.publish([number])
            if turn == restart:
                keeper = StoreKeeper.reopen(made.store)
                keeper.publish([])
            rows = leading(made, "dff/0")[0]
            assert leading(made, "registered/0")[0] == rows >= before
            assert rows <= shown(made, "0").shape[0]
            assert all(b.number < derived for b in made.plan.blocks if b.origin[0] < rows)
            before = rows
        assert leading(made, "dff/0") == leading(made, "0")
        assert all(shown(made, path).shape[0] == 0 for path in AT_END)
        made.derive(())
        keeper.publish([])
        assert all(shown(made, path).shape[0] == 0 for path in AT_END)
        keeper.seal([])
        for p in made.products:
            assert leading(made, p.path) == p.shape
        assert zarr.open_group(made.store, mode="r").attrs["octostream"]["not_derived"] == []


def test_what_was_not_derived_is_listed_and_shown_as_far_as_it_is(acquire, tmp_path):
    made = acquire(tmp_path, *PLANS["stacks"], extra=True)
    keeper = record_all(made, seal=False)
    made.derive({0, 1, 4, 5}, whole=False)
    keeper.seal([])
    root = zarr.open_group(made.store, mode="r")
    assert root.attrs["octostream"]["not_derived"] == [*SERIES, *AT_END]
    assert [leading(made, path)[0] for path in (*SERIES, *AT_END)] == [1, 1, 0, 0]
    assert verify(made.store).ok


def test_a_part_that_is_written_again_is_replaced_whole(acquire, tmp_path):
    made = acquire(tmp_path, *PLANS["grouped"], extra=True)
    record_all(made, seal=False)
    made.derive()
    first = tree(made.store)
    made.derive()
    assert tree(made.store) == first


@pytest.mark.parametrize("spoil", ["path", "shape", "dtype"])
def test_a_product_of_a_run_that_does_not_fit_is_refused(acquire, tmp_path, spoil):
    from octostream.sinks.series import SeriesWriter

    made = acquire(tmp_path, extra=True)
    made.keeper()
    writer = SeriesWriter(made.store, made.plan, made.products)
    array, path = made.arrays["moments/mean"], "dff/0" if spoil == "path" else "moments/mean"
    array = array[:, 1:] if spoil == "shape" else array.astype(np.float64) if spoil == "dtype" else array
    with pytest.raises(ValueError, match=r"moments/mean is float|no product of stage run"):
        writer.write_run_product(path, array)
    with pytest.raises(ValueError, match="parts of"):
        writer.write(made.plan.blocks[0], made.parts(0))
    writer.close()


@pytest.mark.parametrize("plan", sorted(PLANS))
def test_levels_are_read_before_they_are_shown(acquire, tmp_path, plan):
    made = acquire(tmp_path, *PLANS[plan])
    made.keeper()
    worker = made.writer()
    for path in ("0", "1"):
        reader = SeriesReader(made.store, made.plan, product(made, path))
        for block in made.plan.blocks:
            if path == "0":
                made.record(worker, block.number, set(block.frames) - {block.first})
            part = reader.read(block)
            assert part.dtype == np.uint16
            np.testing.assert_array_equal(part, made.parts(block.number, set(block.frames) - {block.first})[path])


def test_what_cannot_be_read_is_said_in_one_line(acquire, tmp_path):
    made = acquire(tmp_path, *PLANS["stacks"], extra=True)
    record_all(made, seal=False)
    reader = SeriesReader(made.store, made.plan, product(made, "1"))
    flip(shard(made, made.store, "1", 1))
    shard(made, made.store, "1", 2).unlink()
    for number in (1, 2):
        with pytest.raises(DamagedPartError, match=f"cannot read level 1 of block {number}") as error:
            reader.read(made.plan.blocks[number])
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="no level in counts"):
        SeriesReader(made.store, made.plan, product(made, "labels/foreground/0"))


def test_a_damaged_part_keeps_no_run_from_being_sealed(acquire, tmp_path):
    made = acquire(tmp_path, *PLANS["stacks"])
    keeper = record_all(made, seal=False)
    flip(shard(made, made.store, "1", len(made.plan.blocks) - 1))  # where the range is looked for that viewers show
    assert keeper.seal([]).status == "complete"
    (problem,) = verify(made.store).problems
    assert "1/c/2/1/0/0/0 is damaged" in problem


def test_a_damaged_part_costs_its_own_channel_the_range_that_viewers_show_and_no_other(acquire, tmp_path):
    def windows(store):
        channels = zarr.open_group(store, mode="r").attrs["ome"]["omero"]["channels"]
        return [(channel["window"]["start"], channel["window"]["end"]) for channel in channels]

    whole = acquire(tmp_path / "whole", *PLANS["stacks"])
    record_all(whole)
    right = windows(whole.store)
    for sealed_before in (False, True):
        made = acquire(tmp_path / str(sealed_before), *PLANS["stacks"])
        keeper = record_all(made, seal=sealed_before)
        flip(shard(made, made.store, "1", len(made.plan.blocks) - 1))
        if sealed_before:
            keeper = StoreKeeper.reopen(made.store)
            (problem,) = verify(made.store).problems
            assert "1/c/2/1/0/0/0 is damaged" in problem, "the range of that channel cannot be compared"
        keeper.seal([])
        assert windows(made.store) == [right[0], (0, 65535)]
        assert len(verify(made.store).problems) == 1


def test_nobody_writes_into_a_store_that_is_gone(acquire, tmp_path):
    made = acquire(tmp_path, extra=True)
    made.keeper()
    shutil.rmtree(made.store)
    with pytest.raises(StoreError, match="is gone"):
        made.derive()
    assert not made.store.exists()


@pytest.mark.parametrize(
    ("wrong", "axis"),
    [
        (Product("labels/whole", "tczyx", (2, 1, 9, 4, 4), "uint8", 1, own="z", shows="label"), "z"),
        (Product("projections/flat", "tcyx", (2, 1, 4, 4), "uint16", 1), "z"),
        (Product("moments/early", "czyx", (1, 5, 4, 4), "float32", 1, stage="series"), "t"),
    ],
)
def test_products_whose_parts_would_fall_on_one_another_are_refused(acquire, tmp_path, wrong, axis):
    made = acquire(tmp_path, *PLANS["split"])
    made.products = (*made.products, wrong)
    with pytest.raises(RecipeError, match=f"{wrong.path} takes all of {axis} at once"):
        made.keeper()
    assert not made.store.exists()


def test_stages_are_where_everybody_looks_for_them(acquire, tmp_path):
    made = acquire(tmp_path, extra=True)
    assert [p.path for p in of_stage(made.products, "series")] == list(SERIES)
    assert shard_file(Path(), made.plan, product(made, "resampled"), made.plan.blocks[0]).parts[-3] == "0"
