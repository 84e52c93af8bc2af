"""Small files that are whole or absent, whatever happens: temporary name, fsync, rename."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

#: Ends the names of files under construction; what a killed process leaves is removed when the run is sealed.
UNFINISHED = ".tmp"


@contextmanager
def taking_place(path: Path, *, sync_folder: bool = True) -> Iterator[Path]:
    """Give a temporary name beside a file; what is written under it, and synced, takes the file's place at the end.

    Parameters
    ----------
    path : Path
        Where; its folder exists. A file that is there is replaced.
    sync_folder : bool
        Whether the name itself must survive a power cut. Not needed where the old content would do as well.

    Raises
    ------
    OSError
        As the system says. Whatever is raised inside, the old file, if any, is still whole and nothing is left beside.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}{UNFINISHED}")
    try:
        yield unfinished
        unfinished.replace(path)
    except Exception:
        with suppress(OSError):  # what went wrong first is what has to be said
            unfinished.unlink(missing_ok=True)
        raise
    if sync_folder:
        sync(path.parent)


def write_durably(path: Path, data: bytes, *, sync_folder: bool = True, mode: int = 0o666) -> None:
    """Put a file in place atomically, durable at return.

    Parameters
    ----------
    path : Path
        Where; its folder exists. A file that is there is replaced.
    data : bytes
        The content.
    sync_folder : bool
        As for `taking_place`.
    mode : int
        Permissions of the file, less the process's mask.

    Raises
    ------
    OSError
        As the system says; the old file, if any, is still whole.
    """
    with (
        taking_place(path, sync_folder=sync_folder) as unfinished,
        open(unfinished, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file,
    ):
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folders(folder: Path) -> None:
    """Make a folder, and those above it that are missing; durable at return.

    Raises
    ------
    OSError
        As the system says; what was made is gone again, or the next call would take it for durable.
    """
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The folder's own name in any case: whoever made it may have been killed before the sync.
        for made in reversed(missing or [folder]):
            sync(made.parent)
    except OSError:
        for made in missing:
            with suppress(OSError):
                made.rmdir()
        raise


def sync_above(file: Path, top: Path) -> None:
    """Make the names of all folders durable that lead from one to a file.

    Parameters
    ----------
    file : Path
        A file in a folder that is synced already, as whoever writes atomically leaves it.
    top : Path
        The first folder of the way; its own name is durable.
    """
    folder = file.parent
    while folder != top:
        folder = folder.parent
        sync(folder)


def remove_durably(*files: Path) -> None:
    """Remove files of one folder, those of them that are there, so that no power cut brings them back."""
    for file in files:
        file.unlink(missing_ok=True)
    folder = files[0].parent
    if folder.is_dir():  # also where nothing was left: an earlier try may have failed between removal and sync
        sync(folder)


def json_bytes(value: Any) -> bytes:
    """Give JSON for files that people read too."""
    return json.dumps(value, indent=1, allow_nan=False).encode() + b"\n"
