"""A real browser before the real server, and who stands for the head: fixtures of the tests of the page."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from octostream.api.catalogue_watch import with_catalogue
from octostream.stream.report import ServiceReport
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists() and os.environ.get("CI") != "true":
        pytest.skip("Debian's chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


class Head(threading.Thread):
    """Stands for the head: a report and an image ten times a second, until it falls silent."""

    def __init__(self, service, make) -> None:
        super().__init__(daemon=True)
        self.report: Callable[[int], ServiceReport] = lambda n: make["report"](write_bytes_per_s=0.0)
        self.image = True
        self.silent = False
        self._service, self._make = service, make
        self._over = threading.Event()

    def run(self) -> None:
        number = 0
        while not self._over.wait(0.1):
            number += 1
            if self.silent:
                continue
            report = with_catalogue(self.report(number), self._service.catalogue)
            self._service.feed.put_report(report)
            if report.runs and self.image:
                self._service.feed.put_preview(self._make["preview"](report.runs[0].id, number))

    def stop(self) -> None:
        self._over.set()
        self.join(10)


@pytest.fixture
def head(service, make) -> Iterator[Head]:
    thread = Head(service, make)
    thread.start()
    yield thread
    thread.stop()


@pytest.fixture
def page(browser: Browser, service, head: Head) -> Iterator[Page]:
    """A page that has asked for nothing outside this machine and complained about nothing."""
    asked: list[str] = []
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="dark")
    context.set_default_timeout(15_000)
    page = context.new_page()
    context.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.on("console", lambda line: complaints.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []
    assert {urlsplit(url).netloc for url in asked} == {f"127.0.0.1:{service.port}"}


def record(service, head: Head, make, **changes: object) -> None:
    """Let the head record a run, with a store to read from."""
    if not (service.data / "local").exists():
        make["store"](service.data, "embryo-r-0001", status="recording")
    run = make["run"](service.data, **changes)
    service.runs.rows = [run]
    head.report = lambda n: make["report"](replace(run, received=1100 + n))
