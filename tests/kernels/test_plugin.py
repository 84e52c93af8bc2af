"""Steps from plain functions: a spot counter, a filter, deskew, localisation; and functions that fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import structlog
from octostream.kernels.contract import StepContract
from octostream.kernels.contract_runs import Case, run
from octostream.kernels.kinds import Number, Whole
from octostream.kernels.parameters import Parameters, declared
from octostream.kernels.plugin import frame_step, image_step, stack_step, table_step
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.kernels.step import Step
from octostream.stream.errors import RecipeError
from octostream.stream.model import Plan
from octostream.stream.tables import Column


@dataclass(frozen=True)
class Bright(Parameters):
    above: int = declared(1000, Whole("counts", 0, 65535), "what counts as bright")


def bright(frame, told):
    return (frame > told.above).sum(), frame.mean()


BRIGHT = frame_step(
    "bright",
    "bright pixels of a frame",
    bright,
    [Column("pixels", "uint32", "", "how many"), Column("mean", "float64", "count", "mean of all")],
    Bright,
)


class TestFrameStep(StepContract):
    step = BRIGHT
    parameters: ClassVar = {"above": 300}

    def reference(self, raw, level0, present):
        frames = raw[present]
        pixels = (frames > 300).sum((1, 2)).astype(np.uint32)
        return {"bright": {"frame": np.flatnonzero(present), "pixels": pixels, "mean": frames.mean((1, 2))}}


class TestFrameStepOfLevel0(StepContract):
    step = frame_step("top", "brightest", np.max, [Column("max", "uint16", "count", "highest")], of="level 0")

    def reference(self, raw, level0, present):
        return {"top": {"frame": np.flatnonzero(present), "max": level0[present].max((1, 2))}}


class TestImageStep(StepContract):
    step = image_step("root", "square root", np.sqrt, "float32", unit="√counts")

    def reference(self, raw, level0, present):
        return {"root": np.where(present[..., None, None], np.sqrt(level0), np.nan).astype(np.float32)}


class TestLabelStep(StepContract):
    step = image_step("light", "where light is", lambda level0: level0 > 500, "uint8", label=True)

    def reference(self, raw, level0, present):
        return {"labels/light": (level0 > 500).astype(np.uint8)}


@dataclass(frozen=True)
class Deskew(Parameters):
    """Plane z lies shift · z pixels further along y."""

    shift: int = declared(1, Whole("pixels", 0, 64), "from plane to plane, along y")


def deskewed(stack, told):
    made = np.zeros(deskewed_shape(stack.shape, told), np.uint16)
    for z, plane in enumerate(stack):
        made[z, z * told.shift : z * told.shift + len(plane)] = plane
    return made


def deskewed_shape(size, told):
    z, y, x = size
    return z, y + told.shift * (z - 1), x


DESKEW = stack_step("deskew", "planes in their places", deskewed, "uint16", Deskew, shape=deskewed_shape, unit="counts")


class TestDeskew(StepContract):
    step = DESKEW
    parameters: ClassVar = {"shift": 2}

    def reference(self, raw, level0, present):
        t, c, z, y, x = level0.shape
        made = np.zeros((t, c, z, y + 2 * (z - 1), x), np.uint16)
        for k in range(z):
            made[:, :, k, 2 * k : 2 * k + y] = level0[:, :, k]
        return {"deskew": made}


class TestResampled(StepContract):
    """A stack of another number of planes."""

    step = stack_step(
        "fine", "twice as many planes", lambda s: np.repeat(s, 2, 0), "float32", shape=lambda s: (2 * s[0], *s[1:])
    )

    def reference(self, raw, level0, present):
        made = np.repeat(level0, 2, axis=2).astype(np.float32)
        made[~present.any(2)] = np.nan
        return {"fine": made}


@dataclass(frozen=True)
class Spots(Parameters):
    above: float = declared(20000, Number("counts", 0), "least brightness of a spot")


def spots(stack, told):
    """Take pixels that are brighter than their neighbours in x, with a centre of mass of three: tiny, not good."""
    padded = np.pad(stack.astype(np.int64), ((0, 0), (0, 0), (1, 1)))
    here, left, right = padded[..., 1:-1], padded[..., :-2], padded[..., 2:]
    z, y, x = np.nonzero((here > told.above) & (here > left) & (here >= right))
    mass = (here + left + right)[z, y, x]
    offset = (right[z, y, x] - left[z, y, x]) / mass
    return {"z": z.astype(np.int32), "y": y.astype(np.float32), "x": (x + offset).astype(np.float32), "photons": mass}


SPOTS = table_step(
    "spots",
    "spots of a stack",
    spots,
    [
        Column("z", "int32", "plane", "plane from 0"),
        Column("y", "float32", "pixel", "of level 0"),
        Column("x", "float32", "pixel", "of level 0"),
        Column("photons", "float64", "count", "of three pixels"),
    ],
    Spots,
)


class TestLocalisation(StepContract):
    step = SPOTS

    def reference(self, raw, level0, present):
        rows = []
        for number, plane in enumerate(level0.reshape(-1, *level0.shape[3:])):
            for y, line in enumerate(plane.astype(int)):
                for x, value in enumerate(line):
                    left = line[x - 1] if x else 0
                    right = line[x + 1] if x + 1 < len(line) else 0
                    if value > 20000 and value > left and value >= right:
                        mass = left + value + right
                        rows.append((number, number % level0.shape[2], y, x + (right - left) / mass, mass))
        columns = ("frame", "z", "y", "x", "photons")
        return {"spots": dict(zip(columns, np.array(rows, float).reshape(-1, 5).T, strict=True))}


def made(step, function=None, shape=(2, 1, 3, 6, 8), missing=(), told=None, limit=3):
    raw = np.random.default_rng(0).integers(0, 65536, shape, dtype=np.uint16)
    present = np.ones(shape[:3], bool)
    present.reshape(-1)[list(missing)] = False
    case = Case(raw, present, limit, -1)
    reduction = plan_reduction(Recipe.load("lightsheet"), case.plan, extra=[(step, told or step.parameters())])
    return run(reduction, case), reduction


def test_products_are_described():
    products = {p.path: p for p in made(DESKEW)[1].products}
    product = products["deskew"]
    assert (product.axes, product.shape, product.own) == ("tczyx", (2, 1, 3, 5, 4), "")
    assert (product.factor_yx, product.shows, product.meaning) == (2, "image", "planes in their places, counts")
    assert {p.path: (p.own, p.shape[2]) for p in made(TestResampled.step)[1].products}["fine"] == ("z", 6)
    label = {p.path: p for p in made(TestLabelStep.step)[1].products}["labels/light"]
    assert (label.shows, label.dtype) == ("label", "uint8")
    (table,) = made(SPOTS)[1].tables
    assert [column.name for column in table.columns] == ["frame", "z", "y", "x", "photons"]


def test_rows_without_z_belong_to_the_first_frame_of_their_stack():
    step = table_step("sums", "sum of a stack", lambda s: {"sum": [int(s.sum())]}, [Column("sum", "int64", "", "sum")])
    outcome, _ = made(step, missing=(0, 3, 4, 5))
    assert outcome.tables["sums"]["frame"].tolist() == [0]
    assert outcome.tables["sums"]["sum"].tolist() == [outcome.arrays["0"].sum(dtype=int)]


def boom(*_):
    raise RuntimeError("no\nmore")


WRONG = [
    (boom, "RuntimeError: no"),
    (lambda array: None, "ValueError: gave"),
    (lambda array: np.zeros((9, 9, 9)), "ValueError: gave"),
    (lambda array: array.astype(np.float64), "ValueError: gave float64, and uint16 was announced"),
    (lambda array: array.astype(np.int64) - 70000, "ValueError: gave values from -"),
    (lambda array: array.astype(np.uint32) * 70000, "ValueError: gave values from "),
    (lambda array: array.__setitem__(0, 0), "ValueError: assignment destination is read-only"),
]


@pytest.mark.parametrize(("function", "why"), WRONG)
@pytest.mark.parametrize("make", [image_step, stack_step])
def test_an_image_that_cannot_be_made_is_blank_and_its_frame_is_stored(make, function, why):
    with structlog.testing.capture_logs() as logs:
        outcome, reduction = made(make("mine", "mine", function, "uint16"))
    assert not outcome.arrays["mine"].any()
    np.testing.assert_array_equal(outcome.arrays["0"], made(DESKEW)[0].arrays["0"])
    (line,) = logs
    assert (line["log_level"], line["step"]) == ("warning", "mine")
    assert line["why"].startswith(why)
    assert "\n" not in line["why"]
    assert len(reduction.plan.blocks) == 2


@pytest.mark.parametrize("make", [image_step, stack_step])
def test_an_image_of_floats_that_cannot_be_made_is_not_a_number(make):
    def sometimes(array):
        return boom() if array.max() % 2 else array * 0.5

    with structlog.testing.capture_logs() as logs:
        outcome, _ = made(make("mine", "mine", sometimes, "float64"), shape=(12, 1, 1, 6, 8))
    level0 = outcome.arrays["0"]
    odd = level0.max((1, 2, 3, 4)) % 2 == 1
    assert 0 < odd.sum() < 12
    assert np.isnan(outcome.arrays["mine"][odd]).all()
    np.testing.assert_array_equal(outcome.arrays["mine"][~odd], level0[~odd] * 0.5)
    assert len(logs) == 1


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (boom, "RuntimeError: no"),
        (lambda frame: 1, "ValueError: gave 1 numbers, and 2 were announced"),
        (lambda frame: (1.5, 2.0), "ValueError: gave float64, and uint32 was announced"),
        (lambda frame: (-1, 2.0), "ValueError: gave values from -1 to -1"),
        (lambda frame: (frame, 2.0), "ValueError: gave an array (6, 8)"),
        (lambda frame: ("a", 2.0), "ValueError: gave <U1"),
    ],
)
def test_numbers_that_cannot_be_had_are_absent_and_their_row_is_there(function, why):
    columns = [Column("count", "uint32", "", "count"), Column("mean", "float32", "", "mean")]
    with structlog.testing.capture_logs() as logs:
        outcome, _ = made(frame_step("mine", "mine", function, columns))
    rows = outcome.tables["mine"]
    assert rows["frame"].tolist() == list(range(6))
    assert rows["count"].tolist() == [0] * 6
    assert np.isnan(rows["mean"]).all()
    (line,) = logs
    assert line["why"].startswith(why), line["why"]


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (boom, "RuntimeError: no"),
        (lambda stack: [1], "ValueError: gave list, and columns ['v', 'z'] were announced"),
        (lambda stack: {"z": [0]}, "ValueError: gave ['z'], and columns"),
        (lambda stack: {"z": [0], "v": [1.0, 2.0]}, "ValueError: gave an array (2,), and (1,)"),
        (lambda stack: {"z": [3], "v": [1.0]}, "ValueError: gave planes z from 3 to 3 of a stack of 3"),
        (lambda stack: {"z": [-1], "v": [1.0]}, "ValueError: gave planes z from -1"),
        (lambda stack: {"z": [0.5], "v": [1.0]}, "ValueError: gave float64, and int16 was announced"),
    ],
)
def test_rows_that_cannot_be_found_are_absent(function, why):
    columns = [Column("z", "int16", "", "plane"), Column("v", "float32", "", "value")]
    with structlog.testing.capture_logs() as logs:
        outcome, _ = made(table_step("mine", "mine", function, columns))
    assert {name: values.dtype.name for name, values in outcome.tables["mine"].items()} == {
        "frame": "int64",
        "z": "int16",
        "v": "float32",
    }
    assert outcome.tables["mine"]["frame"].size == 0
    (line,) = logs
    assert line["why"].startswith(why), line["why"]


@pytest.mark.parametrize("step", [DESKEW, SPOTS])
def test_split_stacks_are_refused_in_one_line(step):
    plan = Plan((1, 1, 9, 6, 8), rate_hz=4.0)
    with pytest.raises(RecipeError, match=f"{step.name} needs whole stacks"):
        plan_reduction(Recipe.load("lightsheet"), plan, extra=[(step, step.parameters())])


@pytest.mark.parametrize("size", [(0, 4, 4), (4, 4), (1, -1, 3)])
def test_a_size_that_cannot_be_is_refused_in_one_line(size):
    step = stack_step("mine", "mine", lambda s: s, "uint16", shape=lambda s: size)
    with pytest.raises(RecipeError, match="step 'mine' makes stacks of the size"):
        made(step)


def test_a_plan_that_fails_is_refused_in_one_line():
    step = stack_step("mine", "mine", lambda s: s, "uint16", shape=boom)
    with pytest.raises(RecipeError, match=r"step 'mine' cannot be made ready \(RuntimeError: no"):
        made(step)


def test_messages_about_parameters_name_the_step():
    with pytest.raises(RecipeError, match=r"deskew\.shift is 65: it must be a whole number of pixels from 0 to 64"):
        Deskew(shift=65)
    assert isinstance(DESKEW, Step)
    assert DESKEW.declared["shift"].default == 1
