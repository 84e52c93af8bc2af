"""Stores are shown and sealed beside the loop: it never waits for them, and no store is in two hands."""

import threading
from pathlib import Path

import pytest
from octostream.api.background import Background
from octostream.api.deriving import Deriving
from octostream.api.keeping import AGAIN_S, REMOVED_S, Delayed, Keeping, Sealed, Unsealable, taken_up
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.sinks.keeper import StoreKeeper
from octostream.stream.errors import StoreError
from octostream.stream.model import Loss, Plan
from octostream.stream.ranges import Ranges

from ..sinks.conftest import acquisition

REDUCTION = plan_reduction(Recipe.load("lightsheet"), Plan((3, 1, 4, 16, 16)))


class SlowKeeper:
    """A keeper whose disk takes its time, as long as the test wants."""

    def __init__(self, inner):
        self.inner, self.run = inner, inner.run
        self.go = threading.Event()
        self.inside = threading.Semaphore(0)
        self.at_once = self.most_at_once = 0
        self.error = None
        self.counted = inner.counted

    def _slowly(self, work):
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.inside.release()
        assert self.go.wait(30)
        self.at_once -= 1
        if self.error:
            raise self.error
        return work()

    def publish(self, blocks):
        self.published = blocks
        return self._slowly(lambda: self.inner.publish(blocks))

    def close(self):
        self.inner.close()

    def seal(self, losses, tables):
        return self._slowly(lambda: self.inner.seal(losses, tables))


@pytest.fixture
def keeper(tmp_path):
    run = acquisition(tmp_path, (3, 1, 4, 16, 16), 4.0)
    made = run.keeper()
    writer = run.writer()
    for number in range(2):
        writer.write(run.plan.blocks[number], run.parts(number))
        writer.commit(run.commit(number))
    writer.close()
    return SlowKeeper(made)


def soon(get, seconds=20):
    """Ask until something comes."""
    for _ in range(int(seconds / 0.01)):
        found = list(get())
        if found:
            return found
        threading.Event().wait(0.01)
    raise AssertionError("nothing came")


@pytest.fixture
def keeping():
    made = Keeping(lambda: None)
    yield made
    made.close(10)


def test_a_seal_waits_until_the_store_is_shown_and_nothing_waits_for_either(keeping, keeper):
    run = keeper.run.id
    keeping.add(keeper, REDUCTION)
    keeping.show(run)
    keeping.turn(0.0, {run: Ranges.of([0, 1])})
    assert keeper.inside.acquire(timeout=20)
    keeping.seal(run, (Loss(8, 11, "source", "stopped"),))
    keeping.turn(0.1, {})
    assert list(keeping.take_shown(0.1)) == list(keeping.take_sealed(0.1)) == []
    keeper.go.set()
    (shown,) = soon(lambda: keeping.take_shown(0.2))
    assert (shown.run, shown.trouble) == (run, "")
    assert shown.seconds > 0
    keeping.turn(0.3, {})
    (sealed,) = soon(lambda: keeping.take_sealed(0.4))
    assert isinstance(sealed, Sealed)
    assert sealed.ledger.status == "incomplete"
    assert keeper.most_at_once == 1


def test_only_what_is_new_is_asked_to_be_shown(keeping, keeper):
    run = keeper.run.id
    keeper.go.set()
    keeping.add(keeper, REDUCTION)
    for committed in (Ranges.of([0]), Ranges.of([0, 1])):
        keeping.show(run)
        keeping.turn(0.0, {run: committed})
        soon(lambda: keeping.take_shown(0.0))
    assert keeper.published == Ranges.of([1])


def test_what_an_earlier_life_showed_is_neither_asked_nor_counted_again(keeping, keeper):
    run = keeper.run.id
    keeper.go.set()
    keeper.counted = Ranges.of([0])
    keeping.add(keeper, REDUCTION)
    keeping.show(run)
    keeping.turn(0.0, {run: Ranges.of([0, 1])})
    (shown,) = soon(lambda: keeping.take_shown(0.0))
    assert (keeper.published, shown.frames) == (Ranges.of([1]), 4)


def test_trouble_of_the_series_is_told_apart_and_counts_no_frames(keeping, keeper, monkeypatch):
    run = keeper.run.id
    keeper.go.set()
    keeping.add(keeper, REDUCTION)
    monkeypatch.setattr(Deriving, "take", lambda *_: iter([run]))
    monkeypatch.setattr(Deriving, "trouble", lambda *_: "the series failed")
    keeping.show(run)
    told = []
    for _ in range(2):
        keeping.turn(0.0, {run: Ranges.of([0, 1])})
        (shown,) = soon(lambda: keeping.take_shown(0.0))
        told.append((shown.frames, shown.trouble, shown.following))
        keeping.take_derived(0.0)
    assert told == [(8, "", "the series failed"), (0, "", "the series failed")]
    keeper.error = StoreError("the disk is away")
    keeping.turn(0.0, {run: Ranges.of([0, 1])})
    (shown,) = soon(lambda: keeping.take_shown(0.0))
    assert (shown.frames, shown.trouble, shown.following) == (0, "the disk is away", "the series failed")


def test_a_disk_that_refuses_is_asked_again_and_a_defect_is_told(keeping, keeper):
    run = keeper.run.id
    keeper.go.set()
    keeping.add(keeper, REDUCTION)
    keeper.error = StoreError("the disk is away")
    keeping.seal(run, ())
    keeping.turn(0.0, {})
    assert keeper.inside.acquire(timeout=20)
    assert soon(lambda: keeping.take_sealed(10.0)) == [Delayed(run, "the disk is away")]
    keeping.turn(10.0 + AGAIN_S / 2, {})
    assert not keeper.inside.acquire(timeout=0.05), "asked again too soon"
    keeper.error = ValueError("a defect")
    keeping.turn(10.0 + AGAIN_S, {})
    assert soon(lambda: keeping.take_sealed(20.0)) == [Unsealable(run, "ValueError('a defect')")]


def test_one_seal_at_a_time():
    busy, most, lock, go = 0, 0, threading.Lock(), threading.Event()

    def work():
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        assert go.wait(20)
        with lock:
            busy -= 1

    background = Background("test", lambda: None)
    for key in "abc":
        background.ask(key, work)
    with pytest.raises(ValueError, match="under way"):
        background.ask("a", work)
    go.set()
    keys = []
    while len(keys) < 3:
        keys += [o.key for o in soon(background.take)]
    background.close(10)
    assert (keys, most, len(background)) == (["a", "b", "c"], 1, 0)


def test_what_is_taken_up_is_what_the_records_say(keeper):
    held = taken_up(StoreKeeper.reopen(Path(keeper.run.store)))
    assert (held.blocks, held.frames) == (Ranges.of([0, 1]), Ranges.of(range(8)))
    assert held.raw_bytes == 8 * 16 * 16 * 2


def test_a_store_that_was_removed_is_noticed_after_a_while(keeping, keeper):
    keeping.add(keeper, REDUCTION)
    assert keeping.removed(0.0) == []
    away = Path(keeper.run.store).rename(Path(keeper.run.store).with_name("away"))
    assert keeping.removed(1.0) == keeping.removed(1.0 + REMOVED_S) == []
    away.rename(keeper.run.store)
    assert keeping.removed(50.0) == []
    Path(keeper.run.store).rename(away)
    assert keeping.removed(100.0) == []
    assert keeping.removed(100.1 + REMOVED_S) == [keeper.run.id]
