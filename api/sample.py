"""Public recordings, fetched once into the user's cache and checked."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..stream.errors import OctostreamError, UsageError

#: Told how many bytes have arrived, and of how many; None where that is not known.
Progress = Callable[[int, int | None], None]
_CHUNK = 2**20
_POLL_S = 0.1


class SampleError(OctostreamError):
    """A public recording could not be fetched."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Where a public recording comes from, and how it is recognised.

    Attributes
    ----------
    package : str
        Name and version of the Python source distribution that contains it.
    member : str
        Path of the recording in the archive, below the archive's one top folder.
    sha256 : str
        Checksum of the recording.
    file_name : str
        What it is called in the cache.
    download_bytes : int
        Size of the archive.
    """

    package: str
    member: str
    sha256: str
    file_name: str
    download_bytes: int


#: Gets the archive of a sample into a folder and returns its path.
Download = Callable[[Sample, Path, Progress], Path]

SAMPLES = {
    "lattice": Sample(
        package="pycudadecon==0.5.1",
        member="tests/test_data/im_raw.tif",
        sha256="be2c6fa673e6321353b0f485040ec8b53932e8ea2e1eee0f0ffc926f24b6b6fd",
        file_name="lattice_lightsheet_raw.tif",
        download_bytes=52_352_942,
    ),
}


def sample_cache() -> Path:
    """Give the folder that keeps the recordings.

    ``OCTOSTREAM_CACHE`` where it is set, else ``octostream/samples`` in ``XDG_CACHE_HOME`` or ``~/.cache``.
    """
    own = os.environ.get("OCTOSTREAM_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "octostream" / "samples"


def fetch_sample(
    name: str,
    cache: Path | None = None,
    progress: Progress = lambda done, total: None,
    *,
    download: Download | None = None,
) -> Path:
    """Give the path of a public recording, fetching it where the cache does not hold it already.

    Parameters
    ----------
    name : str
        One of ``SAMPLES``.
    cache : Path, optional
        Folder to keep it in; default ``sample_cache()``.
    progress : callable
        Told the bytes that have arrived while it is fetched.
    download : callable, optional
        Gets the archive; default: pip, from the package index that it is set up for.

    Raises
    ------
    UsageError
        There is no recording of that name.
    SampleError
        It could not be fetched, or is not what it should be; nothing is left in the cache then.
    """
    sample = SAMPLES.get(name)
    if sample is None:
        raise UsageError(f"there is no sample {name!r}", f"choose one of: {', '.join(SAMPLES)}")
    folder = cache or sample_cache()
    kept = folder / sample.file_name
    try:
        if kept.is_file() and _sha256(kept) == sample.sha256:
            return kept
        folder.mkdir(parents=True, exist_ok=True)
        # In the cache's own folder, so that the last step is a rename on one file system.
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as work:
            archive = (download or pip_download)(sample, Path(work), progress)
            found = Path(work) / sample.file_name
            _take_out(archive, sample, found)
            if _sha256(found) != sample.sha256:
                raise SampleError(f"sample {name!r} arrived with another content than expected", "try again later")
            found.replace(kept)
    except OSError as error:
        raise SampleError(
            f"sample {name!r} cannot be kept in {folder} ({error.strerror or error})",
            "free space there, or set OCTOSTREAM_CACHE to another folder",
        ) from error
    return kept


def pip_download(sample: Sample, folder: Path, progress: Progress) -> Path:
    """Download a sample's archive with pip, reporting its bytes as they land.

    Raises
    ------
    SampleError
        pip is missing, or could not reach or find the package.
    """
    target = folder / "archive"
    landing = folder / "landing"
    landing.mkdir()
    # Only the package itself must come as source: what pip needs to read its metadata may come built.
    project = sample.package.partition("==")[0]
    options = ["--no-deps", "--no-binary", project, "--no-cache-dir", "--disable-pip-version-check", "--no-input", "-q"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(target), sample.package]
    # pip writes the archive below its temporary folder first; giving it one of its own shows it growing.
    environment = {**os.environ, "TMPDIR": str(landing)}
    with (folder / "messages").open("w+", errors="replace") as messages:
        running = subprocess.Popen(command, env=environment, stdout=messages, stderr=subprocess.STDOUT)
        try:
            _watch(running, landing, sample, progress)
        finally:
            running.kill()
            running.wait()
        messages.seek(0)
        said = messages.read()
    archives = sorted(target.glob("*.tar.gz")) if target.is_dir() else []
    if running.returncode != 0 or len(archives) != 1:
        raise SampleError(f"{sample.package} could not be downloaded ({_reason(said)})", _remedy(said))
    progress(archives[0].stat().st_size, archives[0].stat().st_size)
    return archives[0]


def _watch(running: subprocess.Popen[bytes], landing: Path, sample: Sample, progress: Progress) -> None:
    """Report the size of the archive while it grows, until pip ends."""
    name = sample.package.partition("==")[0]
    while True:
        try:
            running.wait(_POLL_S)
            return
        except subprocess.TimeoutExpired:
            sizes = [_size(path) for path in landing.glob(f"pip-*/{name}-*.tar.gz")]
            if sizes:
                progress(min(max(sizes), sample.download_bytes), sample.download_bytes)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # pip has moved or removed it meanwhile


def _reason(said: str) -> str:
    """Give pip's last error, which is the one that ended it, in one short line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
    return " ".join((errors or lines or ["pip gave no reason"])[-1].split())[:160]


def _remedy(said: str) -> str:
    if "No module named pip" in said:
        return "install pip in this environment: python -m ensurepip"
    return "check the network and pip's package index"


def _take_out(archive: Path, sample: Sample, out: Path) -> None:
    """Copy the one member out of the archive; nothing else of it touches the disk."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for entry in tar:
                if entry.isfile() and entry.name.partition("/")[2] == sample.member:
                    source = tar.extractfile(entry)
                    if source is not None:
                        with source, out.open("wb") as target:
                            while piece := source.read(_CHUNK):
                                target.write(piece)
                        return
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise SampleError(f"the archive of {sample.package} is damaged ({error})", "try again") from error
    raise SampleError(f"the archive of {sample.package} holds no {sample.member}", "try again later")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
