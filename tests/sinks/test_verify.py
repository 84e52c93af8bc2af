"""Every kind of damage is found and named."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from octostream.sinks.arrays import context, open_planned
from octostream.sinks.commits import commit_to_bytes, record_file
from octostream.sinks.layout import region, shard_file
from octostream.sinks.recompute import as_text, halve
from octostream.sinks.verify import verify
from octostream.stream.errors import StoreError
from octostream.stream.model import Loss
from octostream.stream.ranges import Ranges

PATHS = ("0", "1", "2", "projections/xy", "projections/xz", "projections/yz", "raw/0")


@pytest.fixture(scope="module")
def sealed(acquire, tmp_path_factory):
    """A complete run with raw frames: 3 stacks of 4 frames, one block each; not to be changed."""
    made = acquire(tmp_path_factory.mktemp("sealed"), (3, 1, 4, 24, 20), rate_hz=5.0, keep_raw=True)
    keeper, writer = made.keeper(), made.writer()
    for block in made.plan.blocks:
        made.record(writer, block.number)
    keeper.seal([])
    assert verify(made.store).ok
    return made


@pytest.fixture
def store(sealed, tmp_path):
    """A copy of it to damage."""
    return Path(shutil.copytree(sealed.store, tmp_path / "copy.ome.zarr"))


def problems(store: Path) -> list[str]:
    report = verify(store)
    assert report.ok == (not report.problems)
    assert all("\n" not in line for line in report.problems)
    return list(report.problems)


def product(made, path):
    return next(p for p in made.products if p.path == path)


def shard(made, store, path, block=1):
    return shard_file(store, made.plan, product(made, path), made.plan.blocks[block])


@pytest.mark.parametrize("path", PATHS)
def test_a_flipped_bit_anywhere_in_a_shard_is_found(sealed, store, path):
    file = shard(sealed, store, path)
    good = file.read_bytes()
    for at in np.linspace(0, len(good) - 1, 7).astype(int):
        bad = bytearray(good)
        bad[at] ^= 0x10
        file.write_bytes(bad)
        found = problems(store)
        assert any(str(file.relative_to(store)) in line and "damaged" in line for line in found), (at, found)
        assert any("frames 4-7" in line or "frame " in line for line in found)
    file.write_bytes(good)
    assert problems(store) == []


def test_damage_is_narrowed_down_to_the_frames_it_hits(acquire, tmp_path):
    made = acquire(tmp_path, (1, 1, 4, 2048, 2048), rate_hz=4.0)
    keeper = made.keeper()
    made.record(made.writer(), 0)
    keeper.seal([])
    file = shard(made, made.store, "0", 0)
    bad = bytearray(file.read_bytes())
    bad[len(bad) // 2 + 100] ^= 1
    file.write_bytes(bad)
    (line,) = problems(made.store)
    assert "frame 2 " in line or "frame 1 " in line


@pytest.mark.parametrize("path", PATHS)
def test_a_missing_shard_is_named(sealed, store, path):
    shard(sealed, store, path).unlink()
    (line,) = problems(store)
    assert "is missing" in line
    assert "frames 4-7" in line


@pytest.mark.parametrize("path", PATHS)
def test_a_truncated_shard_is_named(sealed, store, path):
    file = shard(sealed, store, path)
    file.write_bytes(file.read_bytes()[:-7])
    (line,) = problems(store)
    assert "is damaged" in line
    assert "frames 4-7" in line


@pytest.mark.parametrize("path", PATHS)
def test_a_readable_but_wrong_value_is_found(sealed, store, path):
    made, block = sealed, sealed.plan.blocks[1]
    wrong = made.parts(1)[path].copy()
    index = (0,) * (wrong.ndim - 2) + (1, 2)
    wrong[index] ^= 0x8000
    array = open_planned(store, made.plan, product(made, path), context(1))
    array[region(product(made, path), block)].write(wrong).result()
    found = problems(store)
    assert found
    named = {"projections/xy": "frames 4-7", "projections/xz": "frame 5", "projections/yz": "frame 5"}
    assert all(line.endswith(named.get(path, "frame 4")) for line in found if not line.startswith("projections/xy"))
    # A wrong value of level 0 shows in what follows from it.
    blamed = {line.split(":")[0] for line in found}
    assert blamed >= ({"1", "projections/xz", "projections/yz"} if path == "0" else {path})


def test_a_shard_of_another_block_is_found(sealed, store):
    for path in ("0", "1", "projections/xz"):
        shutil.copy(shard(sealed, store, path, 0), shard(sealed, store, path, 1))
    assert any("frames 4-7" in line for line in problems(store))


def test_a_deleted_commit_record_is_named(store):
    record_file(store, 1).unlink()
    found = problems(store)
    assert any(line.startswith("frames 4-7: stored in the ledger, but in no commit record") for line in found)
    assert "0/c/1/0/0/0/0 belongs to no commit record" in found


def test_a_changed_commit_record_is_named(sealed, store):
    file = record_file(store, 1)
    file.write_bytes(file.read_bytes().replace(b'"w1"', b'"w2"'))
    assert "the commit record of block 1 is damaged: frames 4-7" in problems(store)


def test_commit_records_that_do_not_belong_are_named(sealed, store):
    record_file(store, 9).write_bytes(commit_to_bytes(sealed.commit(1)))
    assert "there is a commit record of block 9, the plan has 3 blocks" in problems(store)
    record_file(store, 9).unlink()
    record_file(store, 1).write_bytes(commit_to_bytes(replace(sealed.commit(0), block=1)))
    assert "the commit record of block 1 names frames of another block" in problems(store)


@pytest.mark.parametrize("column", ["state", "timestamp_ns", "checksum", "min", "max", "mean", "saturated"])
def test_a_changed_frames_table_is_named(store, column):
    zarr.open_array(store / "frames" / column, mode="r+")[5] = 77
    assert problems(store) == [f"frames/{column}: not what the commit records say for frame 5"]


def test_a_missing_or_damaged_frames_table_is_named(store):
    file = store / "frames" / "checksum" / "c" / "0"
    bad = bytearray(file.read_bytes())
    bad[-1] ^= 1
    file.write_bytes(bad)
    assert any("frames/checksum" in line for line in problems(store))
    shutil.rmtree(store / "frames")
    assert any("frames" in line for line in problems(store))


def test_a_ledger_that_says_otherwise_is_named(store):
    file = store / ".octostream" / "ledger.json"
    ledger = json.loads(file.read_text())
    ledger["stored"] = [[0, 2], [4, 11]]
    file.write_text(json.dumps(ledger))
    found = problems(store)
    assert "frame 3: in a commit record, but not stored in the ledger" in found
    assert "frame 3: neither stored nor lost in the ledger" in found
    ledger["frames_expected"] = 13
    file.write_text(json.dumps(ledger))
    assert "the ledger expects 13 frames, the plan 12" in problems(store)
    file.write_text("{")
    assert any("ledger.json is damaged" in line for line in problems(store))
    file.unlink()
    assert "the ledger is missing: seal the run" in problems(store)


def test_changed_metadata_are_named(store):
    def change(name, edit):
        file = store / name
        good = file.read_bytes()
        content = json.loads(good)
        edit(content)
        file.write_text(json.dumps(content))
        found = problems(store)
        file.write_bytes(good)
        return found

    assert change("1/zarr.json", lambda m: m["shape"].__setitem__(0, 2)) == [
        "1/zarr.json shows shape (2, 1, 4, 6, 5), the commit records say (3, 1, 4, 6, 5)"
    ]
    assert change("1/zarr.json", lambda m: m.update(fill_value=9)) == ["1/zarr.json is not what octostream wrote"]
    assert change("zarr.json", lambda m: m["attributes"]["octostream"].update(frames_stored=11)) == [
        "zarr.json says frames_stored = 11, it is 12"
    ]
    assert change("projections/xz/zarr.json", lambda m: m["attributes"].pop("ome")) == [
        "projections/xz/zarr.json does not describe the image that the plan says"
    ]
    (store / "2" / "zarr.json").unlink()
    assert any("2/zarr.json is missing" in line for line in problems(store))


def test_a_run_that_was_never_sealed_is_judged_by_its_records(acquire, tmp_path):
    made = acquire(tmp_path, (2, 1, 5, 9, 9), rate_hz=2.0)
    keeper, writer = made.keeper(), made.writer()
    calls = []
    report = verify(made.store)
    assert (report.ok, report.status, report.frames_stored) == (True, "recording", 0)
    for number in range(4):
        made.record(writer, number)
    keeper.publish(range(4))
    report = verify(made.store, lambda done, total: calls.append((done, total)))
    assert report.ok, report.problems
    assert (report.status, report.frames_stored) == ("recording", 7)
    assert calls == [(k + 1, 4) for k in range(4)]
    shard(made, made.store, "1", 3).unlink()
    assert any("1/c/1/0/0/0/0 is missing" in line for line in problems(made.store))


def test_a_merged_projection_is_checked_against_the_whole_stack(acquire, tmp_path):
    made = acquire(tmp_path, (2, 1, 5, 9, 9), rate_hz=2.0)
    keeper, writer = made.keeper(), made.writer()
    for block in made.plan.blocks:
        made.record(writer, block.number)
    keeper.seal([])
    assert verify(made.store).ok
    xy, block = product(made, "projections/xy"), made.plan.blocks[3]
    array = open_planned(made.store, made.plan, xy, context(1))
    array[region(xy, block)].write(made.parts(3)["projections/xy"]).result()
    assert problems(made.store) == ["projections/xy: not the maximum of level 0 in stack t=1, c=0"]
    shard(made, made.store, "projections/xy", 3).unlink()
    assert any("projections/xy/0/c/1/0/0/0 is missing" in line for line in problems(made.store))


def test_lost_frames_are_told_but_are_no_problem(acquire, tmp_path):
    made = acquire(tmp_path)
    keeper = made.keeper()
    keeper.seal([Loss(0, 11, "agent", "stopped")])
    report = verify(made.store)
    assert (report.ok, report.status, report.frames_lost) == (True, "incomplete", 12)
    assert report.losses == (Loss(0, 11, "agent", "stopped"),)
    assert json.loads(json.dumps(report.to_json()))["losses"][0]["why"] == "stopped"


@pytest.mark.parametrize("there", ["nothing", "file", "folder", "damaged"])
def test_what_is_no_store_is_refused_in_one_line(acquire, tmp_path, there):
    path = tmp_path / "x"
    match there:
        case "file":
            path.write_text("x")
        case "folder":
            path.mkdir()
        case "damaged":
            made = acquire(tmp_path)
            made.keeper()
            (made.store / ".octostream" / "run.json").write_text('{"layout_version": 2}')
            path = made.store
    with pytest.raises(StoreError) as error:
        verify(path)
    assert "\n" not in str(error.value)
    assert "is damaged" in str(error.value) if there == "damaged" else "not an octostream store" in str(error.value)


def test_a_store_of_a_newer_version_is_refused(acquire, tmp_path):
    made = acquire(tmp_path)
    made.keeper()
    file = made.store / ".octostream" / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "layout_version": 99}))
    with pytest.raises(StoreError, match="newer octostream"):
        verify(made.store)


def test_halving_is_the_rounded_mean():
    rng = np.random.default_rng(5)
    for shape in ((1, 1), (1, 6), (7, 1), (5, 5), (6, 9), (16, 16)):
        for high in (3, 65536):
            plane = rng.integers(0, high, shape, dtype=np.uint16)
            padded = np.full((shape[0] + shape[0] % 2, shape[1] + shape[1] % 2), np.nan)
            padded[: shape[0], : shape[1]] = plane
            cells = padded.reshape(padded.shape[0] // 2, 2, -1, 2)
            assert np.array_equal(halve(plane), np.rint(np.nanmean(cells, axis=(1, 3))))
    assert halve(np.full((2, 2), 65535, np.uint16))[0, 0] == 65535


def test_frames_are_named_in_few_words():
    assert as_text(Ranges.of([3])) == "frame 3"
    assert as_text(Ranges.of([3, 4, 5, 9])) == "frames 3-5, 9"
    assert as_text(Ranges.of(range(0, 40, 2))) == "frames 0, 2, 4, 6, 8, 10, 12, 14 and 12 more ranges"
