"""What the page says of the catalogue, in Debian's Chromium."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from .browsing import Head, record

pytestmark = pytest.mark.browser


def test_runs_show_how_they_stand_in_the_catalogue_and_follow_it(page: Page, service, make, catalogue) -> None:
    told = {"status": "complete", "stored": 2112, "investigation": "2026-0042", "visit": "1"}
    runs = [make["run"](service.data, f"r-{n}", **told) for n in range(4)]
    service.runs.rows = runs
    make["store"](service.data, runs[0].name)
    for run in runs[:3]:
        catalogue.told(run, "sealed")
    catalogue.delivered(0.42, reduced=4711, raw=4712)
    catalogue.parked("ICAT has no visit '1' of 2026-0042", "create it, then octostream catalogue retry r-1")
    catalogue.failed("URLError: connection refused", 3600)
    page.goto(service.url)
    cells = page.locator("#runs .stands")
    expect(cells.locator(".chip")).to_have_text(["complete", "parked", "queued", "local"])
    expect(cells.nth(0).locator(".why")).to_have_text(["reduced 4711, raw 4712"])
    expect(cells.nth(1).locator(".why")).to_have_text(["ICAT has no visit '1' of 2026-0042"])
    expect(cells.nth(1).locator(".remedy")).to_have_text("create it, then octostream catalogue retry r-1")
    expect(cells.nth(2)).to_contain_text("URLError: connection refused")
    expect(cells.nth(2)).to_contain_text(re.compile("next try in (1\u202fh 0|59)\u202fmin"))
    shape = """node => {
        const style = getComputedStyle(node, '::before');
        const hollow = style.backgroundColor === 'rgba(0, 0, 0, 0)';
        return [style.clipPath, style.borderRadius, style.height, hollow];
    }"""
    shapes = [tuple(chip.evaluate(shape)) for chip in cells.locator(".chip").all()]
    assert len(set(shapes)) == 4, "colour alone tells states apart"

    warning = page.locator("#alarms li[data-name=catalogue_parked]")
    expect(warning).to_contain_text("a run waits for a person")
    expect(warning.locator("b")).to_have_text("warning")
    expect(page.locator("#verdict-word")).to_have_text("IDLE")

    expect(page.locator("#catalogue-state")).to_have_text("complete")
    expect(page.locator("#catalogue-rows")).to_be_hidden()
    page.locator("#catalogue summary").click()
    expect(page.locator("#catalogue-rows tr")).to_have_text(
        ["stateICAT has it, complete", "datasetsreduced 4711, raw 4712", "complete420\u202fms after the last frame"]
    )

    catalogue.outbox.retry()
    expect(cells.nth(1).locator(".chip")).to_have_text("queued")
    expect(warning).to_have_count(0)
    catalogue.told(runs[0], "grown")
    expect(page.locator("#catalogue-state")).to_have_text("registered")
    expect(page.locator("#catalogue-rows")).to_contain_text("1 entry")
    for _ in range(3):
        catalogue.delivered(1.5, reduced=1)
    expect(cells.locator(".chip")).to_have_text(["complete", "complete", "complete", "local"])


def test_without_a_catalogue_the_page_is_silent_about_it(page: Page, service, head: Head, make) -> None:
    record(service, head, make)
    page.goto(service.url)
    expect(page.locator("#runs tr")).to_have_count(1)
    expect(page.get_by_role("columnheader", name="Catalogue")).to_have_count(0)
    expect(page.locator("#catalogue")).to_be_hidden()


@pytest.mark.parametrize("width", [400, 1280])
def test_what_the_catalogue_says_fits_the_page(page: Page, service, make, catalogue, width: int) -> None:
    run = make["run"](service.data, status="complete", investigation="2026-0042")
    service.runs.rows = [run]
    make["store"](service.data, run.name)
    catalogue.told(run, "sealed")
    catalogue.parked("ICATValidationError:" + 60 * "x" + 40 * " more", 30 * "mend " + 80 * "y")
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(service.url)
    page.locator("#catalogue summary").click()
    expect(page.locator("#runs .stands .chip")).to_have_text("parked")
    expect(page.locator("#catalogue-rows")).to_contain_text("yyyy")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
