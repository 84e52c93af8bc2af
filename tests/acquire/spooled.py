"""Frames that can be told from one another, and spools that hold them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import xxhash
from numpy.typing import NDArray
from octostream.acquire.spool import Spool
from octostream.stream import messages as m
from octostream.stream.model import Frame, Plan

#: An odd size: 126 bytes a frame, so that records end in the middle of a page.
PLAN = Plan((1000, 1, 1, 9, 7), rate_hz=100.0)
#: Header and pixels, each rounded up to a page.
STRIDE = 8192
TO = "tcp://127.0.0.1:5642"


def opening(plan: Plan = PLAN) -> m.Open:
    gain = np.linspace(0.9, 1.1, 63, dtype=np.float32).reshape(9, 7)
    maps = (("gain", gain.dtype.str, gain.shape),)
    recipe = MappingProxyType({"name": "lightsheet", "steps": [{"bin": 2}]})
    return m.Open("0123456789abcdef" * 2, "embryo-7", "local", plan, recipe, True, maps, gain.tobytes())


def pixels(number: int, shape: tuple[int, int] = PLAN.frame_shape) -> NDArray[np.uint16]:
    return np.random.default_rng(number).integers(0, 65536, shape, dtype=np.uint16)


def frame(number: int, shape: tuple[int, int] = PLAN.frame_shape) -> Frame:
    return Frame(number, 1_700_000_000_000_000_000 + number, xxhash.xxh3_64_intdigest(pixels(number, shape).data))


def put(spool: Spool, *numbers: int) -> None:
    for number in numbers:
        shape = spool.opening.plan.frame_shape
        spool.append(frame(number, shape), pixels(number, shape))


def get(spool: Spool, number: int) -> NDArray[np.uint16]:
    """Read a frame; it must be the one that it is called, bit for bit."""
    shape = spool.opening.plan.frame_shape
    into = np.full(shape, 77, np.uint16)
    assert spool.read(number, into.data) == spool.frame(number) == frame(number, shape)
    np.testing.assert_array_equal(into, pixels(number, shape))
    return into


def make(folder: Path, **options: Any) -> Spool:
    plan = options.pop("plan", PLAN)
    return Spool.create(folder, opening(plan), TO, options.pop("limit_bytes", 2**30))


@contextmanager
def quick_folder() -> Iterator[Path]:
    """Give a folder in memory, where that is possible: tests of many states would mostly wait for the disk."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


@contextmanager
def segments_of_records(count: int) -> Iterator[None]:
    """Make segments so small that they come and go."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("octostream.acquire.spool_record.SEGMENT_BYTES", count * STRIDE)
        yield
