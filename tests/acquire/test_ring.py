import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from octostream.acquire.ring import Ring
from octostream.stream.model import Plan


def test_slots_come_back():
    ring = Ring((3, 4), 2)
    first, second = ring.take(0), ring.take(0)
    assert {first, second} == {0, 1}
    assert ring.take(0) is None
    assert ring.used == 2
    ring.give(first)
    assert ring.take(0) == first
    assert ring[first].shape == (3, 4)
    assert not np.shares_memory(ring[first], ring[second])


def test_frames_of_whole_pages_begin_at_pages():
    """They go to the spool without a copy."""
    ring = Ring((64, 32), 3)
    assert [ring[slot].ctypes.data % 4096 for slot in range(3)] == [0, 0, 0]
    assert not any(ring[slot].any() for slot in range(3))


def test_waiting_ends_with_a_slot_or_with_the_ring():
    ring = Ring((1, 1), 1)
    slot = ring.take(0)
    got = []
    waiting = threading.Thread(target=lambda: got.append(ring.take(30)))
    waiting.start()
    ring.give(slot)
    waiting.join(10)
    assert got == [slot]
    closing = threading.Thread(target=lambda: got.append(ring.take(30)))
    closing.start()
    ring.close()
    closing.join(10)
    assert got == [slot, None]


@given(st.tuples(*(st.integers(1, n) for n in (4, 2, 120))), st.sampled_from([64, 512, 2048]))
def test_ring_holds_two_blocks_or_the_whole_run(sizes, side):
    plan = Plan((*sizes, side, side), rate_hz=100)
    sized = []

    class Sized(Ring):
        def __init__(self, frame_shape, slots):
            sized.append(slots)

    Sized.for_plan(plan)
    assert sized[0] <= plan.frames
    assert sized[0] >= min(plan.frames, 2 * plan.blocks[0].count + 8)
    assert sized[0] * plan.frame_bytes < 2**30 + 2 * plan.frame_bytes
