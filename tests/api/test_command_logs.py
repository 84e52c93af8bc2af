"""What commands log goes to standard error: standard output is theirs, one JSON document where that is asked for."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile

SERIES = ("--set", "pyramid.until=4", "--set", "drift=true", "--set", "drift.max_shift=4")
#: The command line in a process of its own, in which every series fails, which is logged; and, if asked, every seal.
BROKEN = """
import sys
from octostream.api.cli import main
from octostream.kernels.following import Follower
from octostream.sinks.keeper import StoreKeeper
from octostream.stream.errors import StoreError

def broken(*_):
    raise ZeroDivisionError("of somebody else's step")

def away(*_):
    raise StoreError("the disk is away")

Follower.take = broken
if "unsealed" in sys.argv:
    sys.argv.remove("unsealed")
    StoreKeeper.seal = away
main()
"""


@pytest.fixture
def call(tmp_path):
    """Run a command."""

    def run(*words):
        return subprocess.run(
            [sys.executable, "-c", BROKEN, *map(str, words)],
            cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("command", ["reduce", "recover"])
def test_standard_output_is_one_json_document_whatever_is_logged(call, tmp_path, command):
    frames = np.random.default_rng(1).integers(100, 1000, (6, 1, 20, 24), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "movie.tif", frames.reshape(-1, 20, 24), photometric="minisblack", metadata=None)
    store = tmp_path / "movie.ome.zarr"
    reduce = ("reduce", tmp_path / "movie.tif", "--out", store, "--axes", "t", *SERIES, "--json")
    if command == "recover":
        assert call("unsealed", *reduce).returncode == 1
        done = call("recover", store, "--json")
    else:
        done = call(*reduce)
    assert done.returncode == 0, done.stderr
    assert (json.loads(done.stdout)["status"], done.stdout.count("\n")) == ("complete", 1)
    (line,) = [line for line in done.stderr.splitlines() if "tables of a run cannot be derived" in line]
    assert "level=error" in line
