"""``octostream catalogue`` beside a real service, before the stand-in."""

import json
import re
import shutil
import subprocess

from .conftest import Command, acquire, until
from .test_catalogue import CREDENTIALS, OURS, config, root, seen  # noqa: F401 - the first two are fixtures


def test_a_run_that_was_recorded_before_icat_was_set_is_registered_afterwards(serve, command, config, root, tmp_path):  # noqa: F811
    first = serve()
    code, _ = acquire(first, "simulated:t=3,z=1,size=64x64", "--name", "early", "--keep-raw", *OURS)
    assert code == 0
    first.end()
    assert seen(root) == set()
    options = ("--data", tmp_path / "data", "--config", config, "--json")

    def catalogue(name, *arguments):
        ended = command("catalogue", name, *arguments, *options, env=CREDENTIALS)
        return ended.wait(60), json.loads(ended.out[-1]), ended.err

    code, told, _ = catalogue("status")
    assert (code, [run["state"] for run in told["runs"]]) == (0, ["local"])
    assert catalogue("reconcile", "--dry-run")[1]["counts"] == {"to be told again": 1}
    assert catalogue("reconcile")[1]["counts"] == {"told again": 1}
    assert catalogue("status")[1]["queued"] == 1
    serve("--config", config, env=CREDENTIALS)
    until(lambda: seen(root) == {("early", True, True), ("early raw", True, True)})
    until(lambda: catalogue("status")[1]["runs"][0]["state"] == "complete", 60)
    code, told, err = catalogue("reconcile")
    assert (code, told["counts"]) == (0, {"as it should be": 1}), (told, err)


class DemoWithIcat(Command):
    """What ``make demo-icat`` runs."""

    program = ("-m", "octostream.tests.icat_server.demo")


def test_the_demonstration_with_icat_shows_the_dataset_and_ends_all_it_started(tmp_path, lattice):
    cache = tmp_path / "cache"
    cache.mkdir()
    shutil.copy(lattice, cache / "lattice_lightsheet_raw.tif")
    demo = DemoWithIcat("--seconds", "0.5", "--data", tmp_path / "data", env={"OCTOSTREAM_CACHE": str(cache)})
    try:
        code = demo.wait(170)
    finally:
        demo.end()
    shown = "\n".join(demo.out)
    assert code == 0, (demo.out[-20:], demo.err[-5:])
    assert "runs can be registered" in shown
    assert re.search(r"catalogue +complete, [0-9.]+ s after the last frame \(reduced [0-9]+\)", shown)
    assert re.search(r"^Dataset [0-9]+: .* \(processed\) of 2026-0042, visit 1$", shown, re.MULTILINE)
    assert re.search(r"^  frames_stored +88 count$", shown, re.MULTILINE)
    left = subprocess.run(
        ["ps", "-o", "pid=", "--sid", str(demo.process.pid)], capture_output=True, text=True, check=False
    )
    assert left.stdout.split() == []
