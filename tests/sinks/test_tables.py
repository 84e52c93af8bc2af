"""Tables: bit for bit through a commit record, in frame order in a sealed store, compared when it is verified."""

from __future__ import annotations

import base64
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from octostream.sinks import tables as tables_of
from octostream.sinks.checked import digest
from octostream.sinks.commits import DamagedRecordError, commit_from_bytes, commit_to_bytes, record_file
from octostream.sinks.keeper import StoreKeeper
from octostream.sinks.recorded import recorded
from octostream.sinks.recover import recover
from octostream.sinks.runfile import read_run
from octostream.sinks.tables import Sheet
from octostream.sinks.verify import verify
from octostream.stream.errors import StoreError
from octostream.stream.model import Commit
from octostream.stream.ranges import Ranges
from octostream.stream.tables import Column, Table

from .damaged import PLANS, again, flip, no_reduction, record_all, tree

DRIFT = {"frame": np.array([0, 6, 12], np.uint64), "dy": np.array([0.5, np.nan, -np.inf])}


def column(made, table, name):
    return zarr.open_array(made.store / "tables" / table / name, mode="r")


def expected(made, frames=None):
    frames = range(made.plan.frames) if frames is None else sorted(frames)
    return made.rows(frames)["focus"]


types = st.sampled_from(["uint8", "int16", "uint64", "int64", "float32", "float64", "bool"])


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 5).flatmap(lambda n: st.lists(types.flatmap(lambda t: hnp.arrays(t, n)), max_size=4)), st.data())
def test_rows_come_back_bit_for_bit_or_are_called_damaged(columns, data):
    rows = {f"c{k}": values for k, values in enumerate(columns)}
    commit = Commit(3, (), (), "w", 1, 2, 3, (), {"one": rows, "none": {}})
    written = commit_to_bytes(commit)
    read = commit_from_bytes(written, 3, "x")
    assert read.tables.keys() == commit.tables.keys()
    assert read.tables["one"].keys() == rows.keys()
    for name, values in rows.items():
        assert read.tables["one"][name].dtype == values.dtype
        assert read.tables["one"][name].tobytes() == values.tobytes()
    assert replace(read, tables={}) == replace(commit, tables={})
    bad = bytearray(written)
    bad[data.draw(st.integers(0, len(bad) - 2))] ^= 1 << data.draw(st.integers(0, 6))
    try:
        read = commit_from_bytes(bytes(bad), 3, "x")
    except DamagedRecordError:
        return
    assert all(read.tables["one"][name].tobytes() == values.tobytes() for name, values in rows.items())


@pytest.mark.parametrize(
    "rows",
    [
        {"a": np.zeros(2), "b": np.zeros(3)},
        {"a": np.zeros((2, 2))},
        {"a": np.array(["x"])},
        {"a": np.array([None])},
    ],
)
def test_what_is_no_table_does_not_become_a_record(rows):
    with pytest.raises(ValueError, match="table"):
        commit_to_bytes(Commit(0, (), (), "w", 1, 2, 3, (), {"one": rows}))


@pytest.mark.parametrize("spoil", [{"dtype": "O"}, {"dtype": "float99"}, {"values": "?"}, {"values": "AAAA"}])
def test_a_record_whose_rows_make_no_sense_is_damaged_though_its_checksum_is_right(spoil):
    rows = {"a": np.zeros(2, np.float32), "b": np.zeros(2, np.float32)}
    content = json.loads(commit_to_bytes(Commit(0, (), (), "w", 1, 2, 3, (), {"one": rows})))
    content["record"]["tables"]["one"]["a"] |= spoil
    content["xxh3_64"] = digest(content["record"])
    with pytest.raises(DamagedRecordError):
        commit_from_bytes(json.dumps(content).encode(), 0, "x")


def test_numbers_are_little_endian_in_a_record():
    rows = {"a": np.array([1.5], ">f4")}
    content = json.loads(commit_to_bytes(Commit(0, (), (), "w", 1, 2, 3, (), {"one": rows})))
    assert content["record"]["tables"]["one"]["a"]["dtype"] == "float32"
    assert base64.b64decode(content["record"]["tables"]["one"]["a"]["values"]) == np.float32(1.5).tobytes()


def test_a_store_knows_its_tables(acquire, tmp_path):
    made = acquire(tmp_path, extra=True)
    made.keeper()
    assert read_run(made.store).tables == made.tables
    assert StoreKeeper.reopen(made.store).tables == made.tables
    assert not (made.store / "tables").exists()


@settings(deadline=None, max_examples=15)
@given(st.sampled_from(sorted(PLANS)), st.data())
def test_a_sealed_store_has_every_row_in_the_order_of_frames(acquire, ram, plan, data):
    with tempfile.TemporaryDirectory(dir=ram) as folder:
        made = acquire(Path(folder), *PLANS[plan], extra=True)
        held = data.draw(st.sets(st.integers(0, made.plan.frames - 1)))
        keeper, writer = made.keeper(), made.writer()
        for block in data.draw(st.permutations(list(made.plan.blocks))):
            if held & set(block.frames):
                made.record(writer, block.number, held)
        keeper.seal([], {"drift": DRIFT} if data.draw(st.booleans(), label="drift") else {})
        found = zarr.open_group(made.store / "tables" / "focus", mode="r")
        for name, values in expected(made, held).items():
            assert found[name][:].tobytes() == values.tobytes()
            assert found[name].metadata.dimension_names == ("row",)
        assert verify(made.store).ok
        there = keeper.recorded({"focus"})
        assert set(there.blocks) == set(keeper.committed())
        assert there.counts == {"focus": len(expected(made, held)["frame"]), "drift": 0}
        rows = there.rows["focus"]
        assert all(rows[name].tobytes() == values.tobytes() for name, values in expected(made, held).items())


def test_columns_say_what_they_are(acquire, tmp_path):
    made = acquire(tmp_path, *PLANS["stacks"], extra=True)
    record_all(made, seal=False).seal([], {"drift": DRIFT})
    group = zarr.open_group(made.store / "tables", mode="r")
    assert sorted(name for name, _ in group.groups()) == ["drift", "focus"]
    assert dict(group["focus"].attrs) == {"meaning": made.tables[0].meaning}
    told = {"unit": "bit", "meaning": "how sharp it is", "source": "commit records"}
    assert dict(group["focus/entropy"].attrs) == told
    assert group["drift/dy"].attrs["source"] == "derived"
    assert group["drift/dy"][:].tobytes() == DRIFT["dy"].tobytes()


def test_long_tables_are_written_chunk_by_chunk(acquire, tmp_path, monkeypatch):
    monkeypatch.setattr(tables_of, "TABLE_CHUNK", 4)
    made = acquire(tmp_path, (9, 1, 3, 4, 4), rate_hz=3.0, extra=True)
    keeper = record_all(made)
    count = len(expected(made)["frame"])
    for _ in range(2):
        assert column(made, "focus", "entropy")[:].tobytes() == expected(made)["entropy"].tobytes()
        files = sorted(f.name for f in (made.store / "tables/focus/frame/c").iterdir())
        assert files == [str(k) for k in range(-(-count // 4))]
        (made.store / "tables/focus/frame/c/99").write_bytes(b"of an earlier seal")
        before = tree(made.store)
        keeper.seal([])
        assert tree(made.store) == {k: v for k, v in before.items() if not k.endswith("/99")}


def test_columns_complete_those_of_the_records_and_stay_at_the_next_seal(acquire, tmp_path):
    made = acquire(tmp_path, *PLANS["stacks"], extra=True)
    trend = Column("trend", "float32", "", "how much sharper than those before")
    made.tables = (replace(made.tables[0], columns=(*made.tables[0].columns, trend)), made.tables[1])
    keeper = record_all(made)
    count = len(expected(made)["frame"])
    assert np.isnan(column(made, "focus", "trend")[:]).all()
    assert verify(made.store).ok
    values = np.arange(count, dtype=np.float32)
    for given_rows in ({"focus": {"trend": values}, "drift": DRIFT}, {}):
        keeper.seal([], given_rows)
        assert column(made, "focus", "trend")[:].tobytes() == values.tobytes()
        assert column(made, "focus", "entropy")[:].tobytes() == expected(made)["entropy"].tobytes()
        assert column(made, "drift", "dy")[:].tobytes() == DRIFT["dy"].tobytes()
        assert verify(made.store).ok


@pytest.mark.parametrize(
    "rows", [{"trend": np.zeros(3)}, {"entropy": np.zeros(3)}, {"frame": np.zeros(18), "entropy": np.zeros(3)}]
)
def test_rows_that_do_not_fit_are_refused_and_nothing_is_sealed(acquire, tmp_path, rows):
    made = acquire(tmp_path, *PLANS["stacks"], extra=True)
    keeper = record_all(made, seal=False)
    with pytest.raises(StoreError, match="do not complete the 12 rows of table focus"):
        keeper.seal([], {"focus": rows})
    assert not (made.store / ".octostream" / "ledger.json").exists()


def test_rows_of_one_frame_stay_in_their_order():
    sheet = Sheet(Table("t", (Column("frame", "uint64", "", ""), Column("x", "int8", "", ""))), {})
    sheet.add({"frame": np.array([5, 3, 5, 3]), "x": np.array([1, 2, 3, 4])})
    ((first, columns),) = sheet.chunks(last=True)
    assert first == 0
    assert columns["frame"].tolist() == [3, 3, 5, 5]
    assert columns["x"].tolist() == [2, 4, 1, 3]


# --- verified and recovered --------------------------------------------------------------------------------------


@pytest.fixture
def sealed(acquire, tmp_path):
    made = acquire(tmp_path, *PLANS["stacks"], extra=True)
    keeper = record_all(made, seal=False)
    made.derive()
    keeper.seal([], {"drift": DRIFT})
    return made


def overwrite(made, table, name, values, at=0):
    array = zarr.open_array(made.store / "tables" / table / name, mode="r+")
    array[at : at + len(values)] = values


def test_rows_that_differ_from_the_records_are_named(sealed):
    overwrite(sealed, "focus", "entropy", [1, 2], 3)
    assert verify(sealed.store).problems == ("tables/focus/entropy: not what the commit records say in rows 3-4",)
    recover(sealed.store, no_reduction)
    assert column(sealed, "focus", "entropy")[:].tobytes() == expected(sealed)["entropy"].tobytes()
    assert column(sealed, "drift", "dy")[:].tobytes() == DRIFT["dy"].tobytes()
    assert verify(sealed.store).ok
    again(sealed.store)


@pytest.mark.parametrize("how", ["flip", "gone", "metadata"])
@pytest.mark.parametrize("name", ["focus/entropy", "drift/dy"])
def test_damage_to_a_column_is_named_and_mended_from_the_records(sealed, name, how):
    folder = sealed.store / "tables" / name
    file = folder / "zarr.json" if how == "metadata" else folder / "c" / "0"
    file.unlink() if how == "gone" else flip(file)
    (problem,) = verify(sealed.store).problems
    assert name in problem
    asked = []
    recover(sealed.store, no_reduction, derive=lambda store: asked.append(store) or {"drift": DRIFT})
    assert column(sealed, "focus", "entropy")[:].tobytes() == expected(sealed)["entropy"].tobytes()
    assert asked == [sealed.store]
    assert column(sealed, "drift", "dy")[:].tobytes() == DRIFT["dy"].tobytes()
    again(sealed.store)


def test_a_record_that_is_made_again_has_its_rows(sealed):
    file = record_file(sealed.store, 1)
    flip(file, len(file.read_bytes()) // 2)
    recover(sealed.store, no_reduction)
    rows = StoreKeeper.reopen(sealed.store).committed()[1].tables["focus"]
    assert all(rows[n].tobytes() == v.tobytes() for n, v in sealed.commit(1).tables["focus"].items())
    assert column(sealed, "focus", "entropy")[:].tobytes() == expected(sealed)["entropy"].tobytes()
    again(sealed.store)


def test_rows_of_the_records_keep_every_bit():
    table = Table("t", (Column("frame", "uint64", "", ""), Column("ns", "int64", "ns", "")))
    commits = [Commit(k, (), (), "w", 1, 2, 3, (), {"t": {"frame": [k], "ns": [2**62 + k]}}) for k in range(2)]
    commits = [replace(c, tables={"t": {n: np.array(v, np.int64) for n, v in c.tables["t"].items()}}) for c in commits]
    found = recorded([table], {"t"}, commits)
    assert (found.blocks, found.counts) == (Ranges.of([0, 1]), {"t": 2})
    assert found.tables == {"t"}
    assert found.rows["t"]["ns"].tolist() == [2**62, 2**62 + 1]
    assert found.rows["t"]["frame"].dtype == np.uint64
