"""Stacks of which only projections were kept: the ledger names their frames, and stays the account of them all."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from octostream.sinks.account import projection_only
from octostream.sinks.reading import read_ledger
from octostream.sinks.recover import recover
from octostream.sinks.sealfile import ledger_file, write_ledger
from octostream.sinks.verify import verify
from octostream.stream.model import Commit, Frame, Plan
from octostream.stream.ranges import Ranges
from octostream.stream.tables import Column, Table

from .damaged import again, no_reduction

KEEP = Table("keep", (Column("frame", "int64", "", "first"), Column("whole", "uint8", "", "kept")), kept="whole")
PLAIN = replace(KEEP, name="plain", kept="")


def rows(frames, kept):
    return {"frame": np.array(frames, np.int64), "whole": np.array(kept, np.uint8)}


@pytest.fixture
def made(acquire, tmp_path):
    """Three time points of four frames in one block each, the second of which is skipped."""
    return replace(acquire(tmp_path, (3, 1, 4, 10, 14), rate_hz=4.0), tables=(KEEP, PLAIN))


def commit(made, number, frames=None):
    told = rows([4 * number], [number != 1])
    return replace(made.commit(number, frames), tables={"keep": told, "plain": rows([4 * number], [0])})


def record(made, numbers, frames=None):
    keeper, writer = made.keeper(), made.writer()
    for number in numbers:
        writer.write(made.plan.blocks[number], made.parts(number, frames))
        writer.commit(commit(made, number, frames))
    return keeper


@given(st.data())
def test_a_row_that_is_0_stands_for_the_frames_of_its_stack_that_came(data):
    plan = Plan((4, 2, 3, 8, 8))
    kept = data.draw(st.lists(st.booleans(), min_size=8, max_size=8))
    came = data.draw(st.sets(st.integers(0, 23)))
    one = Commit(
        0,
        tuple(Frame(n, 0, 0) for n in sorted(came)),
        (),
        "w",
        0,
        0,
        0,
        (),
        {"keep": rows(range(0, 24, 3), kept), "plain": rows([0], [0])},
    )
    assert set(projection_only(plan, (KEEP, PLAIN), [one])) == {n for n in came if not kept[n // 3]}
    assert projection_only(plan, (PLAIN,), [one]) == Ranges()
    assert projection_only(plan, (KEEP, PLAIN), [replace(one, tables={})]) == Ranges()


def test_the_ledger_says_so_while_the_run_goes_on_and_when_it_is_over(made):
    keeper = record(made, [0, 1])
    going = read_ledger(made.store)
    assert (going.status, going.stored.spans, going.projection_only.spans) == ("recording", ((0, 7),), ((4, 7),))
    writer = made.writer()
    writer.write(made.plan.blocks[2], made.parts(2))
    writer.commit(commit(made, 2))
    sealed = keeper.seal([])
    assert sealed == read_ledger(made.store)
    assert (sealed.status, len(sealed.stored), sealed.projection_only.spans) == ("complete", 12, ((4, 7),))
    told = json.loads(ledger_file(made.store).read_bytes())
    assert (told["frames_projection_only"], told["projection_only"]) == (4, [[4, 7]])
    assert told["frames_stored"] + told["frames_lost"] == told["frames_expected"]


def test_verify_says_so_and_finds_a_ledger_that_says_otherwise(made):
    record(made, [0, 1, 2], frames={*range(12)} - {5}).seal([])
    report = verify(made.store)
    assert report.problems == ()
    assert (report.frames_stored, report.frames_lost) == (11, 1)
    assert (report.frames_projection_only, report.projection_only) == (3, ((4, 4), (6, 7)))
    before = ledger_file(made.store).read_bytes()
    write_ledger(made.store, replace(read_ledger(made.store), projection_only=Ranges.of([4, 8])))
    found = verify(made.store)
    assert any("frame 8: projections only in the ledger" in line for line in found.problems)
    assert any("frames 6-7: projections only in a commit record" in line for line in found.problems)
    assert recover(made.store, no_reduction).frames_lost == 1
    assert ledger_file(made.store).read_bytes() == before
    again(made.store)


def test_a_ledger_of_a_time_when_all_was_kept_is_read(acquire, tmp_path):
    made = acquire(tmp_path, (2, 1, 4, 10, 14), rate_hz=4.0)
    keeper = made.keeper()
    for number in (0, 1):
        made.record(made.writer(), number)
    ledger = keeper.seal([])
    plain = json.loads(ledger_file(made.store).read_bytes())
    older = {k: v for k, v in plain.items() if "projection_only" not in k and k != "xxh3_64"}
    ledger_file(made.store).write_text(json.dumps(older))
    assert read_ledger(made.store) == ledger
    assert verify(made.store).problems == ()
