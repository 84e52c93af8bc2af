"""Damage of any kind at any place costs the frames that it hit: they are named, and no wrong pixel is given out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octostream.acquire.spool import Spool
from octostream.acquire.spool_errors import DamagedFrameError, SpoolError
from octostream.stream.model import Loss

from .spooled import STRIDE, frame, make, pixels, put, quick_folder, segments_of_records

#: Frames 0 to 7 are durable, 1 is at the tier, 5 is lost, 8 and 9 were written and not synced; three a segment.
DURABLE = {0, 2, 3, 4, 6, 7}
WRITTEN = DURABLE | {8, 9}
LOSS = Loss(5, 5, "agent", "dropped")
HEADER_BYTES = 64


@pytest.fixture(scope="module")
def whole():
    """The files of a spool whose process was killed."""
    with quick_folder() as folder, segments_of_records(3):
        spool = make(folder)
        put(spool, *range(8))
        spool.note_run("r-1", "embryo-7", "/store")
        spool.forget([1])
        spool.lost([LOSS])
        spool.sync()
        put(spool, 8, 9)
        files = {p.name: p.read_bytes() for p in spool.directory.iterdir()}
        spool.close()
    assert [n for n in sorted(files) if n.startswith("segment")] == [f"segment-0000000{k}" for k in (1, 2, 3, 4)]
    return files


def living(files):
    """Open a spool of such files; gives what waits, what is lost, and what turned out damaged when it was read."""
    with quick_folder() as folder, segments_of_records(3):
        directory = folder / "spool"
        directory.mkdir()
        for name, data in files.items():
            (directory / name).write_bytes(data)
        spool = Spool.open(directory)
        try:
            return Opened.of(spool)
        finally:
            spool.close()


@dataclass
class Opened:
    """What a spool gave out."""

    good: set[int]
    damaged: set[int]
    lost: dict[int, str]
    run: str

    @classmethod
    def of(cls, spool):
        good, damaged = set(), set()
        into = np.empty((9, 7), np.uint16)
        for number in spool.frames:
            try:
                assert spool.read(number, into.data) == frame(number)
            except DamagedFrameError as error:
                damaged |= set(error.frames)
            else:
                np.testing.assert_array_equal(into, pixels(number))
                good.add(number)
        lost = {n: k.where for k in spool.losses for n in range(k.first, k.last + 1)}
        return cls(good, damaged, lost, spool.run)


def hit(name, begin, end):
    """Give the frames of which some byte from ``begin`` to ``end`` says something."""
    if not name.startswith("segment"):
        return set()
    first = 3 * (int(name[-8:]) - 1)
    parts = [(0, HEADER_BYTES), (4096, 4096 + 126)]
    return {
        first + k
        for k in range(3)
        for a, b in parts
        if begin < k * STRIDE + b and end > k * STRIDE + a and first + k in WRITTEN
    }


def check(opened, cost):
    """Only what was hit may be missing; what was durable and is missing has a name."""
    assert opened.good >= WRITTEN - cost
    assert not opened.good & cost
    assert opened.good | opened.damaged | opened.lost.keys() >= DURABLE | {5}
    assert not opened.good & opened.lost.keys()
    assert opened.damaged <= cost & DURABLE  # what was never durable goes without a word
    named = {n for n, where in opened.lost.items() if where == "spool"}
    assert named <= cost & DURABLE


def test_without_damage_nothing_is_lost(whole):
    opened = living(whole)
    assert opened == Opened(WRITTEN, set(), {5: "agent"}, "r-1")


KINDS = ("flip", "zero", "garbage", "cut", "grow")


def harm(files, name, kind, begin, length, seed):
    """Give damaged files, and the frames that this may cost."""
    data = bytearray(files[name])
    end = min(begin + length, len(data))
    if kind == "flip":
        end = begin + 1
        data[begin] ^= 1 << seed % 8
    elif kind == "zero":
        data[begin:end] = bytes(end - begin)
    elif kind == "garbage":
        data[begin:end] = np.random.default_rng(seed).bytes(end - begin)
    elif kind == "cut":
        end = len(data)
        del data[begin:]
    else:
        begin = end = len(data)
        data += np.random.default_rng(seed).bytes(length)
    changed = {**files, name: bytes(data)}
    differs = bytes(data[begin:end]) != files[name][begin:end]
    return changed, hit(name, begin, end) if differs else set()


@st.composite
def harms(draw):
    return (
        draw(st.integers(0, 2**31)),
        draw(st.sampled_from(KINDS)),
        draw(st.integers(0, 2**31)),
        draw(st.sampled_from([1, 16, 512, 4096, 30_000])),
        draw(st.integers(0, 2**31)),
    )


def apply(files, harm_):
    which, kind, at, length, seed = harm_
    names = sorted(n for n in files if files[n])
    name = names[which % len(names)]
    return harm(files, name, kind, at % len(files[name]), length, seed)


@settings(max_examples=250, deadline=None)
@given(one=harms())
def test_damage_costs_what_it_hit(whole, one):
    changed, cost = apply(whole, one)
    check(living(changed), cost)


@settings(max_examples=100, deadline=None)
@given(several=st.lists(harms(), min_size=2, max_size=6))
def test_much_damage_costs_what_it_hit_or_says_that_the_spool_is_unusable(whole, several):
    changed, cost = whole, set()
    for one in several:
        before = changed
        changed, more = apply(changed, one)
        cost |= more
        assert before is not changed
    if any(changed[name] == whole[name] for name in ("opening", "opening-copy")):
        assert living(changed).good >= WRITTEN - cost
    else:
        with pytest.raises(SpoolError, match="both copies"):
            living(changed)


@pytest.mark.parametrize("name", [f"segment-0000000{k}" for k in (1, 2, 3, 4)])
def test_a_missing_segment_is_named(whole, name):
    changed = {n: data for n, data in whole.items() if n != name}
    cost = hit(name, 0, 3 * STRIDE)
    opened = living(changed)
    check(opened, cost)
    assert {n for n, where in opened.lost.items() if where == "spool"} == cost & DURABLE


def test_a_damaged_header_does_not_hide_the_records_after_it(whole):
    data = bytearray(whole["segment-00000001"])
    data[:4096] = bytes(4096)
    opened = living({**whole, "segment-00000001": bytes(data)})
    assert opened.good == WRITTEN - {0}
    assert opened.lost == {0: "spool", 5: "agent"}


def test_a_record_that_is_cut_off_is_named_at_once(whole):
    data = whole["segment-00000001"][: 2 * STRIDE + 4096 + 100]
    assert living({**whole, "segment-00000001": data}) == Opened(WRITTEN - {2}, set(), {2: "spool", 5: "agent"}, "r-1")


def test_a_segment_that_is_there_twice_is_counted_once(whole):
    opened = living({**whole, "segment-00000009": whole["segment-00000001"]})
    assert opened == Opened(WRITTEN, set(), {5: "agent"}, "r-1")


@pytest.mark.parametrize("at", range(0, 600, 13))
def test_a_damaged_line_of_the_journal_costs_that_line(whole, at):
    """One fact at most: a loss that is forgotten, a frame that is sent again, or the name of the run."""
    name = next(n for n in whole if n.startswith("journal"))
    data = bytearray(whole[name])
    data[at % len(data)] ^= 0x55
    opened = living({**whole, name: bytes(data)})
    assert opened.good >= WRITTEN
    intact = Opened(WRITTEN, set(), {5: "agent"}, "r-1")
    changed = [field for field in vars(intact) if vars(opened)[field] != vars(intact)[field]]
    assert len(changed) <= 2
    assert not opened.damaged


def test_a_line_of_the_journal_that_says_something_else_is_not_believed(whole):
    name = next(n for n in whole if n.startswith("journal"))
    changed = whole[name].replace(b'"lost": 5, "last": 5', b'"lost": 4, "last": 5')
    assert changed != whole[name]
    assert living({**whole, name: changed}).good == WRITTEN | {5}


def test_a_torn_tail_ends_quietly(whole):
    data = bytearray(whole["segment-00000003"])
    data[2 * STRIDE + 4096 + 100] ^= 1
    assert living({**whole, "segment-00000003": bytes(data)}) == Opened(WRITTEN - {8}, set(), {5: "agent"}, "r-1")


@pytest.mark.parametrize("name", ["opening", "opening-copy"])
def test_one_copy_of_the_beginning_is_enough(whole, name):
    for changed in ({**whole, name: b"?"}, {n: data for n, data in whole.items() if n != name}):
        assert living(changed).good == WRITTEN


def test_both_copies_damaged_is_said(whole):
    damaged = bytearray(whole["opening"])
    damaged[60] ^= 1
    changed = {**whole, "opening": bytes(damaged), "opening-copy": bytes(damaged)}
    with pytest.raises(SpoolError, match="the spool spool cannot be used: both copies of its beginning are damaged"):
        living(changed)


def test_damage_found_at_opening_stays_known(whole):
    """What is lost once stays lost, by name, also when the file is gone the next time."""
    with quick_folder() as folder, segments_of_records(3):
        for name, data in whole.items():
            (folder / name).write_bytes(data)
        data = bytearray(whole["segment-00000002"])
        data[0] ^= 1
        (folder / "segment-00000002").write_bytes(data)
        for _ in range(3):
            spool = Spool.open(folder)
            assert [k for k in spool.losses if k.where == "spool"] == [
                Loss(3, 3, "spool", "its record on the instrument's disk is damaged or gone")
            ]
            spool.close()
        spool = Spool.open(folder)
        spool.forget(spool.frames)
        spool.close()
        assert not list(Path(folder).glob("segment-*"))
        spool = Spool.open(folder)
        assert {n for k in spool.losses for n in range(k.first, k.last + 1)} == {3, 5}
        spool.close()


def test_room_is_not_given_back_where_something_is_missing(whole):
    """The header is gone, but somebody may want to look at the pixels behind it."""
    with quick_folder() as folder, segments_of_records(3):
        for name, data in whole.items():
            (folder / name).write_bytes(data)
        data = bytearray(whole["segment-00000001"])
        data[2 * STRIDE : 2 * STRIDE + 4096] = bytes(4096)
        (folder / "segment-00000001").write_bytes(data)
        spool = Spool.open(folder)
        assert [k.first for k in spool.losses if k.where == "spool"] == [2]
        assert (folder / "segment-00000001").read_bytes() == data
        spool.close()


def test_a_segment_of_which_nothing_can_be_read_is_not_thrown_away(whole):
    with quick_folder() as folder, segments_of_records(3):
        for name, data in whole.items():
            (folder / name).write_bytes(data)
        (folder / "segment-00000001").write_bytes(b"?" * 3 * STRIDE)
        spool = Spool.open(folder)
        spool.forget(spool.frames)
        assert [p.name for p in folder.glob("segment-*")] == ["segment-00000001"]
        spool.close()
