"""How commands say what became of the frames of a run."""

import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from octostream.api.cli import app
from octostream.api.commands import acquire
from octostream.sinks.reading import read_ledger
from octostream.stream.messages import Sealed
from rich.console import Console
from typer.testing import CliRunner

KEEP = ("--set", "pyramid.until=4", "--set", "keep=true", "--set", "keep.metric=max")


@pytest.fixture
def stacks(tmp_path):
    """Two stacks of three frames; in the second there is little to see."""
    frames = np.full((2, 3, 16, 20), 110, np.uint16)
    frames[0, :, 4:8, 4:8] = 900
    tifffile.imwrite(tmp_path / "in.tif", frames.reshape(-1, 16, 20), photometric="minisblack", metadata=None)
    return tmp_path / "in.tif"


@pytest.mark.parametrize(("least", "text"), [(500, "; only projections of 3 frames"), (1, "")])
def test_frames_of_which_only_projections_were_kept_are_counted_in_the_last_line(stacks, tmp_path, least, text):
    def said(*words):
        done = CliRunner().invoke(app, list(map(str, words)))
        assert done.exit_code == 0, done.output
        return done.stdout.splitlines()[-1]

    store = tmp_path / "out.ome.zarr"
    threshold = ("--set", f"keep.threshold={least}")
    reduced = ("reduce", stacks, "--out", store, "--axes", "t=2,z=3", "--workers", 1, *KEEP, *threshold)
    first = said(*reduced)
    assert first.startswith("complete: 6 of 6 frames stored, 0 lost, ")
    assert first.endswith(f" frames/s{text}")
    assert json.loads(said(*reduced, "--json"))["frames_projection_only"] == (3 if text else 0)
    assert said("recover", store) == f"recovered  complete: 6 of 6 frames stored, 0 lost{text}"
    assert json.loads(said("recover", store, "--json"))["frames_projection_only"] == (3 if text else 0)

    summary = {"late": 0, "rate_hz": 8.0, "latency_ms": {}, "raw_bytes": 1, "stored_bytes": 1}
    sealed = Sealed("r", "complete", read_ledger(store).to_json(), summary)
    facts = acquire.result(SimpleNamespace(run="r", name="out", store=str(store), sent=6), sealed)
    assert facts["frames_projection_only"] == (3 if text else 0)
    lines = io.StringIO()
    acquire._print_result(Console(file=lines, soft_wrap=True), facts)
    assert lines.getvalue() == f"complete: 6 of 6 frames stored, 0 lost, 8.0 Hz{text}\n"
