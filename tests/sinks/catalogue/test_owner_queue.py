"""Whose data are handed over next, with time that the test gives."""

import random
from urllib.error import URLError

import icat.exception
import pytest
from octostream.sinks.catalogue.failures import REFUSED_TRIES, ParkedError
from octostream.sinks.catalogue.owner_queue import OwnerQueue
from octostream.sinks.catalogue.weather import FIRST_S, LONGEST_ENTRY_S, LONGEST_S

AWAY, ILL = URLError("refused"), icat.exception.ICATInternalError("ill")
HOUR_S = 3600.0


@pytest.fixture
def queue():
    made = OwnerQueue(random.Random(1))
    made.load(["a", "b"])
    return made


def test_oldest_first_and_each_once(queue):
    queue.ask("c")
    assert [queue.take(0) for _ in range(4)] == ["a", "b", "c", None]
    assert queue.wait_s(0) is None


@pytest.mark.parametrize("error", [AWAY, icat.exception.ICATSessionError("who?")])
def test_while_icat_is_away_nothing_is_tried_before_the_pause_is_over_and_then_another(queue, error):
    now_s, tried = 0.0, []
    for _ in range(40):
        tried.append(queue.take(now_s))
        assert queue.failed(tried[-1], error, now_s).kind in ("away", "login")
        wait_s = queue.wait_s(now_s)
        assert 0 < wait_s <= LONGEST_S
        assert queue.take(now_s + 0.99 * wait_s) is None
        now_s += wait_s
    assert tried == ["a", "b"] * 20, "and none is ever given up"
    assert now_s > HOUR_S


def test_a_run_that_fails_alone_holds_no_other_up_and_is_given_up_at_last(queue):
    now_s, kinds = 0.0, []
    assert queue.take(now_s) == "a"
    kinds.append(queue.failed("a", ILL, now_s).kind)
    assert queue.take(now_s) == "b"
    for _ in range(REFUSED_TRIES - 1):
        wait_s = queue.wait_s(now_s)
        assert FIRST_S / 2 <= wait_s <= LONGEST_ENTRY_S
        assert queue.take(now_s + 0.99 * wait_s) is None
        now_s += wait_s
        assert queue.take(now_s) == "a"
        kinds.append(queue.failed("a", ILL, now_s).kind)
    assert kinds == ["again"] * (REFUSED_TRIES - 1) + ["park"]
    assert "a" not in queue


def test_what_a_person_must_see_to_waits_no_longer(queue):
    assert queue.failed(queue.take(0), ParkedError("no such investigation"), 0).kind == "park"
    assert [queue.take(0), queue.take(HOUR_S)] == ["b", None]


def test_a_run_of_which_icat_was_told_just_now_is_due_at_once(queue):
    queue.failed(queue.take(0), AWAY, 0)
    assert queue.take(0) is None
    queue.ask("c")
    assert [queue.take(0) for _ in range(3)] == ["b", "a", "c"]


def test_a_success_ends_the_pauses(queue):
    for _ in range(10):
        queue.failed("a", AWAY, 0)
    queue.done("b")
    queue.failed("b", AWAY, 0)
    assert queue.wait_s(0) <= FIRST_S
    for _ in range(REFUSED_TRIES - 1):
        queue.failed("b", ILL, HOUR_S)
    queue.done("b")
    assert queue.failed("b", ILL, HOUR_S).kind == "again", "its tries are forgotten"
