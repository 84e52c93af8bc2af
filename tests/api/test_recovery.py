"""Recovery in a data directory: real recipes, the registry, a running service, and what the command prints."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import xxhash
from octostream.api.cli import app
from octostream.api.recovery import recover_store
from octostream.api.run_account import RunAccount
from octostream.api.service import lock_data
from octostream.api.stored_runs import registry_file
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.sinks.checked import with_digest
from octostream.sinks.keeper import StoreKeeper
from octostream.sinks.names import store_path
from octostream.sinks.registry import Registry
from octostream.sinks.runfile import read_run, run_file
from octostream.sinks.verify import verify
from octostream.sinks.writer import StoreWriter
from octostream.stream.errors import StoreError, UsageError
from octostream.stream.model import Commit, Frame, Plan, Run
from typer.testing import CliRunner

PLAN = Plan((3, 1, 4, 12, 18), rate_hz=4.0)


def quiet(done, total):
    pass


@dataclass
class Recorded:
    """A run in a data directory, as a service would have left it."""

    data: Path
    run: Run
    keeper: StoreKeeper

    @property
    def store(self) -> Path:
        return Path(self.run.store)

    def row(self):
        registry = Registry(registry_file(self.data))
        try:
            return registry.get(self.run.id)
        finally:
            registry.close()


def record(data: Path, blocks: int, keep_raw: bool = True, visit: str = "") -> Recorded:
    """Reduce and store some blocks with the real recipe, and enter the run in the registry."""
    rng = np.random.default_rng(3)
    recipe, maps = Recipe.load(
        "lightsheet", ["calibrate.gain=1.7", "pyramid.until=5", "hot_pixels.pixels=[[3,4]]"]
    ).resolve(PLAN.frame_shape)
    reduction = plan_reduction(recipe, PLAN, maps, keep_raw=keep_raw)
    store = store_path(data, "local", "fish", visit)
    run = Run("r-1", "fish", "local", PLAN, recipe.to_json(), str(store), keep_raw, 10**18, visit=visit)
    run = replace(run, technique="flim" if visit else "free")
    registry_file(data).parent.mkdir(parents=True)
    registry = Registry(registry_file(data))
    registry.add(RunAccount(run).report(None, "recording", None))
    registry.close()
    keeper = StoreKeeper.create(run, reduction.products, maps, {"octostream": "0.1.0"})
    writer, reducer = StoreWriter(store, PLAN, reduction.products), reduction.reducer()
    for block in list(PLAN.blocks)[:blocks]:
        reducer.begin(block)
        planes = [rng.integers(90, 4000, PLAN.frame_shape, dtype=np.uint16) for _ in block.frames]
        stats = tuple(reducer.add(n, plane) for n, plane in zip(block.frames, planes, strict=True))
        stored = writer.write(block, reducer.finish())
        frames = tuple(
            Frame(n, 10**18 + n * 250_000_000, xxhash.xxh3_64_intdigest(p.data))
            for n, p in zip(block.frames, planes, strict=True)
        )
        raw = block.count * PLAN.frame_bytes
        writer.commit(
            Commit(block.number, frames, stats, "w1", 10**18, raw, stored, tuple(p.path for p in reduction.products))
        )
    keeper.publish(range(blocks))
    return Recorded(data, run, keeper)


def tree(folder: Path) -> dict[str, bytes]:
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def flip(file: Path) -> None:
    bad = bytearray(file.read_bytes())
    bad[len(bad) // 3] ^= 4
    file.write_bytes(bad)


def test_an_open_run_is_sealed_and_the_registry_says_so(tmp_path):
    made = record(tmp_path / "data", 2)
    assert made.row().status == "recording"
    report = recover_store(made.store, quiet)
    assert (report.status, report.frames_stored, report.frames_lost) == ("incomplete", 8, 4)
    row = made.row()
    assert (row.status, row.stored, row.lost, row.reason) == ("incomplete", 8, 4, report.losses[0].why)
    assert row.sealed_ns > 0
    assert row.rate_hz == pytest.approx(4.0)
    assert row.stored_bytes > 0
    before = tree(made.data)
    assert recover_store(made.store, quiet).changes == ()
    assert tree(made.data) == before


def test_the_store_of_a_visit_belongs_to_its_data_directory(tmp_path):
    made = record(tmp_path / "data", 2, visit="2026-1")
    assert made.store == made.data / "local" / "2026-1" / "fish.ome.zarr"
    with lock_data(made.data), pytest.raises(UsageError, match=f"a service is running on {made.data}$|: stop it"):
        recover_store(made.store, quiet)
    run_file(made.store).write_bytes(b"damaged")
    recover_store(made.store, quiet)
    row = made.row()
    assert (row.status, row.visit, row.technique, row.stored) == ("incomplete", "2026-1", "flim", 8)
    found = read_run(made.store).run
    assert (found.visit, found.technique) == ("2026-1", "flim")
    assert not (made.store.parent / ".octostream").exists()


def test_a_store_that_says_nothing_of_visits_has_none_and_nothing_is_wrong_with_it(tmp_path):
    made = record(tmp_path / "data", 3)
    made.keeper.seal([])
    root, described = made.store / "zarr.json", run_file(made.store)
    told = json.loads(root.read_bytes())
    for key in ("visit", "technique"):
        del told["attributes"]["octostream"][key]
    root.write_text(json.dumps(told))
    told = {k: v for k, v in json.loads(described.read_bytes()).items() if k != "xxh3_64"}
    for key in ("visit", "technique"):
        del told["run"][key]
    described.write_text(json.dumps(with_digest(told)))
    assert (read_run(made.store).run.visit, read_run(made.store).run.technique) == ("", "free")
    assert verify(made.store).problems == ()
    assert recover_store(made.store, quiet).changes == ()


@pytest.mark.parametrize("visit", ["", "2026-1"])
def test_a_run_that_the_registry_does_not_know_is_entered(tmp_path, visit):
    made = record(tmp_path / "data", 3, visit=visit)
    made.keeper.seal([])
    registry_file(made.data).unlink()
    assert recover_store(made.store, quiet).ok
    row = made.row()
    assert (row.status, row.stored, row.name, row.visit, row.store) == ("complete", 12, "fish", visit, str(made.store))


def test_a_link_to_the_data_directory_is_the_directory(tmp_path):
    made = record(tmp_path / "data", 2)
    (tmp_path / "link").symlink_to(made.data)
    assert recover_store(tmp_path / "link/local/fish.ome.zarr", quiet).frames_stored == 8
    assert (made.row().status, made.row().store) == ("incomplete", str(made.store))


def test_what_the_service_knew_better_stays(tmp_path):
    made = record(tmp_path / "data", 3)
    made.keeper.seal([])
    registry = Registry(registry_file(made.data))
    known = replace(made.row(), status="complete", received=12, stored=12, late=3, rate_hz=3.9, sealed_ns=5)
    registry.update(known)
    registry.close()
    assert recover_store(made.store, quiet).ok
    assert made.row() == known


def test_a_store_outside_any_data_directory_is_recovered_alone(tmp_path):
    made = record(tmp_path / "data", 2)
    moved = tmp_path / "elsewhere" / "copies" / "fish.ome.zarr"
    moved.parent.mkdir(parents=True)
    made.store.rename(moved)
    assert recover_store(moved, quiet).frames_stored == 8
    assert sorted(p.name for p in (tmp_path / "elsewhere").iterdir()) == ["copies"]
    assert made.row().status == "recording"


def test_level_0_is_made_again_with_the_recipe_of_the_run(tmp_path):
    made = record(tmp_path / "data", 3)
    made.keeper.seal([])
    good = tree(made.store)
    flip(made.store / "0/c/1/0/0/0/0")
    (made.store / "projections/xy/0/c/1/0/0/0").unlink()
    report = recover_store(made.store, quiet)
    assert (report.status, report.quarantined) == ("complete", ("0/c/1/0/0/0/0",))
    assert {k: v for k, v in tree(made.store).items() if "quarantine" not in k} == good


@pytest.mark.parametrize("how", ["flip", "zero", "gone"])
def test_the_description_of_the_run_is_made_again(tmp_path, how):
    made = record(tmp_path / "data", 3)
    made.keeper.seal([])
    good = run_file(made.store).read_bytes()
    match how:
        case "flip":
            flip(run_file(made.store))
        case "zero":
            run_file(made.store).write_bytes(bytes(len(good)))
        case "gone":
            run_file(made.store).unlink()
    with pytest.raises(StoreError):
        verify(made.store)
    assert recover_store(made.store, quiet).status == "complete"
    assert run_file(made.store).read_bytes() == good
    assert verify(made.store).ok


def test_a_store_that_nothing_describes_is_refused_and_not_touched(tmp_path):
    made = record(tmp_path / "data", 3)
    run_file(made.store).write_bytes(b"{}")
    (made.store / "zarr.json").write_bytes(b"{}")
    before = tree(made.data)
    with pytest.raises(StoreError, match=r"run\.json is damaged"):
        recover_store(made.store, quiet)
    assert {k: v for k, v in tree(made.data).items() if k != ".octostream/lock"} == before


def test_a_store_of_a_newer_version_is_refused(tmp_path):
    made = record(tmp_path / "data", 3)
    content = json.loads(run_file(made.store).read_bytes())
    run_file(made.store).write_text(json.dumps({**content, "layout_version": 99}))
    before = run_file(made.store).read_bytes()
    with pytest.raises(StoreError, match="newer octostream"):
        recover_store(made.store, quiet)
    assert run_file(made.store).read_bytes() == before


def test_a_running_service_keeps_its_runs(tmp_path):
    made = record(tmp_path / "data", 2)
    with lock_data(made.data):
        before = tree(made.data)
        with pytest.raises(UsageError, match="a service is running on") as error:
            recover_store(made.store, quiet)
        assert "\n" not in str(error.value)
        assert tree(made.data) == before
    assert recover_store(made.store, quiet).frames_stored == 8


def test_no_service_starts_while_a_store_is_recovered(tmp_path):
    made = record(tmp_path / "data", 2)
    refused = []

    def look(done, total):
        with pytest.raises(UsageError):
            lock_data(made.data)
        refused.append(done)

    recover_store(made.store, look)
    assert refused


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command(tmp_path, as_json):
    made = record(tmp_path / "data", 2)
    words = ["recover", str(made.store), *(["--json"] if as_json else [])]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1
    if as_json:
        told = json.loads(result.stdout)
        assert (told["ok"], told["status"], told["frames_lost"]) == (False, "incomplete", 4)
        assert told["losses"][0]["first"] == 8
    else:
        assert result.stdout.splitlines() == [
            "changed  the run was open: sealed",
            "lost     8-11  in agent: never acknowledged: not durable when the run was cut short",
            "consistent  incomplete: 8 of 12 frames stored, 4 lost",
        ]


def test_the_command_is_content_with_a_complete_store(tmp_path):
    made = record(tmp_path / "data", 3)
    result = CliRunner().invoke(app, ["recover", str(made.store)])
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (
        0,
        "recovered  complete: 12 of 12 frames stored, 0 lost",
    )
