"""What follows a run: the same results however the blocks came, every failure of the disk got over, none of a frame."""

import threading

import numpy as np
import pytest
import tensorstore as ts
from octostream.api import following as following_module
from octostream.api.deriving import AGAIN_S, Deriving
from octostream.api.following import RunFollower, row_bytes
from octostream.api.recovery import recover_store
from octostream.kernels.baseline_series import change_series_reference
from octostream.kernels.following import Follower
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.sinks import series as series_module
from octostream.sinks.arrays import context, open_planned
from octostream.sinks.commits import record_file
from octostream.sinks.keeper import StoreKeeper
from octostream.sinks.layout import array_path, shard_file
from octostream.sinks.runfile import run_file
from octostream.sinks.verify import verify
from octostream.sinks.writer import StoreWriter
from octostream.stream.errors import StoreError
from octostream.stream.model import Commit, Frame, Plan, Run
from octostream.stream.ranges import Ranges

STEPS = ["pyramid.until=4", "baseline=true", "baseline.window=5", "baseline.every=2", "moments=true"]


class Recorded:
    """A store whose blocks are committed one by one."""

    def __init__(self, folder, shape=(30, 2, 3, 16, 20), rate_hz=24.0, overrides=STEPS):
        self.plan = Plan(shape, rate_hz=rate_hz)
        self.recipe = Recipe.load("lightsheet", overrides)
        self.reduction = plan_reduction(self.recipe, self.plan)
        self.frames = np.random.default_rng(1).integers(100, 1000, shape, dtype=np.uint16)
        self.store = folder / "run.ome.zarr"
        run = Run("id", "run", "local", self.plan, self.recipe.to_json(), str(self.store), False, 1)
        self.keeper = StoreKeeper.create(run, self.reduction.products, {}, {}, self.reduction.tables)
        self.writer = StoreWriter(self.store, self.plan, self.reduction.products)
        self.reducer = self.reduction.reducer()

    def commit(self, number, lost=()):
        block = self.plan.blocks[number]
        kept = [n for n in block.frames if n not in lost]
        self.reducer.begin(block)
        stats = [self.reducer.add(n, self.frames[self.plan.index(n)]) for n in kept]
        parts = self.reducer.finish()
        self.writer.write(block, parts)
        frames = tuple(Frame(n, 1, 1) for n in kept)
        tables = self.reducer.tables()
        self.writer.commit(Commit(number, frames, tuple(stats), "w", 1, 1, 1, tuple(parts), tables))

    def array(self, path):
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{self.store}/{path}/"}}
        return ts.open(spec, open=True).result().read().result()


def always():
    return True


def followed(folder, order, lost=(), missing=()):
    """Record and follow, looking after every commit; gives ΔF/F and the mean."""
    run = Recorded(folder)
    follower = RunFollower(run.store, run.reduction)
    done = set()
    for number in order(len(run.plan.blocks)):
        if number not in missing:
            run.commit(number, lost)
            done.add(number)
            assert not follower.advance(Ranges.of(done), always)
    run.keeper.close()
    run.keeper.seal((), follower.finish(Ranges.of(done)))
    return run, run.array("dff/0"), run.array("moments/mean/0")


def test_it_is_what_the_whole_run_at_once_would_give(tmp_path):
    run, dff, mean = followed(tmp_path, range)
    level = run.array("1")
    there = np.ones(run.plan.shape[:3], bool)
    parameters = run.recipe.parameters("baseline")
    expected = change_series_reference(level, there, parameters, 100.0)
    np.testing.assert_allclose(dff, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mean, level.mean(axis=0), rtol=1e-6)


def test_blocks_in_any_order_give_the_same_bytes(tmp_path):
    _, *first = followed(tmp_path / "a", range)
    _, *second = followed(tmp_path / "b", lambda n: np.random.default_rng(3).permutation(n).tolist())
    for a, b in zip(first, second, strict=True):
        assert a.tobytes() == b.tobytes()


def test_lost_frames_and_blocks_are_not_values(tmp_path):
    lost = {0, 7, 50}
    run, dff, mean = followed(tmp_path, range, lost=lost, missing={2})
    there = np.ones(run.plan.frames, bool)
    there[[*lost, *run.plan.blocks[2].frames]] = False
    there = there.reshape(run.plan.shape[:3])
    assert np.isnan(dff[~there]).all()
    assert np.isfinite(dff[there]).all()
    level = run.array("1").astype(float)
    level[~there] = np.nan
    np.testing.assert_allclose(mean, np.nanmean(level, axis=0), rtol=1e-6)


def test_a_follower_that_begins_again_gives_the_same_bytes(tmp_path):
    run, dff, _ = followed(tmp_path, range)
    again = RunFollower(run.store, run.reduction)
    again.finish(Ranges.of(range(len(run.plan.blocks))))
    assert run.array("dff/0").tobytes() == dff.tobytes()


def test_a_killed_run_is_followed_when_it_is_recovered(tmp_path):
    _, *expected = followed(tmp_path / "good", range)
    run = Recorded(tmp_path / "killed")
    for number in range(len(run.plan.blocks)):
        run.commit(number)
    report = recover_store(run.store, lambda done, total: None)
    assert report.status == "complete"
    assert run.array("dff/0").tobytes() == expected[0].tobytes()
    assert run.array("moments/mean/0").tobytes() == expected[1].tobytes()
    assert verify(run.store).ok


def test_it_stops_when_told_to_and_goes_on(tmp_path):
    run = Recorded(tmp_path)
    for number in range(len(run.plan.blocks)):
        run.commit(number)
    committed = Ranges.of(range(len(run.plan.blocks)))
    follower = RunFollower(run.store, run.reduction)
    turns = 0
    while True:
        once = iter([True])
        turns += 1
        if not follower.advance(committed, lambda once=once: next(once, False)):
            break
    assert turns == run.plan.blocks.grid[0]


@pytest.mark.parametrize("verb", ["read", "write", "write_run_product"])
def test_a_disk_that_fails_is_asked_again_and_nothing_is_taken_twice(tmp_path, monkeypatch, verb):
    _, *expected = followed(tmp_path / "good", range)
    owner = series_module.SeriesReader if verb == "read" else series_module.SeriesWriter
    real, calls = getattr(owner, verb), iter(range(10**6))

    def failing(self, *arguments):
        if next(calls) % 2 == 0:
            raise StoreError("the disk is away")
        return real(self, *arguments)

    run = Recorded(tmp_path / "bad")
    for number in range(len(run.plan.blocks)):
        run.commit(number)
    committed = Ranges.of(range(len(run.plan.blocks)))
    monkeypatch.setattr(owner, verb, failing)
    follower, failures = RunFollower(run.store, run.reduction), 0
    for _ in range(200):
        try:
            follower.advance(committed, always)
            tables = follower.finish(committed)
            break
        except StoreError:
            failures += 1
    assert failures > 0
    run.keeper.seal((), tables)
    assert run.array("dff/0").tobytes() == expected[0].tobytes()
    assert run.array("moments/mean/0").tobytes() == expected[1].tobytes()


@pytest.mark.parametrize("what", ["part flipped", "part gone", "part a folder", "record flipped"])
def test_a_block_that_is_damaged_is_followed_as_lost_and_keeps_no_run_open(tmp_path, monkeypatch, what):
    _, *expected = followed(tmp_path / "lost", range, missing={2})
    run = Recorded(tmp_path / "damaged")
    for number in range(len(run.plan.blocks)):
        run.commit(number)
    committed = Ranges.of(range(len(run.plan.blocks)))
    level = next(p for p in run.reduction.products if p.path == "1")
    record, part = record_file(run.store, 2), shard_file(run.store, run.plan, level, run.plan.blocks[2])
    file = record if what == "record flipped" else part
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.unlink()
    file.mkdir() if what == "part a folder" else None if what == "part gone" else file.write_bytes(content)
    taken, real = [], Follower.take
    monkeypatch.setattr(
        Follower, "take", lambda self, t, images, there: taken.append((images, there)) or real(self, t, images, there)
    )
    follower = RunFollower(run.store, run.reduction)
    assert not follower.advance(committed, always)
    follower.finish(committed)
    assert not all(there.all() for _, there in taken)
    assert not any(images[~there].any() for images, there in taken)
    for path, wanted in zip(("dff/0", "moments/mean/0"), expected, strict=True):
        product = next(p for p in run.reduction.products if array_path(p) == path)
        found = open_planned(run.store, run.plan, product, context(1)).read().result()
        assert np.asarray(found).tobytes() == wanted.tobytes()


def test_a_part_that_is_gone_with_its_disk_is_waited_for(tmp_path):
    run = Recorded(tmp_path)
    for number in range(len(run.plan.blocks)):
        run.commit(number)
    committed = Ranges.of(range(len(run.plan.blocks)))
    follower = RunFollower(run.store, run.reduction)
    away = run.store.rename(tmp_path / "away")
    (run.store / ".octostream").mkdir(parents=True)
    (away / ".octostream" / "commits").rename(run.store / ".octostream" / "commits")
    with pytest.raises(StoreError, match="cannot read level 1 of block 0") as error:
        follower.advance(committed, always)
    assert type(error.value) is StoreError
    assert not run_file(run.store).exists()


def test_rows_are_joined_now_and_then_and_none_is_lost(tmp_path, monkeypatch):
    run = Recorded(tmp_path, overrides=[*STEPS, "drift=true", "drift.max_shift=8"])
    for number in range(len(run.plan.blocks)):
        run.commit(number)
    committed = Ranges.of(range(len(run.plan.blocks)))
    plain = RunFollower(run.store, run.reduction).finish(committed)
    monkeypatch.setattr(following_module, "PARTS", 3)
    joined = RunFollower(run.store, run.reduction)
    rows = joined.finish(committed)
    assert len(joined._rows) <= 3 + run.plan.blocks.step[0]
    assert len(rows["drift"]["frame"]) == run.plan.shape[0]
    for column in plain["drift"]:
        np.testing.assert_array_equal(rows["drift"][column], plain["drift"][column])


def test_what_it_holds_grows_with_level_and_window(tmp_path):
    run = Recorded(tmp_path)
    longer = plan_reduction(Recipe.load("lightsheet", [*STEPS, "baseline.window=50"]), run.plan)
    plain = plan_reduction(Recipe.load("lightsheet"), run.plan)
    assert 0 == row_bytes(run.plan, plain) < row_bytes(run.plan, run.reduction) < row_bytes(run.plan, longer)
    row = 2 * run.plan.blocks.step[0] * 6 * (4 * 5 * 2 + 4 * 5 * 4)  # level 1 in counts, ΔF/F in float32
    assert row_bytes(run.plan, run.reduction) == row + Follower(run.reduction).held_bytes


def soon(deriving, now=0.0, seconds=30):
    for _ in range(int(seconds / 0.01)):
        found = list(deriving.take(now))
        if found:
            return found
        threading.Event().wait(0.01)
    raise AssertionError("nothing came")


@pytest.fixture
def deriving():
    made = Deriving(lambda: None)
    yield made
    made.close(10)


def test_a_series_that_fails_costs_its_run_nothing_but_itself(tmp_path, deriving, monkeypatch):
    run = Recorded(tmp_path)
    run.commit(0)
    monkeypatch.setattr("octostream.kernels.following.Follower.take", lambda *_: 1 / 0)
    deriving.add("id", run.store, run.reduction)
    deriving.turn(0.0, {"id": Ranges.of([0])})
    assert soon(deriving) == ["id"]
    assert "ZeroDivisionError" in deriving.trouble("id")
    deriving.look("id")
    deriving.turn(100.0, {"id": Ranges.of([0])})
    assert "id" not in deriving
    assert deriving.finish(run.keeper) == {}
    assert run.keeper.seal(()).status == "incomplete"


def test_what_makes_a_series_is_not_called_by_the_loop_and_may_fail(tmp_path, deriving, monkeypatch):
    run = Recorded(tmp_path)
    run.commit(0)
    threads = []

    def no_room(*_):
        threads.append(threading.current_thread().name)
        raise MemoryError("no room")

    monkeypatch.setattr(Follower, "__init__", no_room)
    deriving.add("id", run.store, run.reduction)
    deriving.turn(0.0, {"id": Ranges.of([0])})
    assert soon(deriving) == ["id"]
    assert "no room" in deriving.trouble("id")
    assert threads == ["derive"]


def test_a_disk_that_refuses_is_asked_again_later(tmp_path, deriving, monkeypatch):
    run = Recorded(tmp_path)
    run.commit(0)

    def away(*_):
        raise StoreError("the disk is away")

    with monkeypatch.context() as patch:
        patch.setattr(series_module.SeriesReader, "read", away)
        deriving.add("id", run.store, run.reduction)
        deriving.turn(0.0, {"id": Ranges.of([0])})
        assert soon(deriving) == ["id"]
    assert "the disk is away" in deriving.trouble("id")
    deriving.turn(AGAIN_S / 2, {"id": Ranges.of([0])})
    assert "id" not in deriving, "asked again too soon"
    deriving.turn(AGAIN_S, {"id": Ranges.of([0])})
    assert soon(deriving) == ["id"]
    assert deriving.trouble("id") == ""
