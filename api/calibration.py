"""Calibrating a camera: dark frames in, a folder with maps and a recipe out."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..acquire.source import Source
from ..kernels.dark import DarkFrames, DarkMaps
from ..sinks.durable import UNFINISHED, make_folders, sync, write_durably
from ..sinks.failure import said
from ..stream.errors import NameRefusedError, SourceError


@dataclass(frozen=True)
class DarkStack:
    """What was read of a source of dark frames.

    Attributes
    ----------
    frames : DarkFrames
    unread : sequence of str
        Why, for each frame that could not be read.
    """

    frames: DarkFrames
    unread: Sequence[str]


def read_dark(source: Source, progress: Callable[[int, int], None]) -> DarkStack:
    """Read all frames of a source, one at a time; one that cannot be read is left out.

    Parameters
    ----------
    source : Source
    progress : callable
        Called with (frames done, frames in all).

    Raises
    ------
    SourceError
        If there are several channels, or no frame can be read.
    """
    plan = source.plan
    if plan.shape[1] > 1:
        raise SourceError(f"{plan.source} has {plan.shape[1]} channels", "give the dark frames of one camera alone")
    frames, unread = DarkFrames(plan.frame_shape), []
    buffer = np.empty(plan.frame_shape, np.uint16)
    for number in range(plan.frames):
        try:
            source.fill(number, buffer)
        except SourceError as error:
            unread.append(str(error))
        else:
            frames.add(buffer)
        progress(number + 1, plan.frames)
    if len(unread) == plan.frames:
        raise SourceError(unread[0])
    return DarkStack(frames, unread)


def free_folder(out: Path) -> Path:
    """See that results may be put into a folder: nothing is ever overwritten.

    Returns
    -------
    Path
        Absolute.

    Raises
    ------
    NameRefusedError
        If there is something already.
    """
    out = out.expanduser().absolute()
    with said(f"look into {out}"):
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise NameRefusedError(f"{out} is there already", "choose another folder with --out")
    return out


def write_maps(out: Path, maps: DarkMaps, origin: str) -> None:
    """Write maps and recipe; the folder is there with all of them, durable, or it is not there.

    Parameters
    ----------
    out : Path
        Absolute; missing, or an empty folder.
    maps : DarkMaps
    origin : str
        Where the dark frames came from, for people.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    unfinished = out.with_name(f".{out.name}.{os.getpid()}{UNFINISHED}")
    with said(f"write {out}"):
        make_folders(out.parent)
        unfinished.mkdir()
        try:
            _write_files(unfinished, maps, origin)
            unfinished.rename(out)
        finally:
            with suppress(OSError):
                shutil.rmtree(unfinished)
        sync(out.parent)


def _write_files(folder: Path, maps: DarkMaps, origin: str) -> None:
    files = {"offset": maps.offset, "variance": maps.variance, "hot_pixels": maps.hot}
    for name, array in files.items():
        write_durably(folder / f"{name}.npy", _npy(array), sync_folder=False)
    write_durably(folder / "recipe.toml", recipe_text(maps, origin).encode())


def _npy(array: NDArray[Any]) -> bytes:
    with io.BytesIO() as file:
        np.save(file, array, allow_pickle=False)
        return file.getvalue()


def recipe_text(maps: DarkMaps, origin: str) -> str:
    """Give the recipe that uses the maps, as TOML; they lie beside it.

    Parameters
    ----------
    maps : DarkMaps
    origin : str
        Where the dark frames came from, for people.
    """
    height, width = maps.offset.shape
    return (
        f"# Made by octostream calibrate from {json.dumps(origin)[1:-1]}: {maps.frames} frames of {height} x {width}.\n"
        f"# Median read noise {maps.noise:.2f} counts; pixels above {maps.limit:.2f} are listed: {len(maps.hot)}.\n"
        'base = "lightsheet"\nname = "calibrated"\n\n'
        '[calibrate]\noffset = "offset.npy"\n\n'
        '[hot_pixels]\npixels = "hot_pixels.npy"\n'
    )
