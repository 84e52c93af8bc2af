"""Links lead somewhere; pages are found from others; the picture is there."""

import re

import pytest

from .conftest import PAGES, PARSER, ROOT, name

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def links(page):
    fenced = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [link for link in LINK.findall(fenced) if not link.startswith(("http://", "https://"))]


def anchors(page):
    """Give the anchors of a page's headings, as forges make them."""
    tokens = PARSER.parse(page.read_text())
    headings = [tokens[k + 1].content for k, token in enumerate(tokens) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_files_and_headings(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_page_can_be_reached_from_the_readme():
    todo, seen = [ROOT / "README.md"], set()
    while todo:
        page = todo.pop()
        if page in seen:
            continue
        seen.add(page)
        for link in links(page):
            target = (page.parent / link.partition("#")[0]).resolve()
            todo += [target] if target.suffix == ".md" else sorted(target.glob("*.md")) if target.is_dir() else []
    unreached = set(PAGES) - seen - {ROOT / "CHANGELOG.md"}
    assert not unreached


def test_decisions_are_numbered_and_tell_context_and_decision():
    records = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    for record in records:
        text = record.read_text()
        assert text.startswith(f"# {int(record.name[:4])}. ")
        assert all(part in text for part in ("**Context.**", "**Decision.**", "**Consequence.**"))


def test_the_picture_is_a_small_png():
    picture = ROOT / "docs" / "images" / "page.png"
    assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert picture.stat().st_size < 300_000
