"""``octostream spool list | discard``, as an operator and as a program use them."""

from __future__ import annotations

import json
import os
import time

import numpy as np
import pytest
import xxhash
from octostream.acquire.spool import Spool
from octostream.api.cli import app
from octostream.sinks.disk import readable
from octostream.stream import messages as m
from octostream.stream.errors import UsageError
from octostream.stream.model import Frame, Loss, Plan
from typer.testing import CliRunner

T0 = 1_700_000_000_000_000_000


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("OCTOSTREAM_SPOOL", str(tmp_path / "spools"))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield tmp_path / "spools"
    monkeypatch.undo()
    time.tzset()


def make(folder, frames, name="embryo-7"):
    spool = Spool.create(
        folder, m.Open("t", name, "local", Plan((90, 1, 1, 4, 4)), {}, False), "tcp://tier:5642", 10**9
    )
    pixels = np.zeros((4, 4), np.uint16)
    for number in range(frames):
        spool.append(Frame(number, T0 + number * 10**9, xxhash.xxh3_64_intdigest(pixels.data)), pixels)
    return spool


def call(*arguments, **options):
    return CliRunner().invoke(app, ["spool", *arguments], **options)


def test_no_spools(folder):
    result = call("list")
    assert (result.exit_code, result.stdout) == (0, f"no spools in {folder}\n")
    assert json.loads(call("list", "--json").stdout) == {"folder": str(folder), "spools": []}


def test_list_tells_what_waits_and_who_has_it(folder):
    spool = make(folder, 3)
    spool.sync()
    live = call("list").stdout.splitlines()
    assert live == [
        spool.id,
        "  run      embryo-7",
        "  tier     tcp://tier:5642",
        f"  frames   3, {readable(spool.used_bytes)}, taken 2023-11-14 22:13:20+00:00 to 2023-11-14 22:13:22+00:00",
        f"  state    in use by process {os.getpid()}",
    ]
    spool.note_run("r-1", "embryo-7b", "/data/x.ome.zarr")
    spool.lost([Loss(2, 2, "spool", "damaged")])
    spool.close()
    assert call("list").stdout.splitlines() == [
        spool.id,
        "  run      embryo-7b (r-1)",
        "  tier     tcp://tier:5642, /data/x.ome.zarr",
        f"  frames   2, {readable(spool.used_bytes)}, taken 2023-11-14 22:13:20+00:00 to 2023-11-14 22:13:21+00:00",
        "  state    waits; its recording was cut off",
        "  damaged  1 frames",
    ]
    again = Spool.open(spool.directory)
    again.ended("stopped by the operator")
    again.forget([0, 1])
    again.close()
    assert call("list").stdout.splitlines()[3:5] == [
        "  frames   0, 0 bytes",
        "  state    waits; its recording had ended (stopped by the operator)",
    ]


def test_list_for_programs(folder, tmp_path):
    spool = make(tmp_path / "elsewhere", 2)
    (said,) = json.loads(call("list", "--json", "--dir", str(tmp_path / "elsewhere")).stdout)["spools"]
    assert said == {
        "id": spool.id,
        "run": "",
        "name": "embryo-7",
        "store": "",
        "to": "tcp://tier:5642",
        "frames": 2,
        "bytes": spool.used_bytes,
        "first_ns": T0,
        "last_ns": T0 + 10**9,
        "damaged": 0,
        "finished": None,
        "owner": os.getpid(),
        "problem": "",
        "live": True,
    }
    spool.close()
    assert json.loads(call("list", "--json").stdout)["spools"] == []


def test_a_lost_file_is_counted_without_opening_the_spool(folder):
    spool = make(folder, 4)
    spool.sync()
    spool.close()
    (file,) = spool.directory.glob("segment-*")
    file.unlink()
    before = sorted(p.name for p in spool.directory.iterdir())
    assert call("list").stdout.splitlines()[-1] == "  damaged  4 frames"
    assert sorted(p.name for p in spool.directory.iterdir()) == before


def test_an_unusable_spool_is_listed_and_can_be_thrown_away(folder):
    spool, other = make(folder, 1), make(folder, 1, "other")
    other.close()
    spool.close()
    for name in ("opening", "opening-copy"):
        (spool.directory / name).write_text("?")
    (folder / "notes").mkdir()
    lines = call("list").stdout.splitlines()
    assert (
        f"  problem  the spool {spool.id} cannot be used: both copies of its beginning are damaged"
        in lines[lines.index(spool.id) + 1]
    )
    assert other.id in lines
    assert "notes" not in lines
    assert call("discard", spool.id, "--yes").stdout == f"discarded {spool.id}\n"
    assert sorted(p.name for p in folder.iterdir()) == sorted([other.id, "notes"])


def test_discard_refuses_one_in_use(folder):
    spool = make(folder, 1)
    result = call("discard", spool.id, "--yes")
    assert f"is in use by process {os.getpid()}" in str(result.exception)
    assert spool.directory.exists()
    spool.close()


@pytest.mark.parametrize("name", ["nothing", "../spools", ".", "", "/", "notes"])
def test_discard_takes_only_what_list_shows(folder, name):
    (folder / "notes").mkdir(parents=True)
    make(folder, 1).close()
    result = call("discard", name, "--yes")
    assert isinstance(result.exception, UsageError)
    assert "there is no spool" in str(result.exception)
    assert len(list(folder.iterdir())) == 2


def test_discard_takes_nothing_from_elsewhere(folder, tmp_path):
    spool = make(tmp_path / "elsewhere", 1)
    spool.close()
    folder.mkdir()
    for path in (f"../elsewhere/{spool.id}", str(spool.directory)):
        assert isinstance(call("discard", path, "--yes").exception, UsageError)
    assert spool.directory.exists()


def test_discard_asks_on_a_terminal_and_only_there(folder, monkeypatch):
    spool = make(folder, 2)
    spool.close()
    result = call("discard", spool.id)
    assert str(result.exception) == "nobody is there to be asked: give --yes to discard without being asked"
    monkeypatch.setattr("octostream.api.commands.spool._asks", lambda: True)
    result = call("discard", spool.id, input="n\n")
    assert (result.exit_code, spool.directory.exists()) == (1, True)
    assert "Throw away 2 frames of embryo-7?" in result.stdout
    result = call("discard", spool.id, input="y\n")
    assert (result.exit_code, spool.directory.exists()) == (0, False)
