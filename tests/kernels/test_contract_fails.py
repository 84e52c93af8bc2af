"""The contract of steps notices every broken promise."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import Phase, settings
from octostream.kernels.contract import StepContract
from octostream.kernels.kinds import Whole
from octostream.kernels.parameters import Parameters, declared
from octostream.kernels.plugin import NoParameters, image_step, stack_step
from octostream.kernels.step import Planned, Step
from octostream.stream.model import Product
from octostream.stream.tables import Column, Table


@pytest.fixture(autouse=True, scope="module")
def no_search_for_the_smallest_example():
    """Whether a promise is broken is the question here, not by how little."""
    settings.register_profile("found", phases=[Phase.generate], database=None)
    settings.load_profile("found")
    yield
    settings.load_profile("octostream")


TABLE = Table("probe", (Column("frame", "int64", "", "number"), Column("mean", "float64", "count", "mean")))


class Reducer:
    """Makes a copy of level 0 and a table of means, as it should."""

    def __init__(self, setting):
        self.shape = setting.levels[0].shape[3:]
        self.images = np.zeros((np.prod(setting.plan.blocks.step), *self.shape), np.uint16)
        self.means = np.zeros(len(self.images))

    def begin(self, block):
        self.block = block

    def add(self, at, raw, level0):
        self.images[at] = level0
        self.means[at] = raw.mean()

    def finish(self, arrays, present):
        there = present.reshape(-1)
        self.images[: there.size][~there] = 0
        arrays["probe"] = self.images[: there.size].reshape(*present.shape, *self.shape)
        rows = {"frame": self.block.first + np.flatnonzero(there), "mean": self.means[: there.size][there]}
        return {"probe": rows}


def contract(reducer=Reducer, kind="map", product=None, parameters=NoParameters, **attributes):
    def plan(told, setting):
        made = product or Product("probe", "tczyx", setting.levels[0].shape, "uint16", 2)
        return Planned((made,), (TABLE,), lambda: reducer(setting))

    step = Step("probe", kind, "a probe", parameters, plan)
    return type("Contract", (StepContract,), {"step": step, **attributes})()


def keeps(contract):
    for promise in [name for name in dir(contract) if name.startswith("test_")]:
        getattr(contract, promise)()


def right(self, raw, level0, present):
    """Give the product and the table, which have one name."""
    means = raw.reshape(present.size, -1).mean(axis=1)[present.reshape(-1)]
    return {"probe": level0, "tables/probe": {"frame": np.flatnonzero(present), "mean": means}}


def test_a_good_step_passes():
    keeps(contract(reference=right))


def test_what_is_named_as_not_compared_may_be_left_out():
    def image(self, raw, level0, present):
        return {"probe": level0}

    keeps(contract(reference=image, not_compared=("tables/probe",)))


class Forgets(Reducer):
    def finish(self, arrays, present):
        rows = super().finish(arrays, np.ones_like(present))["probe"]
        return {"probe": {name: values[present.reshape(-1)] for name, values in rows.items()}}


class Orders(Reducer):
    def begin(self, block):
        self.block, self.last = block, 0

    def add(self, at, raw, level0):
        super().add(at, raw, level0)
        self.means[at] += self.last
        self.last = at


class Cuts(Reducer):
    def add(self, at, raw, level0):
        super().add(at, raw, level0)
        self.means[at] += at


class Mixes(Reducer):
    def finish(self, arrays, present):
        rows = super().finish(arrays, present)
        rows["probe"]["mean"] += np.mean(present)
        return rows


class Writes(Reducer):
    def add(self, at, raw, level0):
        super().add(at, raw, level0)
        level0[0, 0] = 7


class WritesRaw(Reducer):
    def add(self, at, raw, level0):
        super().add(at, raw, level0)
        raw.flags.writeable = True
        raw[0, 0] ^= 1


class Random(Reducer):
    state = np.random.default_rng(0)

    def add(self, at, raw, level0):
        super().add(at, raw, level0)
        self.means[at] += self.state.random()


class Narrow(Reducer):
    def finish(self, arrays, present):
        return {"probe": {n: v.astype(np.float32) for n, v in super().finish(arrays, present)["probe"].items()}}


class Foreign(Reducer):
    def finish(self, arrays, present):
        rows = super().finish(arrays, present)
        rows["probe"]["frame"] = rows["probe"]["frame"] + 1
        return rows


class Backwards(Reducer):
    def finish(self, arrays, present):
        return {"probe": {n: v[::-1] for n, v in super().finish(arrays, present)["probe"].items()}}


@dataclass(frozen=True)
class Unexplained(Parameters):
    n: int = declared(3, Whole(), "")


@dataclass(frozen=True)
class OutOfRange(Parameters):
    n: int = declared(3, Whole("", 5), "how many")


def changed(how):
    return lambda *told: how(right(*told))


AGREES = "test_it_agrees_with_the_reference"
ANNOUNCED = "test_products_and_tables_are_what_was_announced"
BROKEN = [
    ("test_it_says_what_it_is", {"parameters": Unexplained}),
    ("test_it_says_what_it_is", {"kind": "derived"}),
    (ANNOUNCED, {"product": Product("probe", "tczyx", (9, 9, 9, 9, 9), "uint16", 2)}),
    (ANNOUNCED, {"product": Product("else", "tczyx", (9, 9, 9, 9, 9), "uint16", 2)}),
    (ANNOUNCED, {"reducer": Narrow}),
    (ANNOUNCED, {"reducer": Foreign}),
    (ANNOUNCED, {"reducer": Backwards}),
    (ANNOUNCED, {"reducer": WritesRaw}),
    ("test_the_same_frames_give_the_same_bits", {"reducer": Forgets}),
    ("test_the_same_frames_give_the_same_bits", {"reducer": Random}),
    ("test_the_order_of_arrival_does_not_matter", {"reducer": Orders}),
    ("test_the_cut_into_blocks_does_not_matter", {"reducer": Cuts}),
    ("test_frames_that_never_came_change_nothing_else", {"reducer": Mixes}),
    ("test_it_leaves_alone_what_is_not_its_own", {"reducer": Writes}),
    (AGREES, {"reference": changed(lambda made: made | {"probe": made["probe"] + 1})}),
    (AGREES, {"reference": changed(lambda made: made | {"probe": made["probe"][0]})}),
    (
        AGREES,
        {"reference": changed(lambda made: made | {"tables/probe": {**made["tables/probe"], "mean": np.zeros(99)}})},
    ),
    (
        AGREES,
        {"reference": changed(lambda made: made | {"tables/probe": {**made["tables/probe"], "sum": np.zeros(9)}})},
    ),
    (AGREES, {"reference": changed(lambda made: made | {"tables/probe": {"mean": made["tables/probe"]["mean"]}})}),
    (AGREES, {"reference": changed(lambda made: made | {"else": made["probe"]})}),
    (AGREES, {"reference": changed(lambda made: made | {"tables/else": made["tables/probe"]})}),
    (AGREES, {"reference": changed(lambda made: {"probe": made["probe"]})}),
    (AGREES, {"reference": changed(lambda made: {"probe": made["tables/probe"]})}),
    # Nobody wrote one, and nothing is left.
    (AGREES, {}),
    (AGREES, {"not_compared": ("probe", "tables/probe")}),
]


@pytest.mark.parametrize(("promise", "how"), BROKEN)
def test_a_broken_promise_is_noticed(promise, how):
    with pytest.raises((AssertionError, ValueError)):
        getattr(contract(**{"examples": 60, "reference": StepContract.reference, **how}), promise)()


def test_a_default_out_of_range_is_noticed():
    with pytest.raises(ValueError):
        contract(parameters=OutOfRange).test_it_says_what_it_is()


def test_every_promise_can_be_broken():
    promises = {name for name in dir(StepContract) if name.startswith("test_")}
    assert promises == {promise for promise, _ in BROKEN}


def test_a_run_that_is_too_small_for_a_step_is_not_tried():
    sizes = []
    step = stack_step("probe", "sizes", lambda stack: sizes.append(stack.shape) or stack, "uint16")
    attributes = {"step": step, "smallest": (3, 8, 10), "recipe": ("bin.factor=1",)}
    type("Contract", (StepContract,), attributes)().test_the_order_of_arrival_does_not_matter()
    assert sizes
    assert np.min(sizes, axis=0).tolist() == [3, 8, 10]


def test_parameters_reach_the_step():
    @dataclass(frozen=True)
    class Times(Parameters):
        factor: int = declared(1, Whole("", 1, 9), "multiplies every pixel")

    step = image_step(
        "probe", "multiplied", lambda level0, told: level0.astype(np.uint32) * told.factor, "uint32", Times
    )

    def reference(self, raw, level0, present):
        return {"probe": level0.astype(np.uint32) * 7}

    keeps(type("Contract", (StepContract,), {"step": step, "parameters": {"factor": 7}, "reference": reference})())
