"""What an offline reduction reads: a recording, or the raw frames of a store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..acquire.source import SourceOptions
from ..acquire.sources.opening import open_source
from ..sinks.raw_frames import RAW, RawFrames
from ..sinks.runfile import run_file
from ..stream.clock import wall_ns
from ..stream.errors import UsageError
from ..stream.model import Frame, Plan


@dataclass(frozen=True)
class Input:
    """Frames that can be read again.

    Attributes
    ----------
    plan : Plan
    read : callable
        Puts a frame, by number, into a uint16 (y, x) array and gives what is recorded of it; raises ``SourceError``
        where it cannot be had. Not for several threads at once.
    close : callable
        Gives files back.
    """

    plan: Plan
    read: Callable[[int, NDArray[np.uint16]], Frame]
    close: Callable[[], None]


def open_input(spec: str, axes: str | None = None) -> Input:
    """Open a recording as `octostream acquire` does, or a store's raw frames.

    Parameters
    ----------
    spec : str
        A TIFF file, a folder of TIFF files, a Zarr, or an octostream store.
    axes : str or None
        What the planes of a recording are; see ``SourceOptions.axes``.

    Raises
    ------
    SourceError, StoreError, UsageError
        It cannot be read.
    """
    store = _store_of(Path(spec).expanduser())
    if store is None:
        return _recording(spec, axes)
    if axes is not None:
        raise UsageError(f"{store} says itself what its frames are", "leave --axes out")
    frames = RawFrames(store)
    plan = replace(frames.run.plan, source=f"{store.name}, raw frames")
    return Input(plan, frames.read, lambda: None)


def _store_of(path: Path) -> Path | None:
    """Give the store where a path is one, or its raw array: as a mere array, lost frames would pass for dark ones."""
    places = [path, path.parent.parent] if path.parts[-2:] == tuple(RAW.split("/")) else [path]
    return next((place for place in places if run_file(place).is_file()), None)


def _recording(spec: str, axes: str | None) -> Input:
    source = open_source(spec, SourceOptions(axes=axes))

    def read(number: int, out: NDArray[np.uint16]) -> Frame:
        source.fill(number, out)
        return Frame(number, wall_ns(), xxhash.xxh3_64_intdigest(out.data))

    return Input(source.plan, read, source.close)
