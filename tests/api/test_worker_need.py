"""What a run takes of a worker is known before anything is allocated, and is what is allocated then."""

import secrets
import shutil
from pathlib import Path

import numpy as np
import pytest
from octostream.api import worker_process
from octostream.api.planned import reduction_without_maps
from octostream.api.tokens import write_token
from octostream.api.worker_process import MAP_BYTES, RUN_BYTES, STEP_BYTES, PrepareOnDisk
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.kernels.steps import find_step, step_names
from octostream.sinks.keeper import StoreKeeper
from octostream.sinks.shard_writer import SLAB_BYTES
from octostream.stream.model import Plan, Run

from ..kernels.cuda_emulator.device import EmulatedDevice


def store(tmp_path, plan, overrides, keep_raw, maps=None, run="r"):
    recipe = Recipe.load("lightsheet", overrides)
    reduction = plan_reduction(recipe, plan, keep_raw=keep_raw)
    path = tmp_path / "run.ome.zarr"
    run = Run(run, "run", "local", plan, recipe.to_json(), str(path), keep_raw, 1)
    StoreKeeper.create(run, reduction.products, maps or {}, {}, reduction.tables)
    write_token(path, secrets.token_hex(4))
    return str(path)


def arrays_of(thing, seen):
    """Go through all arrays that something holds, each once."""
    if id(thing) in seen:
        return
    seen[id(thing)] = thing
    if isinstance(thing, np.ndarray):
        if isinstance(thing.base, np.ndarray):
            yield from arrays_of(thing.base, seen)
        else:
            yield thing
    elif isinstance(thing, dict | list | tuple):
        for member in thing.values() if isinstance(thing, dict) else thing:
            yield from arrays_of(member, seen)
    elif hasattr(thing, "__dict__"):
        yield from arrays_of(vars(thing), seen)


def held(prepared):
    """Bytes of the arrays that a reducer keeps for a block, when it has done one; not those that all of them share."""
    seen = {}
    list(arrays_of(prepared.reducer.func.__self__, seen))
    reducer, block = prepared.reducer(), prepared.run.plan.blocks[0]
    reducer.begin(block)
    for number in block.frames:
        reducer.add(number, np.full(prepared.run.plan.frame_shape, 200, np.uint16))
    reducer.finish()
    return sum(array.nbytes for array in arrays_of(reducer, seen))


@pytest.mark.parametrize("keep_raw", [False, True])
@pytest.mark.parametrize("shape", [(5, 2, 3, 40, 33), (1, 1, 50, 64, 64), (40, 1, 1, 17, 90)])
@pytest.mark.parametrize("factor", [1, 2])
def test_a_slot_takes_what_was_said(tmp_path, shape, factor, keep_raw):
    prepare = PrepareOnDisk(0)
    path = store(tmp_path, Plan(shape, rate_hz=20.0), [f"bin.factor={factor}"], keep_raw)
    plan, need = prepare.need(path)
    prepared = prepare(path)
    assert plan == prepared.run.plan
    # Scratch for a few rows, and a byte a frame, come on top.
    assert need.slot <= held(prepared) <= need.slot + 200 * shape[4] + 100
    assert need.fixed == RUN_BYTES
    assert 0 < need.write < 2**26
    assert prepared.slots == min(3, len(plan.blocks))
    prepared.writer.close()


def test_pinned_frames_on_their_way_to_a_gpu_are_counted(tmp_path):
    path = store(tmp_path, Plan((1, 1, 6, 40, 33)), (), False)
    on_cpu, on_gpu = PrepareOnDisk(0).need(path)[1], PrepareOnDisk(0, EmulatedDevice()).need(path)[1]
    assert on_gpu.slot == on_cpu.slot + 3 * 2 * 40 * 33


BESIDE = [name for name in step_names() if find_step(name).plan and find_step(name).kind != "derived"]


@pytest.mark.parametrize("step", BESIDE)
def test_a_slot_takes_no_more_with_a_step_beside_the_lane(tmp_path, step):
    prepare = PrepareOnDisk(0)
    path = store(tmp_path, Plan((4, 1, 8, 256, 320), rate_hz=16.0), [f"{step}=true"], False)
    _, need = prepare.need(path)
    prepared = prepare(path)
    taken = held(prepared)
    # What a step says that it holds may be for a moment only: tests/kernels/test_step_memory.py compares the peak.
    moment = sum(step.held_bytes for step in reduction_without_maps(prepared.run).steps)
    assert need.slot - STEP_BYTES - moment <= taken <= need.slot
    prepared.writer.close()


def test_maps_are_counted(tmp_path):
    path = store(tmp_path, Plan((1, 1, 2, 8, 10)), (), False, {"calibrate.gain": np.ones((8, 10), np.float32)})
    assert PrepareOnDisk(0).need(path)[1].fixed == RUN_BYTES + 80 * MAP_BYTES


def test_a_run_that_waits_is_planned_once_and_another_of_its_name_anew(tmp_path, monkeypatch):
    planned, real = [], worker_process.reduction_without_maps
    monkeypatch.setattr(worker_process, "reduction_without_maps", lambda run: planned.append(run.id) or real(run))
    monkeypatch.setattr(worker_process, "WAITING_RUNS", 2)
    prepare = PrepareOnDisk(0)
    path = store(tmp_path, Plan((1, 1, 2, 8, 10)), (), False)
    first = prepare.need(path)
    assert [prepare.need(path) for _ in range(3)] == [first] * 3
    assert planned == ["r"]
    prepare(path).writer.close()
    assert prepare.need(path) == first
    assert planned == ["r", "r"]
    shutil.rmtree(path)
    store(tmp_path, Plan((1, 1, 2, 30, 40)), (), False, run="s")
    assert prepare.need(path)[1].slot > first[1].slot
    for run in ("t", "u", "v"):
        shutil.rmtree(path)
        store(tmp_path, Plan((1, 1, 2, 8, 10)), (), False, run=run)
        assert prepare.need(path) == first
        assert len(prepare._needs) <= 2


def test_writing_takes_what_the_largest_shards_take_that_are_written_at_once(tmp_path):
    plan = Plan((1, 1, 32, 1024, 1024))
    small, large = (PrepareOnDisk(0).need(store(tmp_path / str(raw), plan, (), raw))[1] for raw in (False, True))
    assert large.slot > 4 * small.slot
    # Of each shard two slabs at most are encoded, however large it is: the raw frames take the place of a small shard.
    assert small.write < large.write < small.write + 2 * SLAB_BYTES


def test_missing_store_is_named():
    from octostream.stream.errors import StoreError

    with pytest.raises(StoreError, match="nowhere"):
        PrepareOnDisk(0).need(str(Path("/nowhere.ome.zarr")))
