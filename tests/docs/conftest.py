"""The documents as data, and a service that their examples run against."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt
from octostream.acquire.recording import open_run
from octostream.stream.model import Plan

from ..system.conftest import Service

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "docker").rglob("*.md")],
    key=lambda page: page.relative_to(ROOT).as_posix(),
)
PARSER = MarkdownIt("commonmark").enable("table")


def name(page):
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Block:
    """A fenced block: what it says it is, its text, and where it begins."""

    language: str
    flags: tuple[str, ...]
    text: str
    line: int


def blocks(page):
    """Give the fenced blocks of a page."""
    found = []
    for token in PARSER.parse(page.read_text()):
        if token.type == "fence":
            language, *flags = token.info.split() or [""]
            found.append(Block(language, tuple(flags), token.content, token.map[0] + 1))
    return found


def commands(page):
    """Give the lines of a page's shell blocks that a reader types, as (line number, words)."""
    found = []
    for block in blocks(page):
        if block.language not in ("console", "bash"):
            continue
        for k, line in enumerate(block.text.splitlines()):
            if block.language == "console" and not line.startswith("$ "):
                continue
            found.append((block.line + 1 + k, shlex.split(line.removeprefix("$ "), comments=True)))
    return [(line, words) for line, words in found if words]


def tables(page):
    """Give the tables of a page, each a list of rows, each row a list of cells as written."""
    found, inside = [], False
    for token in PARSER.parse(page.read_text()):
        if token.type in ("table_open", "table_close"):
            inside = token.type == "table_open"
            found += [[]] if inside else []
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and inside:
            found[-1][-1].append(token.content)
    return found


def table(page, heading):
    """Give the rows of the one table whose first cell is so, without the heading."""
    (rows,) = [rows for rows in tables(page) if rows[0][0] == heading]
    return rows[1:]


def codes(cell):
    """Give what stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


@pytest.fixture(scope="session")
def desk(tmp_path_factory):
    """A folder with a service that keeps its stores in ``octostream-data``, as the README has it."""
    folder = tmp_path_factory.mktemp("desk")
    service = Service(folder / "octostream-data")
    service.desk = folder
    with open_run(service.ingest, Plan((1, 1, 1, 8, 8)), name="a-run-to-ask-about") as run:
        run.send(np.zeros((8, 8), np.uint16))
    yield service
    service.end()
