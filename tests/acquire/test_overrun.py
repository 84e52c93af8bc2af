"""Which frames leave the agent's memory for its spool."""

from octostream.acquire.overrun import to_spool


def chosen(free, under_way=(), away=False):
    return to_spool(range(100 - free), lambda number: number in under_way, free, 100, away=away)


def test_a_ring_with_room_keeps_everything():
    assert chosen(free=12) == []


def test_what_waits_longest_makes_room_for_the_reserve():
    assert chosen(free=9) == [0, 1, 2]


def test_what_a_worker_has_goes_only_when_little_is_left():
    assert chosen(free=9, under_way=range(91)) == []
    assert chosen(free=2, under_way=range(98)) == [0, 1, 2, 3]


def test_half_of_the_ring_is_kept_free_while_the_tier_is_away():
    assert chosen(free=50, away=True) == []
    assert chosen(free=12, away=True) == list(range(38))
