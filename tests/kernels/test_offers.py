"""Steps of other packages: found, named when they cannot be used, and never in the way of others."""

from dataclasses import dataclass
from importlib.metadata import EntryPoint

import pytest
from octostream.kernels import offers
from octostream.kernels.kinds import Whole
from octostream.kernels.parameters import Parameters, declared
from octostream.kernels.recipe import Recipe
from octostream.kernels.step import Planned, Step
from octostream.kernels.steps import find_step, origin, step_names, survey
from octostream.stream.errors import RecipeError


class Nothing(Parameters):
    step_name = "mine"


def plan(parameters, setting):
    return Planned()


STEP = Step("mine", "map", "does nothing", Nothing, plan)
OTHER = Step("other", "map", "does nothing", Nothing, plan)
UNPLANNED = Step("unplanned", "map", "cannot be done", Nothing)


@dataclass(frozen=True)
class Bad(Parameters):
    n: int = declared(3, Whole("", 5), "n")


class Forgotten(Parameters):
    n: int = declared(5, Whole("", 5), "n")


BAD = Step("bad", "map", "its default is out of range", Bad, plan)
FORGOTTEN = Step("forgotten", "map", "its parameters are no dataclass", Forgotten, plan)


@pytest.fixture
def offer(monkeypatch):
    """Let packages offer steps of this module, as (name, attribute)."""

    def put(*names):
        made = [offers.Offer(n, f"pack 1 ({m})", EntryPoint(n, m, offers.GROUP)) for n, m in names]
        monkeypatch.setattr(offers, "offered", lambda: tuple(sorted(made, key=lambda o: (o.name, o.origin))))
        find_step.cache_clear()

    yield put
    monkeypatch.undo()
    find_step.cache_clear()


def test_a_step_of_another_package_is_one_like_others(offer):
    offer(("mine", f"{__name__}:STEP"))
    assert step_names()[step_names().index("mine") + 1] == "foreground"
    assert find_step("mine") is STEP
    assert origin("mine") == f"pack 1 ({__name__}:STEP)"
    assert origin("bin") == "octostream"
    assert Recipe.load("lightsheet", ["mine=true"]).steps[-1] == "mine"
    steps, troubles = survey()
    assert steps == tuple(map(find_step, step_names()))
    assert troubles == ()


@pytest.mark.parametrize(
    ("name", "where", "words"),
    [
        ("mine", "absent_module:STEP", ["cannot be loaded", "ModuleNotFoundError", "absent_module"]),
        ("mine", "{}:ABSENT", ["cannot be loaded", "AttributeError"]),
        ("mine", "{}:OTHER", ["no step of that name"]),
        ("mine", "{}:plan", ["no step of that name"]),
        ("unplanned", "{}:UNPLANNED", ["no step of that name", "plan"]),
        ("bad", "{}:BAD", ["declares a parameter that cannot be used"]),
        ("forgotten", "{}:FORGOTTEN", ["declares a parameter that cannot be used", "@dataclass"]),
        ("bin", "{}:STEP", ["octostream has a step of that name"]),
        ("Mine", "{}:STEP", ["its name is not made of"]),
        ("base", "{}:STEP", ["its name is not made of"]),
        ("mine.too", "{}:STEP", ["its name is not made of"]),
    ],
)
def test_one_that_cannot_be_used_is_named_and_breaks_nothing(offer, name, where, words):
    before = {found: find_step(found) for found in step_names()}
    offer((name, where.format(__name__)), ("other", f"{__name__}:OTHER"))
    steps, (trouble,) = survey()
    assert {step.name: step for step in steps} == {**before, "other": OTHER}
    assert trouble.name == name
    assert trouble.origin.startswith("pack 1 (")
    assert all(word in trouble.reason for word in words), trouble.reason
    assert "\n" not in trouble.reason
    if name not in before:
        with pytest.raises(RecipeError):
            Recipe.load("lightsheet", [f"{name}=true"])


def test_of_two_with_one_name_the_first_is_used(offer):
    offer(("mine", "zzz:STEP"), ("mine", f"{__name__}:STEP"))
    assert find_step("mine") is (STEP if __name__ < "zzz" else None)
    (trouble,) = survey()[1]
    assert trouble.origin == "pack 1 (zzz:STEP)"
    assert "offers a step of that name too" in trouble.reason
