"""docs/recipes.md against the code: every recipe, step, parameter and promise, and its own reduction."""

import importlib.util
import re

import pytest
from octostream.api.commands.recipes import app
from octostream.kernels import plugin
from octostream.kernels.contract import StepContract
from octostream.kernels.series_contract import SeriesContract
from octostream.kernels.steps import step_names
from typer.main import get_command

from .conftest import ROOT, blocks, codes, name, table

PAGE = ROOT / "docs" / "recipes.md"


def listing():
    spec = importlib.util.spec_from_file_location("list_steps", ROOT / "docs" / "list_steps.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_those_of_the_code():
    text = PAGE.read_text()
    assert listing().with_tables(text) == text, "run .venv/bin/python docs/list_steps.py"
    steps = [codes(row[0])[0] for row in table(PAGE, "step") if row[0]]
    assert steps == list(step_names())
    assert listing().with_tables(text.replace("| `bin` |", "| `bun` |")) == text


def test_every_step_says_what_it_computes():
    part = PAGE.read_text().partition("## What they compute")[2].partition("\n## ")[0]
    assert re.findall(r"^- \*\*`(\w+)`\*\*: ", part, re.MULTILINE) == list(step_names())


def test_every_promise_and_constructor_is_listed():
    promises = {promise for promise in dir(StepContract) if promise.startswith("test_")}
    assert {codes(cell)[0] for cell, _ in table(PAGE, "promise")} == promises
    promises = {promise for promise in dir(SeriesContract) if promise.startswith("test_")}
    assert {codes(cell)[0] for cell, _ in table(PAGE, "promise of a series")} == promises
    made = {word for word in dir(plugin) if word.endswith("_step")}
    assert {codes(cell)[0] for cell, *_ in table(PAGE, "constructor")} == made


def test_every_command_is_shown():
    shown = set(re.findall(r"octostream recipes (\w+)", PAGE.read_text()))
    assert shown == set(get_command(app).commands)


@pytest.fixture(scope="module")
def example():
    space = {"__name__": "example"}
    for block in blocks(PAGE):
        if block.language == "python":
            exec(compile("\n" * block.line + block.text, name(PAGE), "exec"), space)
    return space


@pytest.mark.parametrize("test", ["TestDeskew", "TestProjections"])
def test_its_reductions_keep_the_contract(example, test):
    contract = example[test]()
    for promise in [word for word in dir(contract) if word.startswith("test_")]:
        getattr(contract, promise)()
