"""Replay within bounded memory, and whatever the order of planes in the file."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from octostream.acquire.source import SourceOptions
from octostream.acquire.sources.axes import Layout, lay_out, parse_axes
from octostream.acquire.sources.opening import open_source
from octostream.acquire.sources.planes import PlaneCache, Recording
from octostream.acquire.sources.replay import Replay
from octostream.acquire.sources.units import micrometres, milliseconds
from octostream.stream.errors import SourceError, UsageError

Counts = NDArray[np.uint16]


@dataclass
class Memory:
    """Planes in memory that remember what was read, and can have bad ones."""

    counts: Counts  # (t, c, z, y, x)
    bad: set[int] = field(default_factory=set)
    reads: list[int] = field(default_factory=list)
    target: Counts | None = None
    closed: bool = False

    @property
    def recording(self) -> Recording:
        t, c, z, y, x = self.counts.shape
        return Recording((t, c, z, y, x), "tczyx")

    def read(self, number: int, out: Counts) -> None:
        self.reads.append(number)
        self.target = out
        out[...] = 0
        if number in self.bad:
            raise SourceError(f"plane {number} is bad", "mend it")
        out[...] = self.counts.reshape(-1, *self.counts.shape[3:])[number]

    def close(self) -> None:
        self.closed = True


def memory(t: int = 2, c: int = 2, z: int = 5) -> Memory:
    return Memory(np.arange(t * c * z * 12, dtype=np.uint16).reshape(t, c, z, 3, 4))


def frames_of(source: Replay) -> Counts:
    out = np.empty((source.plan.frames, *source.plan.frame_shape), np.uint16)
    for number, frame in enumerate(out):
        source.fill(number, frame)
    return out


def test_small_recordings_are_read_once_when_opened() -> None:
    planes = memory()
    source = Replay(planes, SourceOptions(loop=3), "memory")
    assert planes.reads == list(range(20))
    frames = frames_of(source)
    assert planes.reads == list(range(20))
    assert np.array_equal(frames, np.tile(planes.counts.reshape(20, 3, 4), (3, 1, 1)))
    assert source.plan.shape == (6, 2, 5, 3, 4)
    source.close()
    assert planes.closed


def test_large_recordings_are_read_plane_by_plane() -> None:
    planes = memory()
    source = Replay(planes, SourceOptions(), "memory", cache_bytes=19 * 24)
    assert planes.reads == []
    assert np.array_equal(frames_of(source), planes.counts.reshape(20, 3, 4))
    assert planes.reads == list(range(20))
    out = np.empty((3, 4), np.uint16)
    source.fill(0, out)
    assert planes.target is out  # without a copy in between


def test_large_recordings_are_tiled_from_one_stack_in_memory() -> None:
    planes = memory()
    options = SourceOptions(tile=(7, 9))
    source = Replay(planes, options, "memory", cache_bytes=5 * 24)
    frames = frames_of(source)
    assert sorted(planes.reads) == list(range(20))  # every plane once, although every frame shows several
    assert np.array_equal(frames, frames_of(Replay(memory(), options, "memory")))


@settings(deadline=None)
@given(st.lists(st.integers(0, 19), max_size=60), st.integers(0, 25), st.sets(st.integers(0, 19)))
def test_the_cache_never_gives_another_plane(numbers: list[int], slots: int, bad: set[int]) -> None:
    planes = memory()
    planes.bad = bad
    cache = PlaneCache(planes, slots * 24)
    for number in numbers:
        if number in bad:
            with pytest.raises(SourceError, match=f"plane {number} is bad"):
                cache.plane(number)
        else:
            assert np.array_equal(cache.plane(number), planes.counts.reshape(20, 3, 4)[number])


def test_the_cache_keeps_what_was_used_last() -> None:
    planes = memory()
    cache = PlaneCache(planes, 2 * 24)
    for number in (0, 1, 0, 2, 0, 1):
        cache.plane(number)
    assert planes.reads == [0, 1, 2, 1]


def test_a_bad_plane_is_reported_by_every_frame_that_needs_it() -> None:
    planes = memory()
    planes.bad = {3}
    source = Replay(planes, SourceOptions(loop=2), "memory")
    out = np.empty((3, 4), np.uint16)
    for number in range(40):
        if number % 20 == 3:
            with pytest.raises(SourceError, match=f"frame {number} cannot be replayed, plane 3 is bad: mend it"):
                source.fill(number, out)
        else:
            source.fill(number, out)
            assert np.array_equal(out, planes.counts.reshape(20, 3, 4)[number % 20])


def test_the_plan_tells_people_what_is_played() -> None:
    source = Replay(memory(), SourceOptions(tile=(7, 9), loop=3, rate_hz=12.5), "cells.tif")
    assert source.plan.source == "cells.tif, tiled to 7x9, played 3 times"
    assert source.plan.rate_hz == 12.5
    still = Memory(np.zeros((1, 1, 4, 3, 4), np.uint16))
    assert Replay(still, SourceOptions(), "cells.tif").plan.source == "cells.tif"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"tile": (0, 5)}, "tile 0x5 has no pixels: give --tile HxW"),
        ({"loop": 0}, "loop 0 plays nothing: give --loop 1 or more"),
        ({"rate_hz": 0.0}, "rate 0.0 Hz is not a positive number: give --rate"),
        ({"rate_hz": float("nan")}, "rate nan Hz is not a positive number"),
    ],
)
def test_options_that_nothing_can_play_are_refused(options: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        open_source("anything", SourceOptions(**options))


sizes = st.permutations("tcz").flatmap(
    lambda letters: st.integers(0, 3).flatmap(
        lambda n: st.tuples(st.just("".join(letters[:n])), st.tuples(*[st.integers(1, 5)] * n))
    )
)


@settings(deadline=None)
@given(sizes)
def test_every_plane_has_one_place_and_its_own_index(letters_sizes: tuple[str, tuple[int, ...]]) -> None:
    layout = Layout(*letters_sizes)
    count = int(np.prod(layout.sizes, dtype=int))
    stored = np.arange(count).reshape(layout.sizes)
    full = stored.reshape([1] * (3 - stored.ndim) + list(stored.shape))
    order = [a for a in "tcz" if a not in layout.letters] + list(layout.letters)
    expected = full.transpose([order.index(a) for a in "tcz"])
    assert layout.tcz == expected.shape
    assert [layout.position(n) for n in range(count)] == expected.reshape(-1).tolist()


@settings(deadline=None)
@given(sizes, st.sampled_from(["=", ""]), st.sampled_from([",", " ", ", ", ""]), st.sampled_from(["", "yx"]))
def test_axes_can_be_written_in_several_ways(
    letters_sizes: tuple[str, tuple[int, ...]], equals: str, comma: str, end: str
) -> None:
    letters, lengths = letters_sizes
    text = comma.join(f"{a}{equals}{n}" for a, n in zip(letters, lengths, strict=True)) + end
    assert parse_axes(text) == list(zip(letters, lengths, strict=True))
    assert parse_axes(text.upper()) == parse_axes(text)


@pytest.mark.parametrize(
    ("dims", "letters"),
    [
        ([], ""),
        ([("I", 5)], "z"),
        ([("Q", 5)], "z"),
        ([("I", 1)], ""),
        ([("T", 3), ("Q", 5)], "tz"),
        ([("S", 1), ("C", 2), ("R", 4)], "cz"),
        ([("Z", 3), ("T", 1)], "zt"),
    ],
)
def test_axes_without_a_meaning(dims: list[tuple[str, int]], letters: str) -> None:
    assert lay_out(dims, None, "a file").letters == letters


@pytest.mark.parametrize("dims", [[("I", 3), ("Q", 2)], [("Z", 3), ("Q", 2)], [("T", 2), ("T", 3)]])
def test_axes_that_could_be_anything_are_asked_for(dims: list[tuple[str, int]]) -> None:
    with pytest.raises(SourceError, match="a file does not say which of its axes"):
        lay_out(dims, None, "a file")


@pytest.mark.parametrize(
    ("value", "unit", "um"),
    [
        (1.5, "µm", 1.5),
        (1.5, "μm", 1.5),
        ("1.5", "\\u00B5m", 1.5),
        (1.5, "micron", 1.5),
        (1.5, "Micrometre", 1.5),
        (250, "nanometer", 0.25),
        (2, "mm", 2000.0),
        (1, "inch", 25400.0),
        (1.5, "pixel", None),
        (1.5, None, None),
        (None, "µm", None),
        ("wide", "µm", None),
        (0, "µm", None),
        (-1, "µm", None),
        (float("nan"), "µm", None),
        (float("inf"), "µm", None),
    ],
)
def test_lengths(value: object, unit: object, um: float | None) -> None:
    assert micrometres(value, unit) == (None if um is None else pytest.approx(um))


def test_durations() -> None:
    assert milliseconds("0.02", "s") == pytest.approx(20.0)
    assert milliseconds(20, "ms") == 20.0
    assert milliseconds(20, "µm") is None
