"""Every example of the documents is run, or parsed by what would run it."""

import json
import re
import tomllib

import numpy as np
import pytest
import typer
from octostream.api.cli import app
from octostream.api.given_metadata import given_metadata
from octostream.api.settings import Settings
from octostream.kernels.recipe import Recipe
from octostream.sinks.catalogue.checked_metadata import check_metadata
from octostream.sinks.catalogue.template_file import read_template, read_template_file
from typer.testing import CliRunner

from .conftest import PAGES, ROOT, blocks, commands, name

#: Blocks that open a window, which no test can look at; and one that another test runs, before an ICAT.
NOT_RUN = {"README.md": 1, "docs/icat.md": 1}

WITH_PYTHON = [page for page in PAGES if any(b.language == "python" for b in blocks(page))]
LINES = [(name(page), line, words) for page in PAGES for line, words in commands(page)]


def test_there_are_examples():
    assert {"README.md", "docs/http.md"} <= {name(page) for page in WITH_PYTHON}
    assert len([words for _, _, words in LINES if words[0] == "octostream"]) >= 10


@pytest.mark.system
@pytest.mark.parametrize("page", WITH_PYTHON, ids=name)
def test_python_blocks_run_in_order(page, desk, monkeypatch):
    monkeypatch.chdir(desk.desk)
    python = [block for block in blocks(page) if block.language == "python"]
    assert sum("notest" in block.flags for block in python) == NOT_RUN.get(name(page), 0)
    space = {"__name__": "__main__"}
    for block in python:
        text = block.text.replace("tcp://127.0.0.1:5642", desk.ingest)
        text = text.replace("http://127.0.0.1:8642", desk.dashboard.rstrip("/"))
        code = compile("\n" * block.line + text, str(page), "exec")
        if "notest" not in block.flags:
            exec(code, space)
    if name(page) == "README.md":
        assert check_readme(space)


def check_readme(space):
    """What the README says of its own examples."""
    assert space["level0"].shape == (3, 1, 10, 128, 128)
    assert space["lost"].tolist() == [4]
    assert space["brightest"].shape == (128, 128)
    np.testing.assert_array_equal(space["brightest"], space["first_stack"].max(axis=0))
    assert space["root"].attrs["octostream"]["status"] == "complete"
    return True


@pytest.mark.system
def test_verify_prints_what_the_readme_shows(desk, monkeypatch):
    """The one command whose output is exact; it needs the run of the README's first example."""
    page = ROOT / "README.md"
    (shown,) = [b.text.splitlines() for b in blocks(page) if "octostream verify" in b.text]
    store = desk.data / shown[0].split()[-1].removeprefix("octostream-data/")
    if not store.exists():
        test_python_blocks_run_in_order(page, desk, monkeypatch)
    result = CliRunner().invoke(app, ["verify", str(store)])
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == shown[1]


@pytest.mark.parametrize(("page", "line", "words"), LINES, ids=[f"{page}:{line}" for page, line, _ in LINES])
def test_commands_exist(page, line, words):
    while "=" in words[0]:
        words = words[1:]
    program, *arguments = words
    if program == "octostream":
        parse(arguments)
    elif program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert arguments[0] in targets
        if arguments[1:]:
            passed_on = arguments[1].removeprefix("ARGS=").split()
            assert arguments[1].startswith("ARGS=")
            if arguments[0] in ("test", "chaos"):
                assert all((ROOT / word).exists() for word in passed_on if not word.startswith("-"))
            else:
                parse([arguments[0], *passed_on])
    elif program == "docker":
        assert (ROOT / arguments[arguments.index("-f") + 1]).is_file()
    else:
        assert program in {"python3", ".venv/bin/pip", ".venv/bin/python", ".venv/bin/pytest"}
        files = [a for a in arguments if "/" in a and not a.startswith("-") and not a.startswith("..")]
        assert all((ROOT / a.split("::")[0]).exists() for a in files), files


def parse(arguments):
    """Let the real command line read the arguments, without running anything."""
    group = typer.main.get_command(app)
    context = group.make_context("octostream", list(arguments))
    if not arguments[0].startswith("-"):
        command = group.get_command(context, arguments[0])
        assert command is not None, arguments[0]
        command.make_context(arguments[0], list(arguments[1:]), parent=context)


@pytest.mark.parametrize("arguments", [["serve", "--nothing"], ["acquire", "x", "--rate", "fast"], ["acquire"]])
def test_parsing_notices_what_does_not_exist(arguments):
    with pytest.raises(Exception, match=r"No such option|not a valid|valid number|Missing parameter"):
        parse(arguments)


def test_an_unknown_command_is_noticed():
    with pytest.raises(AssertionError):
        parse(["nothing"])


def test_toml_blocks_are_accepted(tmp_path):
    np.save(tmp_path / "gain.npy", np.ones((4, 5), np.float32))
    seen = set()
    for page in PAGES:
        for block in blocks(page):
            if block.language != "toml":
                continue
            file = tmp_path / f"{len(seen)}.toml"
            file.write_text(block.text)
            keys = tomllib.loads(block.text).keys()
            if "data" in keys:
                Settings.load(file, {})
                seen.add("settings")
            elif "summary" in keys:
                read_template_file(file.rename(tmp_path / "ours.toml"))
                seen.add("template")
            elif "detection_na" in keys:
                check_metadata(read_template("lightsheet"), given_metadata([str(file), "sample=a"]))
                seen.add("metadata")
            else:
                Recipe.load(str(file)).resolve((4, 5))
                seen.add("recipe")
    assert seen == {"settings", "recipe", "template", "metadata"}


def test_json_blocks_are_json():
    for page in PAGES:
        for block in blocks(page):
            if block.language == "json":
                json.loads(block.text)
