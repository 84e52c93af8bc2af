"""Every step that follows a run keeps the contract of those; it notices what is broken."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, settings
from octostream.kernels.baseline import Baseline
from octostream.kernels.baseline_series import change_series_reference
from octostream.kernels.event_series import TABLE as EVENTS
from octostream.kernels.event_series import event_series_reference
from octostream.kernels.events import Events
from octostream.kernels.moments import moments_reference
from octostream.kernels.plugin import NoParameters
from octostream.kernels.series_contract import SeriesContract
from octostream.kernels.step import Planned, Step
from octostream.kernels.steps import find_step, step_names
from octostream.kernels.time_projections import time_projections_reference
from octostream.stream.model import Product
from octostream.stream.tables import Column, Table

AGREES = "test_it_agrees_with_the_reference"
PROMISES = [name for name in dir(SeriesContract) if name.startswith("test_")]
RAW = ("bin.factor=1",)


def rows_of(table, rows):
    return {column.name: np.array([row[k] for row in rows], float) for k, column in enumerate(table.columns)}


class Drifted(SeriesContract):
    step, recipe, parameters = find_step("drift"), RAW, {"bin": 1, "correct": True}


class Changed(SeriesContract):
    step, recipe, parameters = find_step("baseline"), RAW, {"bin": 1, "window": 3, "every": 2}

    def reference(self, images, present):
        return {"dff/0": change_series_reference(images, present, Baseline(**self.parameters), 100)}


class Noticed(SeriesContract):
    step, recipe, parameters = find_step("events"), RAW, {"bin": 1, "lag": 1, "needed": 1, "among": 1, "sigma": 1}

    def reference(self, images, present):
        rows = event_series_reference(images, present, images.shape[3:], Events(**self.parameters), 100)
        return {"events": rows_of(EVENTS, rows)}


class Measured(SeriesContract):
    step, parameters = find_step("moments"), {"bin": 2}
    # Light that is next to none is a difference of float32 numbers.
    rtol, atol = 1e-5, 1e-5

    def reference(self, images, present):
        made = {f"moments/{name}": np.full(images.shape[1:], np.nan) for name in ("mean", "variance", "snr", "fano")}
        for at in np.ndindex(images.shape[1:3]):
            maps = moments_reference(images[:, *at][present[:, *at]], 100)
            for name, plane in maps._asdict().items():
                made[f"moments/{name}"][at] = plane
        return made


class Projected(SeriesContract):
    step, recipe, parameters = find_step("time_projections"), ("pyramid.until=1",), {"bin": 4}
    # A level of pixels of 4 x 4 there is from two pixels of level 0 on.
    smallest = (1, 1, 3)

    def reference(self, images, present):
        made = time_projections_reference(images, present, ("max", "min", "mean"))
        return {f"projections/t-{name}": array for name, array in made.items()}


CONTRACTS = [Drifted, Changed, Noticed, Measured, Projected]


@pytest.mark.parametrize(
    ("contract", "promise"),
    # Where nothing moves the highest of equal peaks hangs on the last bit: test_drift_series compares it, on scenes.
    [(contract, promise) for contract in CONTRACTS for promise in PROMISES if (contract, promise) != (Drifted, AGREES)],
)
def test_a_step_of_octostream_keeps_its_promises(contract, promise):
    getattr(contract(), promise)()


def test_no_step_that_follows_a_run_is_left_out():
    following = [name for name in step_names() if find_step(name).kind == "derived"]
    assert [contract.step.name for contract in CONTRACTS] == following


TABLE = Table("probe", (Column("frame", "int64", "", "number"), Column("mean", "float64", "count", "mean of all")))


class Doubling:
    """Doubles every image, sums them up, and has a row for every time point, as it should."""

    def __init__(self, shape):
        self.total = np.zeros(shape, np.uint64)

    def take(self, t, images, present, out):
        out["probe"][...] = images.astype(np.float32) * 2
        self.total += images
        return {"probe": {"frame": np.array([t * present.size]), "mean": np.array([images.mean()])}}

    def finish(self):
        return {"sum": self.total}


def contract(series=Doubling, kind="derived", **attributes):
    def plan(told, setting):
        level = setting.levels[0]
        products = (
            Product("probe", "tczyx", level.shape, "float32", 2, stage="series"),
            Product("sum", "czyx", level.shape[1:], "uint64", 2, stage="run"),
        )
        return Planned(products, (TABLE,), series=lambda: series(level.shape[1:]), level="0")

    step = Step("probe", kind, "a probe", NoParameters, plan)
    return type("Contract", (SeriesContract,), {"step": step, "examples": 40, **attributes})()


def right(self, images, present):
    rows = {"frame": np.arange(len(images)) * present[0].size, "mean": images.mean((1, 2, 3, 4))}
    return {"probe": images * 2.0, "sum": images.sum(0, dtype=np.uint64), "tables/probe": rows}


class Late(Doubling):
    def take(self, t, images, present, out):
        rows = super().take(t, images, present, out)["probe"]
        return {"probe": {**rows, "frame": rows["frame"] + present.size}}


class Backwards(Doubling):
    def take(self, t, images, present, out):
        rows = super().take(t, images, present, out)["probe"]
        return {"probe": {**rows, "frame": -rows["frame"]}}


class Narrow(Doubling):
    def take(self, t, images, present, out):
        rows = super().take(t, images, present, out)["probe"]
        return {"probe": {**rows, "mean": rows["mean"].astype(np.float32)}}


class Chatty(Doubling):
    def take(self, t, images, present, out):
        rows = super().take(t, images, present, out)["probe"]
        return {"probe": {name: np.repeat(values, present.size + 1) for name, values in rows.items()}}


class Writes(Doubling):
    def take(self, t, images, present, out):
        whole = images.base if images.base is not None else images
        whole[...] = 7
        return super().take(t, images, present, out)


class Unfinished(Doubling):
    def finish(self):
        return {}


class Wide(Doubling):
    def finish(self):
        return {"sum": self.total.astype(np.float64)}


class Random(Doubling):
    state = np.random.default_rng(0)

    def take(self, t, images, present, out):
        rows = super().take(t, images, present, out)
        out["probe"] += self.state.random()
        return rows


ANNOUNCED = "test_products_and_tables_are_what_was_announced"
BEFORE = "test_what_comes_later_changes_nothing_before"
BROKEN = [
    ("test_it_says_what_it_is", {"kind": "map"}),
    (ANNOUNCED, {"series": Late}),
    (ANNOUNCED, {"series": Backwards}),
    (ANNOUNCED, {"series": Narrow}),
    (ANNOUNCED, {"series": Chatty}),
    (ANNOUNCED, {"series": Writes}),
    (ANNOUNCED, {"series": Unfinished}),
    (ANNOUNCED, {"series": Wide}),
    ("test_who_begins_again_comes_to_the_same_bits", {"series": Random}),
    (BEFORE, {"series": Random}),
    (AGREES, {}),
    (AGREES, {"reference": lambda self, *told: {"probe": right(self, *told)["probe"]}}),
    (AGREES, {"reference": lambda self, *told: right(self, *told) | {"sum": np.ones(3)}}),
]


@pytest.fixture
def no_search_for_the_smallest_example():
    """Whether a promise is broken is the question here, not by how little."""
    settings.register_profile("found", phases=[Phase.generate], database=None)
    settings.load_profile("found")
    yield
    settings.load_profile("octostream")


@pytest.mark.usefixtures("no_search_for_the_smallest_example")
@pytest.mark.parametrize(("promise", "how"), BROKEN)
def test_a_broken_promise_is_noticed(promise, how):
    with pytest.raises(AssertionError):
        getattr(contract(**how), promise)()


def test_every_promise_can_be_broken():
    assert set(PROMISES) == {promise for promise, _ in BROKEN}


def test_a_good_step_passes():
    good = contract(reference=right)
    for promise in PROMISES:
        getattr(good, promise)()
