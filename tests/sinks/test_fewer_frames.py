"""A block that is durable is never replaced by one with fewer frames."""

from __future__ import annotations

import queue
from dataclasses import dataclass

import pytest
from octostream.stream.histogram import Histogram
from octostream.stream.ranges import Ranges
from octostream.stream.writing import Job, WritingThread


@dataclass
class Reduced:
    """A reducer whose block is done."""

    parts: dict
    instead: str = ""

    def finish(self):
        return self.parts

    def tables(self):
        return {}


@pytest.fixture
def made(acquire, tmp_path):
    made = acquire(tmp_path, (1, 1, 6, 9, 9), rate_hz=6.0)
    assert len(made.plan.blocks) == 1
    made.keeper()
    return made


def write(made, frames):
    """Have a worker's thread write the block with some frames; gives what it tells the head."""
    told = queue.Queue()
    thread = WritingThread(
        "r", "w", "cpu", made.plan.frame_bytes, made.writer(), lambda run, done: told.put(done.message)
    )
    commit = made.commit(0, frames)
    reducer = Reduced(made.parts(0, frames))
    thread.put(Job(made.plan.blocks[0], commit.frames, commit.stats, reducer, Histogram()))
    try:
        return told.get(timeout=20)
    finally:
        thread.close()


@pytest.mark.parametrize(
    ("before", "after", "stored"),
    [
        ({0, 1, 2, 3}, {1, 2}, {0, 1, 2, 3}),
        ({0, 1, 2, 3, 4, 5}, {5}, {0, 1, 2, 3, 4, 5}),
        ({0, 1}, {0, 1, 2}, {0, 1, 2}),
        ({0, 1}, {2, 3}, {2, 3}),
        ({0, 1}, {0, 1, 2, 3, 4, 5}, {0, 1, 2, 3, 4, 5}),
    ],
)
def test_frames_that_are_durable_stay_so(made, before, after, stored):
    assert write(made, before).frames == Ranges.of(before)
    assert write(made, after).frames == Ranges.of(stored)
    assert {f.number for f in made.writer().committed(0).frames} == stored
