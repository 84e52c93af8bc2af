"""Which frames leave the agent's memory for its spool, and when."""

from hypothesis import given
from hypothesis import strategies as st
from octostream.acquire.overrun import LEAST_FREE, overrun_of, to_spool
from octostream.stream.model import Plan

rings = st.integers(1, 300).flatmap(
    lambda capacity: st.tuples(st.just(capacity), st.integers(0, capacity), st.lists(st.booleans(), max_size=capacity))
)


def reserve(capacity: int, away: bool) -> int:
    return capacity // 2 if away else min(max(LEAST_FREE, capacity // 4), capacity // 2)


@given(rings, st.booleans())
def test_a_ring_with_its_reserve_is_left_alone_and_one_without_gets_it_back(ring, away):
    capacity, free, sent = ring
    frames = range(1000, 1000 + len(sent))
    chosen = to_spool(frames, lambda n: sent[n - 1000], free, capacity, away=away)
    assert set(chosen) <= set(frames)
    assert len(chosen) == len(set(chosen))
    low = reserve(capacity, away)
    if free >= low:
        assert chosen == []
        return
    waiting = [n for n in frames if not sent[n - 1000]]
    unsent = [n for n in chosen if not sent[n - 1000]]
    assert unsent == waiting[: low - free], "the oldest that wait, as many as are missing"
    rest = [n for n in chosen if sent[n - 1000]]
    assert rest == [n for n in frames if sent[n - 1000]][: len(rest)], "others only after them, the oldest first"
    assert free + len(chosen) >= min(low // 2, free + len(sent)), "some slots must come free"


def test_frames_that_a_worker_has_stay_while_slots_are_left():
    assert to_spool(range(100), lambda n: True, 14, 112) == []
    assert to_spool(range(100), lambda n: True, 9, 112) == [0, 1, 2, 3, 4]


def test_half_of_the_ring_is_kept_free_while_the_tier_is_away():
    assert to_spool(range(50), lambda n: False, 50, 100, away=True) == []
    assert to_spool(range(88), lambda n: False, 12, 100, away=True) == list(range(38))


def test_a_camera_does_not_wait():
    assert overrun_of(Plan((1, 1, 1, 8, 8), rate_hz=100.0)) == "spool"
    assert overrun_of(Plan((1, 1, 1, 8, 8))) == "block"
