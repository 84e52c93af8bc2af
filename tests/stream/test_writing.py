"""The thread that makes blocks durable: whatever refuses, it says so, keeps the block and tries again."""

from __future__ import annotations

import queue
import threading
import time
import weakref

import pytest
from octostream.stream.errors import DeviceLostError, StoreError
from octostream.stream.histogram import Histogram
from octostream.stream.model import Frame, FrameStats, Plan
from octostream.stream.writing import Job, WritingThread, write_block

PLAN = Plan((1, 1, 2, 4, 4))


class Writer:
    """Fails until it is told not to."""

    def __init__(self, failure):
        self.failure, self.tried, self.committed_blocks = failure, threading.Event(), []
        self.devices = []

    def write(self, block, parts):
        if self.failure is not None:
            self.tried.set()
            raise self.failure
        return 7

    def committed(self, block):
        return None

    def commit(self, commit):
        self.committed_blocks.append(commit.block)
        self.devices.append(commit.device)

    def close(self):
        return None


class Reducer:
    """Has something to write."""

    instead = ""

    def finish(self):
        return {"0": None}

    def tables(self):
        return {}


@pytest.mark.parametrize(
    ("failure", "said"),
    [(StoreError("the disk fails", "look"), "the disk fails: look"), (KeyError("odd"), "block 0: KeyError('odd')")],
)
def test_a_block_is_kept_until_it_is_durable(failure, said):
    writer, done = Writer(failure), queue.SimpleQueue()
    thread = WritingThread("r", "w", "cpu", PLAN.frame_bytes, writer, lambda run, what: done.put(what), retry_s=0.01)
    try:
        frames = tuple(Frame(n, 1, n) for n in range(2))
        stats = (FrameStats(0, 0, 0.0, 0),) * 2
        thread.put(Job(PLAN.blocks[0], frames, stats, Reducer(), Histogram()))
        assert writer.tried.wait(10)
        deadline = time.monotonic() + 10
        while not thread.trouble and time.monotonic() < deadline:
            threading.Event().wait(0.005)
        assert said in thread.trouble
        assert done.empty()
        assert writer.committed_blocks == []
        writer.failure = None
        assert done.get(timeout=10).message.block == 0
        assert (thread.trouble, writer.committed_blocks) == ("", [0])
    finally:
        thread.close()


def test_what_a_block_held_is_free_once_it_is_durable():
    """The thread waits for the next block, perhaps for hours: the memory of the last one is not its to keep."""
    done = queue.SimpleQueue()
    thread = WritingThread("r", "w", "cpu", PLAN.frame_bytes, Writer(None), lambda run, what: done.put(what))
    try:
        reducer = Reducer()
        held = weakref.ref(reducer)
        thread.put(Job(PLAN.blocks[0], (Frame(0, 1, 0),), (FrameStats(0, 0, 0.0, 0),), reducer, Histogram()))
        del reducer
        block = done.get(timeout=10).message.block  # not in an assertion, which would keep what it looks at
        assert block == 0
        deadline = time.monotonic() + 10
        while held() is not None and time.monotonic() < deadline:
            threading.Event().wait(0.005)
        assert held() is None
    finally:
        thread.close()


def test_a_lost_device_is_told_and_the_block_not_tried_again():
    class Lost(Reducer):
        finished = 0

        def finish(self):
            self.finished += 1
            raise DeviceLostError("the GPU was lost", "look")

    writer, done, reducer = Writer(None), queue.SimpleQueue(), Lost()
    thread = WritingThread("r", "w", "cpu", PLAN.frame_bytes, writer, lambda run, what: done.put(what), retry_s=0.01)
    try:
        thread.put(Job(PLAN.blocks[0], (Frame(0, 1, 0),), (FrameStats(0, 0, 0.0, 0),), reducer, Histogram()))
        deadline = time.monotonic() + 10
        while thread.lost is None and time.monotonic() < deadline:
            threading.Event().wait(0.005)
        assert str(thread.lost) == "the GPU was lost: look"
    finally:
        thread.close()
    assert (reducer.finished, done.empty(), writer.committed_blocks) == (1, True, [])


def test_the_record_of_a_block_says_what_that_block_was_reduced_on():
    """A GPU without room has one block reduced on the CPU, and perhaps not the next."""
    writer, reducer = Writer(None), Reducer()
    for instead in ("", "cpu, in place of a GPU", ""):
        reducer.instead = instead
        job = Job(PLAN.blocks[0], (Frame(0, 1, 0),), (FrameStats(0, 0, 0.0, 0),), reducer, Histogram())
        write_block(job, writer, "w", "Made-up GPU", PLAN.frame_bytes)
    assert writer.devices == ["Made-up GPU", "cpu, in place of a GPU", "Made-up GPU"]
