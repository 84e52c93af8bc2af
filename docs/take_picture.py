"""Take the picture of the page in the README: a real run, seen by a real browser.

python docs/take_picture.py RECORDING docs/images/page.png
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

#: Frames a second and how often the recording is played: long enough for every curve of the page to fill.
RATE_HZ = 60
LOOPS = 16
SENSOR = "640x512"
#: The picture is taken when so many frames are stored, as the page writes it: 600 or more.
STORED = re.compile(r"^([6-9]\d\d|\d\D?\d\d\d)$")
CHROMIUM = "/usr/bin/chromium"


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run an ``octostream`` command; Ctrl-C ends it."""
    command = [sys.executable, "-m", "octostream", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def ready(service: subprocess.Popen[str]) -> dict[str, str]:
    """Give the addresses of a service once it is ready."""
    assert service.stdout is not None
    for line in service.stdout:
        said = json.loads(line)
        if said["event"] == "ready":
            return said
    raise SystemExit("the service did not start")


def take(page: Page, address: str, picture: Path) -> None:
    """Wait until the page shows a run that has gone on for a while, then take the picture."""
    page.goto(address)
    expect(page.locator("#frames-stored")).to_have_text(STORED, timeout=90_000)
    expect(page.locator("#verdict-word")).to_have_text("RECORDING", timeout=10_000)
    page.screenshot(path=picture, full_page=True)


def main() -> None:
    """Record, look, keep the picture."""
    parser = argparse.ArgumentParser(description="Take the picture of the page in the README.")
    parser.add_argument("recording", type=Path, help="a TIFF stack, for example what `octostream sample lattice` gives")
    parser.add_argument("picture", type=Path, help="PNG file to write")
    parser.add_argument("--data", type=Path, help="data directory, as the page shows it; else a temporary one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        free = ("--http", "127.0.0.1:0", "--ingest", "tcp://127.0.0.1:0", "--json")
        with running("serve", "--data", str(given.data or folder), *free) as service:
            told = ready(service)
            plays = ("--tile", SENSOR, "--rate", str(RATE_HZ), "--loop", str(LOOPS), "--set", "calibrate.offset=98")
            names = ("--name", "cell-lattice-01", "--investigation", "demo")
            with (
                running("acquire", str(given.recording), "--to", told["ingest"], *names, *plays),
                sync_playwright() as playwright,
            ):
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
                page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="dark")
                take(page, told["dashboard"], given.picture)
                browser.close()


if __name__ == "__main__":
    main()
