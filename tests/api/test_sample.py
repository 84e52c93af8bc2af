"""Public recordings arrive whole and checked, or not at all."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from octostream.api import sample as sample_module
from octostream.api.sample import SAMPLES, Progress, Sample, SampleError, fetch_sample, pip_download, sample_cache
from octostream.stream.errors import OctostreamError, UsageError

RECORDING = bytes(i * i // 1000 % 251 for i in range(200_000))


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


class Downloads:
    """A download that is counted and makes the archive on the spot."""

    def __init__(self, make: Callable[[Path], Path]) -> None:
        self.make = make
        self.calls = 0

    def __call__(self, sample: Sample, folder: Path, progress: Progress) -> Path:
        self.calls += 1
        progress(10, 20)
        progress(20, 20)
        return self.make(folder / "a.tar.gz")


@pytest.fixture(autouse=True)
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the lattice sample be a small one, with its own checksum."""
    small = dataclasses.replace(SAMPLES["lattice"], sha256=hashlib.sha256(RECORDING).hexdigest())
    monkeypatch.setitem(sample_module.SAMPLES, "lattice", small)


def good(path: Path) -> Path:
    return archive(
        path,
        {
            "p-1/README": b"not this",
            "p-1/other/tests/test_data/im_raw.tif": b"nor this",
            "../../escape": b"never",
            "p-1/tests/test_data/im_raw.tif": RECORDING,
        },
    )


def test_a_sample_is_fetched_once_and_reported(tmp_path: Path) -> None:
    download = Downloads(good)
    cache = tmp_path / "new" / "cache"
    seen: list[tuple[int, int | None]] = []
    path = fetch_sample("lattice", cache, lambda done, total: seen.append((done, total)), download=download)
    assert path == cache / "lattice_lightsheet_raw.tif"
    assert path.read_bytes() == RECORDING
    assert seen == [(10, 20), (20, 20)]
    assert fetch_sample("lattice", cache, download=download) == path
    assert download.calls == 1
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == [path.name]  # nothing else came out, or was left


def test_a_cached_file_with_another_checksum_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "lattice_lightsheet_raw.tif").write_bytes(RECORDING[:-1])
    download = Downloads(good)
    assert fetch_sample("lattice", tmp_path, download=download).read_bytes() == RECORDING
    assert download.calls == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: archive(p, {"p-1/tests/test_data/im_raw.tif": RECORDING[1:]}), "another content than expected"),
        (lambda p: archive(p, {"p-1/tests/im_raw.tif": RECORDING}), "holds no tests/test_data/im_raw.tif"),
        (lambda p: p.write_bytes(b"<html>") and p, "is damaged"),
        (lambda p: p.write_bytes(b"") or p, "is damaged"),
        (lambda p: p.write_bytes(good(p).read_bytes()[:3000]) and p, "is damaged"),
        (lambda p: p.write_bytes(gzip.compress(b"x" * 5000)) and p, "is damaged"),
    ],
    ids=["checksum", "member", "html", "empty", "cut", "no tar"],
)
def test_a_wrong_archive_leaves_the_cache_as_it_was(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(SampleError, match=message) as caught:
        fetch_sample("lattice", tmp_path, download=Downloads(make))
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_is_spoiled_anywhere_is_refused(tmp_path: Path) -> None:
    whole = good(tmp_path / "whole").read_bytes()
    cache = tmp_path / "cache"
    for place in range(0, len(whole) - 20_000, len(whole) // 60):
        content = bytearray(whole)
        content[place : place + 50] = b"\xff" * 50
        with pytest.raises(SampleError, match=r"is damaged|another content|holds no"):
            fetch_sample("lattice", cache, download=Downloads(lambda p, c=content: p.write_bytes(c) and p))
        assert list(cache.iterdir()) == []


def test_an_unknown_name_says_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no sample 'lettuce': choose one of: lattice"):
        fetch_sample("lettuce", tmp_path)


def test_a_cache_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SampleError, match=r"cannot be kept in .*: free space there, or set OCTOSTREAM_CACHE"):
        fetch_sample("lattice", tmp_path / "file" / "cache", download=Downloads(good))


@pytest.mark.parametrize(
    ("own", "xdg", "expected"),
    [
        ("/own", "/xdg", "/own"),
        (None, "/xdg", "/xdg/octostream/samples"),
        (None, None, "/home/user/.cache/octostream/samples"),
        ("", "", "/home/user/.cache/octostream/samples"),
        ("~/mine", None, "/home/user/mine"),
    ],
)
def test_the_cache_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, own: str | None, xdg: str | None, expected: str
) -> None:
    monkeypatch.setenv("HOME", "/home/user")
    for name, value in (("OCTOSTREAM_CACHE", own), ("XDG_CACHE_HOME", xdg)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert sample_cache() == Path(expected)


def fake_pip(monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Run a script in place of pip, with pip's own arguments."""
    start = subprocess.Popen

    def instead(command: list[str], **how: object) -> subprocess.Popen[bytes]:
        assert command[:4] == [sys.executable, "-m", "pip", "download"]
        return start([sys.executable, "-c", body, *command[4:]], **how)

    monkeypatch.setattr(subprocess, "Popen", instead)


def test_bytes_are_reported_while_they_land(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = tmp_path / "seen"
    fake_pip(
        monkeypatch,
        "import os, sys, pathlib, time\n"
        "landing = pathlib.Path(os.environ['TMPDIR'], 'pip-unpack-x'); landing.mkdir()\n"
        "file = landing / 'pycudadecon-0.5.1.tar.gz'; file.write_bytes(bytes(1000))\n"
        "end = time.monotonic() + 30\n"
        f"while not os.path.exists({str(go_on)!r}) and time.monotonic() < end: time.sleep(0.01)\n"
        "target = pathlib.Path(sys.argv[sys.argv.index('--dest') + 1]); target.mkdir()\n"
        "file.rename(target / file.name)\n",
    )
    seen: list[tuple[int, int | None]] = []

    def progress(done: int, total: int | None) -> None:
        seen.append((done, total))
        go_on.touch()

    (tmp_path / "work").mkdir()
    path = pip_download(SAMPLES["lattice"], tmp_path / "work", progress)
    assert path.stat().st_size == 1000
    assert seen[0] == (1000, SAMPLES["lattice"].download_bytes)
    assert seen[-1] == (1000, 1000)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "import sys; print('ERROR: first'); print('ERROR: No matching distribution'); print('note'); sys.exit(1)",
            r"\(No matching distribution\): check the network and pip's package index",
        ),
        ("import sys; print('/usr/bin/python: No module named pip'); sys.exit(1)", "install pip in this environment"),
        ("pass", "could not be downloaded"),
    ],
)
def test_a_failed_download_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, message: str
) -> None:
    fake_pip(monkeypatch, body)
    with pytest.raises(OctostreamError, match=message) as caught:
        fetch_sample("lattice", tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_pip_ends_when_the_caller_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pip(
        monkeypatch,
        "import os, pathlib, time\n"
        "landing = pathlib.Path(os.environ['TMPDIR'], 'pip-unpack-x'); landing.mkdir()\n"
        "(landing / 'pycudadecon-0.5.1.tar.gz').write_bytes(str(os.getpid()).encode())\n"
        "time.sleep(300)\n",  # longer than a test may take
    )
    seen: list[int] = []

    def progress(done: int, total: int | None) -> None:
        seen.extend(int(p.read_bytes()) for p in tmp_path.glob(".fetch-*/landing/pip-unpack-x/*.tar.gz"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_sample("lattice", tmp_path, progress)
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], 0)
    assert list(tmp_path.iterdir()) == []
