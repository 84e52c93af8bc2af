"""Tables that are known only when a run is over: a step that fails costs its own, is named, and ends nothing."""

import numpy as np
import pytest
import zarr
from octostream.api.deriving import Deriving
from octostream.api.last_tables import last_tables
from octostream.api.recovery import recover_store
from octostream.kernels.following import Follower
from octostream.kernels.step import Planned
from octostream.sinks.commits import intact_commits
from octostream.sinks.keeper import StoreKeeper
from octostream.sinks.verify import verify
from octostream.stream.errors import RecipeError, StoreError
from octostream.stream.ranges import Ranges

from .test_following import Recorded, soon

#: Products and a table that follow the run, and a table that sums up what the blocks measured.
STEPS = ["pyramid.until=4", "drift=true", "drift.max_shift=8", "drift.correct=true", "focus=true", "focus.psf=2"]
SERIES = ["registered/0", "tables/drift"]


@pytest.fixture
def run(tmp_path):
    made = Recorded(tmp_path, (6, 1, 2, 16, 20), 4.0, STEPS)
    for number in range(len(made.plan.blocks)):
        made.commit(number)
    return made


def told(run):
    """Give what a sealed store says that it lacks, having seen that all else of it is right."""
    assert verify(run.store).problems == ()
    return zarr.open_group(run.store, mode="r").attrs["octostream"]["not_derived"]


def length(run, table):
    return zarr.open_array(run.store / "tables" / table / "frame", mode="r").shape[0]


def broken(*_):
    raise ZeroDivisionError("of somebody else's step")


def seal(run):
    run.keeper.close()
    return run.keeper.seal((), last_tables(run.keeper, run.reduction))


def test_nothing_fails_and_nothing_lacks(run):
    assert seal(run).status == "complete"
    assert told(run) == []
    assert (length(run, "drift"), length(run, "focus_trend"), length(run, "focus")) == (6, 12, 12)


def test_a_series_that_fails_costs_no_summary(run, monkeypatch):
    monkeypatch.setattr(Follower, "take", broken)
    assert seal(run).status == "complete"
    assert told(run) == SERIES
    assert (length(run, "drift"), length(run, "focus_trend")) == (0, 12)


def test_a_series_that_failed_while_the_run_went_on_costs_no_summary(run, monkeypatch):
    deriving = Deriving(lambda: None)
    with monkeypatch.context() as patch:
        patch.setattr(Follower, "take", broken)
        deriving.add("id", run.store, run.reduction)
        deriving.turn(0.0, {"id": Ranges.of([0])})
        assert soon(deriving) == ["id"]
    run.keeper.close()
    run.keeper.seal((), deriving.finish(run.keeper))
    deriving.close(10)
    assert told(run) == SERIES
    assert length(run, "focus_trend") == 12


def test_a_summary_that_fails_costs_no_series(run, monkeypatch):
    monkeypatch.setattr(Planned, "sum_up", broken)
    assert seal(run).status == "complete"
    assert told(run) == ["tables/focus_trend"]
    assert (length(run, "drift"), length(run, "focus_trend"), length(run, "focus")) == (6, 0, 12)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda rows: rows | {"trend": rows["trend"][1:]},
        lambda rows: rows | {"more": rows["trend"]},
        lambda rows: {"trend": rows["trend"]},
        lambda rows: rows | {"trend": rows["trend"].astype(str)},
        lambda rows: rows | {"trend": rows["trend"][:, None]},
        lambda rows: rows | {"trend": None},
        lambda rows: None,
    ],
)
def test_rows_that_fit_no_table_cost_that_table_only(run, monkeypatch, spoil):
    real = Planned.sum_up
    monkeypatch.setattr(
        Planned, "sum_up", lambda *told: {n: spoil(dict(rows)) for n, rows in real(*told).items()} | {"other": {}}
    )
    assert seal(run).status == "complete"
    assert told(run) == ["tables/focus_trend"]
    assert (length(run, "drift"), length(run, "focus_trend")) == (6, 0)


def test_a_killed_run_whose_step_fails_is_recovered_without_it(run, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Follower, "take", broken)
        assert recover_store(run.store, lambda done, total: None).status == "complete"
    assert told(run) == SERIES
    before = {f: f.stat().st_mtime_ns for f in run.store.rglob("*")}
    recover_store(run.store, lambda done, total: None)
    assert {f: f.stat().st_mtime_ns for f in run.store.rglob("*")} == before
    (run.store / "tables/drift/zarr.json").unlink()
    assert recover_store(run.store, lambda done, total: None).status == "complete"
    assert told(run) == []
    assert length(run, "drift") == 6


def test_a_killed_run_whose_step_is_gone_is_recovered_and_says_what_lacks(run, monkeypatch):
    def gone(_):
        raise RecipeError("there is no step 'mine'", "install its package")

    with monkeypatch.context() as patch:
        patch.setattr("octostream.api.recovery.reduction_without_maps", gone)
        assert recover_store(run.store, lambda done, total: None).status == "complete"
        assert told(run) == ["registered/0", "tables/focus_trend", "tables/drift"]
        run.keeper.seal((), {"drift": {"frame": np.arange(6), "dy": np.zeros(6)}, "focus_trend": None})
        (run.store / "tables/zarr.json").unlink()
        recover_store(run.store, lambda done, total: None)
        assert told(run) == ["registered/0", "tables/focus_trend"], "rows of an earlier seal stay"


def test_a_table_that_is_rightly_empty_lacks_nothing_though_its_step_is_gone(tmp_path, monkeypatch):
    def gone(_):
        raise RecipeError("there is no step 'mine'", "install its package")

    run = Recorded(tmp_path, (2, 1, 2, 16, 20), 4.0, ["pyramid.until=4", "hot_test=true", "drift=true"])
    for number in range(len(run.plan.blocks)):
        run.commit(number)
    assert {len(commit.tables["hot_pixels"]["frame"]) for commit in intact_commits(run.store)} == {0}
    monkeypatch.setattr("octostream.api.recovery.reduction_without_maps", gone)
    assert recover_store(run.store, lambda done, total: None).status == "complete"
    assert (told(run), length(run, "hot_pixels")) == (["tables/drift"], 0)


def test_a_run_that_is_opened_again_forgets_what_failed(run, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Follower, "take", broken)
        seal(run)
    keeper = StoreKeeper.reopen(run.store)
    keeper.unseal()
    keeper.seal((), {})
    assert "tables/drift" not in told(run)
    keeper.seal((), {"drift": None})
    keeper.seal((), {})
    assert "tables/drift" in told(run), "an earlier failure stands until there are rows"
    keeper.seal((), last_tables(keeper, run.reduction))
    assert told(run) == []


def test_a_disk_that_is_away_is_no_failure_of_a_step(run, monkeypatch):
    def away(*_):
        raise StoreError("the disk is away")

    with monkeypatch.context() as patch:
        patch.setattr(Planned, "sum_up", away)
        with pytest.raises(StoreError, match="the disk is away"):
            last_tables(run.keeper, run.reduction)
    assert None not in last_tables(run.keeper, run.reduction).values()


def test_the_records_are_read_once_and_only_where_something_follows(run, monkeypatch):
    passes = []
    monkeypatch.setattr("octostream.sinks.keeper.intact_commits", lambda s: passes.append(s) or intact_commits(s))
    tables = last_tables(run.keeper, run.reduction)
    assert len(passes) == 1
    assert sorted(tables) == ["drift", "focus_trend"]
    assert np.asarray(tables["focus_trend"]["frame"]).tolist() == list(range(12))
    plain = Recorded(run.store.parent / "plain", (6, 1, 2, 16, 20), 4.0, ["pyramid.until=4"])
    assert last_tables(plain.keeper, plain.reduction) == {}
    assert len(passes) == 1
