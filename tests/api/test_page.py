"""The page in Debian's Chromium, over the real server."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from octostream.stream.report import Alarm, ServiceReport, StageReport
from playwright.sync_api import Page, expect

from .browsing import Head, record

pytestmark = pytest.mark.browser


def pass_time(page: Page, make, until: str) -> None:
    """Let the page's clock run ahead until something shows; what is still under way arrives meanwhile."""

    def shown() -> bool:
        page.clock.fast_forward(1000)
        return page.evaluate(until)

    make["wait"](shown)


def pixels(page: Page, canvas: str) -> list[int]:
    """Give red, green and blue of 256 pixels spread over a canvas."""
    script = """id => {
        const canvas = document.getElementById(id);
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
        copy.drawImage(canvas, 0, 0);
        const out = [];
        for (let i = 0; i < 256; i += 1) {
            const x = Math.floor(canvas.width * (i % 16 + .5) / 16);
            const y = Math.floor(canvas.height * (Math.floor(i / 16) + .5) / 16);
            out.push(...copy.getImageData(x, y, 1, 1).data.slice(0, 3));
        }
        return out;
    }"""
    return page.evaluate(script, canvas)


def test_without_a_run_the_page_says_how_to_start_one(page: Page, service) -> None:
    page.goto(service.url)
    expect(page.get_by_role("heading", name="Waiting for the first run")).to_be_visible()
    expect(page.locator("#verdict-word")).to_have_text("IDLE")
    expect(page.locator("#command")).to_have_text("octostream acquire simulated: --to tcp://127.0.0.1:5555 --rate 100")
    expect(page.locator(".figures")).to_be_hidden()


def test_a_run_that_starts_is_followed_without_a_reload(page: Page, service, head: Head, make) -> None:
    page.goto(service.url)
    expect(page.locator("#waiting")).to_be_visible()
    record(service, head, make)
    expect(page.locator("#verdict-word")).to_have_text("RECORDING")
    expect(page.locator("#waiting")).to_be_hidden()
    expect(page.locator("#frames-stored")).to_have_text("1\u202f056")
    expect(page.locator("#frames-expected")).to_have_text("of 2\u202f112")
    expect(page.locator("#lost")).to_have_text("0")
    expect(page.locator("#rate")).to_have_text("100.0")
    expect(page.locator("#durable-p99")).to_have_text("1.13\u202fs")
    expect(page.locator("#disk-note")).to_have_text("full in 45\u202fmin 13\u202fs at this rate")
    record(service, head, make, stored=1144)
    expect(page.locator("#frames-stored")).to_have_text("1\u202f144")
    expect(page.locator("#progress")).to_have_attribute("aria-valuenow", "54")
    expect(page.locator("#stages li")).to_have_count(6)
    assert page.title() == "RECORDING 54.2\u202f% · octostream"


def test_trouble_is_said_in_words_and_colour(page: Page, service, head: Head, make) -> None:
    record(service, head, make, lost=12, rate_hz=80.0)
    healthy = head.report

    def degraded(n: int) -> ServiceReport:
        report = healthy(n)
        stages = list(report.stages)
        stages[3] = replace(stages[3], queue=48, queue_capacity=64)
        stages[4] = replace(stages[4], queue=64, queue_capacity=64, lost=12)
        return replace(report, verdict="DEGRADED", reason="embryo lost 12 frames", stages=tuple(stages))

    head.report = degraded
    page.goto(service.url)
    expect(page.get_by_role("status").filter(has_text="DEGRADED")).to_be_visible()
    expect(page.locator("#verdict-reason")).to_have_text("embryo lost 12 frames")
    expect(page.get_by_role("alert")).to_contain_text("Frames were lost in embryo-r-0001")
    expect(page.locator("#lost-tile")).to_have_attribute("data-tone", "bad")
    expect(page.locator("#lost-note")).to_contain_text("frames lost, 0.6")
    expect(page.locator("#rate-note")).to_contain_text("below 100.0 Hz planned")
    expect(page.locator("#stages li").nth(2).locator(".state")).to_contain_text("6 of 64, free")
    expect(page.locator("#stages li").nth(3).locator(".state")).to_contain_text("48 of 64, filling")
    expect(page.locator("#stages li").nth(4).locator(".state")).to_contain_text("64 of 64, full")


def test_alarms_have_a_shape_a_word_and_a_time_and_go_again(page: Page, service, head: Head, make) -> None:
    record(service, head, make)
    healthy = head.report
    since = int(time.mktime((2026, 1, 2, 3, 4, 5, 0, 0, -1))) * 10**9
    full = Alarm("queue_write", "alarm", "the queue of write is full: the disk is slower than the camera", since)
    fills = Alarm("queue_acquire", "warning", "the queue of acquire fills up", since)

    def show(*alarms: Alarm) -> None:
        head.report = lambda n: replace(healthy(n), alarms=alarms)

    page.goto(service.url)
    expect(page.locator("#verdict-word")).to_have_text("RECORDING")
    region = page.get_by_role("alert")
    assert region.count() == 1, "the region is there before anything happens"
    expect(page.locator("#alarms li")).to_have_count(0)
    show(fills)
    warning = region.locator("li")
    expect(warning).to_contain_text("the queue of acquire fills up")
    expect(warning.locator("b")).to_have_text("warning")
    expect(page.locator("#verdict-word")).to_have_text("RECORDING")
    show(full, fills)
    expect(region.locator("li")).to_have_count(2)
    first = region.locator("li").first
    expect(first.locator("b")).to_have_text("alarm")
    expect(first.locator("time")).to_have_text("since 2 Jan 03:04:05")
    shape = "node => getComputedStyle(node, '::before').clipPath"
    assert first.locator("b").evaluate(shape) != region.locator("li").last.locator("b").evaluate(shape)
    stage = page.locator("#stages li").filter(has=page.get_by_role("heading", name="write"))
    expect(stage.locator("b")).to_have_text("alarm")
    expect(page.locator("#stages li").first.locator("b")).to_have_text("warning")
    show()
    expect(page.locator("#alarms li")).to_have_count(0)
    expect(stage.locator("b")).to_have_text("")


def test_a_stage_that_only_some_agents_have_comes_in_its_place(page: Page, service, head: Head, make) -> None:
    record(service, head, make)
    healthy = head.report
    page.goto(service.url)
    expect(page.locator("#stages li")).to_have_count(6)

    def spooling(n: int) -> ServiceReport:
        report = healthy(n)
        first, *rest = report.stages
        return replace(report, stages=(first, StageReport("spool", queue=300, queue_capacity=1000), *rest))

    head.report = spooling
    expect(page.locator("#stages h3")).to_have_text(
        ["acquire", "spool", "send", "receive", "reduce", "write", "publish"]
    )
    expect(page.locator("#stages li").nth(1).locator(".state")).to_contain_text("300 of 1 000, free")


def test_the_image_moves_and_contrast_changes_real_pixels(page: Page, service, head: Head, make) -> None:
    record(service, head, make)
    page.clock.install()
    page.goto(service.url)
    expect(page.locator("#image-frame")).to_contain_text("frame")
    expect(page.locator("#image-age")).to_contain_text("age of the image")
    first = page.locator("#image-frame").inner_text()
    expect(page.locator("#image-frame")).not_to_have_text(first)
    assert page.evaluate("[image.width, image.height]") == [128, 96]
    head.image = False
    pass_time(page, make, "document.getElementById('screen').dataset.old !== undefined")
    automatic = pixels(page, "image")
    assert max(automatic) > 200
    expect(page.locator("#auto")).to_have_attribute("aria-pressed", "true")
    assert int(page.locator("#low").input_value()) in range(90, 115)

    page.locator("#high").focus()
    page.keyboard.press("Home")
    expect(page.locator("#auto")).to_have_attribute("aria-pressed", "false")
    low, high = int(page.locator("#low").input_value()), int(page.locator("#high").input_value())
    assert low < high < 110
    assert pixels(page, "image") == [255] * 768
    page.locator("#high").fill("1023")
    assert max(pixels(page, "image")) < max(automatic) + 1
    dark = pixels(page, "image")
    assert dark != automatic
    page.locator("#auto").click()
    assert pixels(page, "image") == automatic

    page.locator("#map").select_option("viridis")
    coloured = pixels(page, "image")
    assert any(coloured[i] != coloured[i + 1] for i in range(0, 768, 3))
    assert page.evaluate("histogram.getContext('2d').getImageData(0, 0, 260, 96).data.some((v) => v)")


def test_projections_are_drawn_as_orthogonal_views(page: Page, service, head: Head, make) -> None:
    record(service, head, make, shape=(24, 2, 88, 2048, 2048))
    page.goto(service.url)
    expect(page.locator("#ortho-at")).to_have_text("latest stack, t = 11")
    for plane, size in {"xy": [100, 80], "xz": [100, 44], "yz": [44, 80]}.items():
        assert (
            page.evaluate(
                "id => { const c = document.getElementById(id); return [c.width, c.height]; }", f"plane-{plane}"
            )
            == size
        )
        assert max(pixels(page, f"plane-{plane}")) > 100
    xy, xz, yz = (page.locator(f"#plane-{plane}").bounding_box() for plane in ("xy", "xz", "yz"))
    assert xy["width"] == pytest.approx(xz["width"], abs=1)
    assert xy["height"] == pytest.approx(yz["height"], abs=1)
    assert yz["x"] > xy["x"] + xy["width"]
    assert xz["y"] > xy["y"] + xy["height"]
    # 88 planes of 0.3 um beside 1024 pixels of 0.203 um.
    assert xz["height"] / xz["width"] == pytest.approx(88 * 0.3 / (1024 * 0.203), rel=0.05)
    expect(page.locator("#channel option")).to_have_count(2)
    with page.expect_request(lambda request: request.url.endswith("/projections/xy?c=1")):
        page.locator("#channel").select_option("1")


def test_old_numbers_look_old_and_recover(page: Page, service, head: Head, make) -> None:
    record(service, head, make)
    page.clock.install()
    page.goto(service.url)
    expect(page.locator("#verdict-word")).to_have_text("RECORDING")
    opacity = "getComputedStyle(document.querySelector('.figures')).opacity"
    assert page.evaluate(opacity) == "1"
    head.silent = True
    pass_time(page, make, "document.body.dataset.stale !== undefined")
    expect(page.locator("#verdict-word")).to_have_text("NO DATA")
    expect(page.get_by_role("alert")).to_contain_text("No update for 4 s")
    expect(page.locator("#heard")).to_contain_text("no update for")
    expect(page.locator("#which")).to_contain_text("A recording may well go on")
    assert float(page.evaluate(opacity)) < 0.7
    head.silent = False
    expect(page.locator("#verdict-word")).to_have_text("RECORDING")
    assert page.evaluate(opacity) == "1"


def test_a_head_that_was_never_heard_is_no_data(page: Page, service, head: Head, make) -> None:
    head.stop()
    service.feed._report = None
    page.goto(service.url)
    expect(page.locator("#verdict-reason")).to_have_text("the service has not been heard yet")
    expect(page.locator("#verdict-word")).to_have_text("NO DATA")


def test_finished_runs_link_to_viewers_and_nothing_is_asked_of_them(page: Page, service, head: Head, make) -> None:
    make["store"](service.data, "embryo-r-1")
    done = make["run"](service.data, "r-1", status="complete", stored=2112)
    changes = {"lost": 4, "reason": "the agent was interrupted", "visit": "visit-9"}
    cut = make["run"](service.data, "r-0", status="incomplete", **changes)
    service.runs.rows = [done, cut]
    page.goto(service.url)
    row = page.locator("tr[data-run=r-1]")
    expect(row.locator(".chip")).to_have_text("complete")
    expect(row).to_contain_text("2\u202f112 of 2\u202f112")
    expect(row).to_contain_text("5.5×")
    expect(row.locator("code")).to_have_text(done.store)
    store = f"{service.url}/data/local/embryo-r-1.ome.zarr"
    link = row.get_by_role("link", name="neuroglancer")
    where, _, state = (link.get_attribute("href") or "").partition("#!")
    assert where == "https://neuroglancer-demo.appspot.com/"
    assert json.loads(unquote(state))["layers"][0]["source"] == f"zarr3://{store}"
    vizarr = urlsplit(row.get_by_role("link", name="vizarr").get_attribute("href") or "")
    assert (vizarr.netloc, parse_qs(vizarr.query)) == ("hms-dbmi.github.io", {"source": [store]})
    assert {link.get_attribute("rel"), link.get_attribute("target")} == {"noopener noreferrer", "_blank"}
    expect(row.locator(".name")).to_have_text("local / embryo-r-1")
    expect(page.locator("tr[data-run=r-0] .name")).to_have_text("local / visit-9 / embryo-r-0")
    expect(page.locator("tr[data-run=r-0]")).to_contain_text("the agent was interrupted")
    expect(page.locator("#which")).to_contain_text("Last run: local / embryo-r-1, complete")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    row.get_by_role("button", name="Copy the URL").click()
    expect(row.get_by_role("button", name="Copy the URL")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == store


def test_a_hidden_page_asks_for_no_pixels(page: Page, service, head: Head, make) -> None:
    record(service, head, make)
    page.add_init_script("""
        window.drawn = 0;
        window.away = false;
        Object.defineProperty(document, 'hidden', { get: () => window.away });
        const send = WebSocket.prototype.send;
        WebSocket.prototype.send = function (text) { window.drawn += 1; send.call(this, text); };
    """)
    page.goto(service.url)
    make["wait"](lambda: page.evaluate("window.drawn") > 2)
    page.evaluate("window.away = true")
    before = page.evaluate("window.drawn")
    record(service, head, make, stored=1144)
    expect(page.locator("#frames-stored")).to_have_text("1\u202f144")
    assert page.evaluate("window.drawn") - before <= 1
    page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
    make["wait"](lambda: page.evaluate("window.drawn") > before + 3)


def test_two_runs_can_be_chosen_between(page: Page, service, head: Head, make) -> None:
    runs = [make["run"](service.data, f"r-{n}", stored=n, instrument=f"scope-{n}") for n in (2, 1)]
    for run in runs:
        make["store"](service.data, run.name, status="recording")
    service.runs.rows = runs
    head.report = lambda n: make["report"](*runs)
    page.goto(service.url)
    expect(page.locator("#frames-stored")).to_have_text("2")
    page.locator("#run-choice").select_option("r-1")
    expect(page.locator("#frames-stored")).to_have_text("1")
    expect(page.locator("#which")).to_contain_text("embryo-r-1 · scope-1 · lattice")


def test_the_recipe_of_a_run_is_shown_and_its_steps_when_asked_for(page: Page, service, head: Head, make) -> None:
    record(service, head, make)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/recipe") else None)
    page.goto(service.url)
    expect(page.locator("#recipe-name")).to_have_text("lightsheet")
    expect(page.locator("#recipe-rows")).to_be_hidden()
    assert asked == []
    page.locator("#recipe summary").click()
    rows = page.locator("#recipe-rows tr")
    expect(rows).to_have_count(4)
    expect(rows.locator("th")).to_have_text(["calibrate", "hot_pixels", "projections", "statistics"])
    expect(rows.nth(0).locator("li")).to_have_text(["offset 98", "gain gain.npy (map)"])
    expect(rows.nth(1).locator("li")).to_have_text(["pixels [3,4], [5,6]"])
    expect(rows.nth(2).locator("li")).to_have_text(["along z, y"])
    page.locator("#recipe summary").click()
    expect(page.locator("#recipe-rows")).to_be_hidden()
    page.locator("#recipe summary").click()
    expect(rows).to_have_count(4)
    assert asked == [f"{service.url}/api/v1/runs/r-0001/recipe"]
    make["store"](service.data, "embryo-r-0002", status="recording")
    other = make["run"](service.data, "r-0002", recipe="lightsheet-compact")
    service.runs.rows = [other]
    head.report = lambda n: make["report"](other)
    expect(page.locator("#recipe-name")).to_have_text("lightsheet-compact")
    make["wait"](lambda: asked[1:] == [f"{service.url}/api/v1/runs/r-0002/recipe"])
    expect(rows).to_have_count(4)


def test_what_was_said_of_a_run_is_shown_as_text_when_asked_for(page: Page, service, head: Head, make) -> None:
    record(service, head, make, technique="lightsheet")
    page.goto(service.url)
    expect(page.locator("#metadata-name")).to_have_text("lightsheet")
    expect(page.locator("#metadata-rows")).to_be_hidden()
    page.locator("#metadata summary").click()
    rows = page.locator("#metadata-rows tr")
    expect(rows).to_have_text(["sample<b>fish</b>", "detection_na1.1", "views2", "livetrue"])
    make["store"](service.data, "embryo-r-0002", status="recording")
    other = make["run"](service.data, "r-0002")
    service.runs.rows = [other]
    head.report = lambda n: make["report"](other)
    expect(page.locator("#metadata-name")).to_have_text("free")
    expect(page.locator("#metadata-note")).to_have_text("nothing was said")
    expect(rows).to_have_count(0)


def test_a_recipe_is_nothing_where_there_is_no_run(page: Page, service) -> None:
    page.goto(service.url)
    expect(page.locator("#waiting")).to_be_visible()
    expect(page.locator("#recipe")).to_be_hidden()
    expect(page.locator("#metadata")).to_be_hidden()


@pytest.mark.parametrize("width", [400, 1280, 1920])
def test_the_page_fits_its_width(page: Page, service, head: Head, make, width: int) -> None:
    record(service, head, make)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(service.url)
    expect(page.locator("#verdict-word")).to_have_text("RECORDING")
    expect(page.locator("#ortho-at")).to_contain_text("t = 11")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    size = page.evaluate("parseFloat(getComputedStyle(document.querySelector('.word')).fontSize)")
    assert size >= (36 if width == 400 else 75)


def test_the_theme_follows_the_system_until_somebody_chooses(page: Page, service) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.goto(service.url)
    dark = page.evaluate(ground)
    page.emulate_media(color_scheme="light")
    light = page.evaluate(ground)
    assert dark != light
    page.get_by_role("button", name="Switch between dark and light").click()
    assert page.evaluate(ground) == dark
    page.reload()
    assert page.evaluate(ground) == dark
    assert page.evaluate("getComputedStyle(document.querySelector('.mark')).animationName") == "none"
