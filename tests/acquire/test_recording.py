"""What a recording promises its caller, without a tier: an interruption anywhere leaves no frame half sent."""

import sys
import weakref
from types import FrameType
from typing import Any

import numpy as np
import pytest
from octostream.acquire.agent import Agent, _Taken
from octostream.acquire.recording import Recording
from octostream.acquire.ring import Ring
from octostream.stream import messages as m
from octostream.stream.model import Plan

PLAN = Plan(shape=(1, 1, 6, 4, 4))


@pytest.fixture
def agent():
    opening = m.Open(token="0" * 32, name="", investigation="local", plan=PLAN, recipe={}, keep_raw=False)
    agent = Agent("tcp://127.0.0.1:1", opening, Ring(PLAN.frame_shape, 300))
    yield agent
    agent.close()


class Interrupter:
    """Raises KeyboardInterrupt at one line of the acquire package, as a signal does; counts the lines until then."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line" and frame.f_code.co_filename.endswith(("recording.py", "agent.py")):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self


def numbers(agent: Agent) -> list[int]:
    return [event.frame.number for event in agent._events if isinstance(event, _Taken)]


def interrupted(run: Recording, at: int) -> bool:
    sys.settrace(Interrupter(at))
    try:
        run.commit()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


def test_interrupted_anywhere_no_number_is_used_twice_and_each_frame_is_whole(agent):
    """After Ctrl-C in the middle of a send the next frame has a number of its own, sent or not."""
    for at in range(1, 40):
        run = Recording(agent, PLAN)
        agent._events.clear()
        run.buffer()
        was_interrupted = interrupted(run, at)
        sent = numbers(agent)
        for _ in range(2):
            run.buffer()[...] = 7
            run.commit()
        after = numbers(agent)
        assert after[: len(sent)] == sent
        assert after == sorted(set(after)), f"interrupted at line {at}"
        slots = [event.slot for event in agent._events if isinstance(event, _Taken)]
        assert len(slots) == len(set(slots))
        if not was_interrupted:
            assert at > 5
            return
    raise AssertionError("commit never came to its end")


def test_what_is_over_holds_no_memory(agent):
    """An instrument's program keeps its runs, to look at how they ended, and their frames are large."""
    run = Recording(agent, PLAN)
    run.send(np.ones(PLAN.frame_shape, np.uint16))
    last = run.buffer()
    memory = weakref.ref(agent.ring[0].base)
    assert memory() is not None
    run.give_up()
    last.fill(2)
    run.commit()  # whoever fills a frame just then is not disturbed
    del last
    assert memory() is None
    assert (len(agent.ring), run.held) == (300, 0)
