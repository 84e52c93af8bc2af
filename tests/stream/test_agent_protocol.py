"""Corners of the agent's protocol that no bad network reaches by chance."""

from octostream.stream import agent_protocol as ap
from octostream.stream import head_protocol as hp
from octostream.stream import messages as m
from octostream.stream.holding import WHY_CHARACTERS
from octostream.stream.ledger import Ledger
from octostream.stream.model import Frame, Plan
from octostream.stream.ranges import Ranges

PLAN = Plan((1, 1, 4, 8, 8))
OPENING = m.Open("secret", "n", "i", PLAN, {}, keep_raw=False, maps=(("k", "<f4", (8, 8)),), payload=b"x" * 256)
WELCOME = m.Welcome("r", "n", "store", (m.Peer("w", "tcp://h:1"),), Ranges())


def opened():
    agent = ap.AgentProtocol(OPENING, 0.0)
    assert agent.start() == [ap.ToHead(OPENING)]
    agent.handle(ap.FromHead(WELCOME), 0.1)
    return agent


def test_another_run_in_the_place_of_ours_ends_it():
    agent = opened()
    (failed,) = agent.handle(ap.FromHead(m.Welcome("other", "n", "store", (), Ranges())), 1.0)
    assert "no longer knows run r" in str(failed.error)
    assert agent.handle(ap.Tick(), 2.0) == []


def test_coming_back_does_not_send_the_maps_again():
    agent = opened()
    actions = [a for t in range(1, 12) for a in agent.handle(ap.Tick(), float(t))]
    again = [a.message for a in actions if isinstance(a, ap.ToHead) and isinstance(a.message, m.Open)]
    assert again
    assert all(o.token == "secret" and not o.maps and not o.payload for o in again)


def test_head_that_answers_is_not_unreachable():
    agent = ap.AgentProtocol(OPENING, 0.0, ap.Timing(connect_s=5.0))
    assert agent.handle(ap.Tick(), 4.9) == [ap.ToHead(OPENING)]
    agent.handle(ap.FromHead(m.Pong()), 4.9)
    assert agent.handle(ap.Tick(), 9.0) == [ap.ToHead(OPENING)]
    (failed,) = agent.handle(ap.Tick(), 10.0)
    assert isinstance(failed, ap.Failed)


def test_losses_travel_in_small_messages():
    agent = ap.AgentProtocol(m.Open("t", "n", "i", Plan((3000, 1, 1, 8, 8)), {}, keep_raw=False), 0.0)
    agent.handle(ap.FromHead(WELCOME), 0.1)
    for number in range(3000):
        agent.handle(ap.Missed(number, "source", f"{number} " + "y" * 1000), 0.2)
    actions = agent.handle(ap.Finish(""), 0.3)
    said = [a.message for a in actions if isinstance(a, ap.ToHead)]
    assert [type(message) for message in said[:-1]] == [m.Lost] * (len(said) - 1)
    assert isinstance(said[-1], m.End)
    assert all(len(message.losses) <= ap.LOSSES_A_MESSAGE for message in said)
    assert [k.first for message in said for k in message.losses] == list(range(3000))
    assert all(len(k.why) <= WHY_CHARACTERS for message in said for k in message.losses)


def test_neighbours_lost_for_one_reason_are_one_loss():
    agent = opened()
    for number in (0, 1, 3):
        agent.handle(ap.Missed(number, "source", "dark"), 0.2)
    agent.handle(ap.Captured(Frame(2, 0, 0)), 0.2)
    told = [a.message for a in agent.handle(ap.Tick(), 2.0) if isinstance(a, ap.ToHead)]
    (lost,) = [message for message in told if isinstance(message, m.Lost)]
    assert [(k.first, k.last) for k in lost.losses] == [(0, 1), (3, 3)]


def test_how_a_run_ended_is_told_again_after_a_restart():
    head = hp.HeadProtocol("")
    ledger = Ledger(4).store(Ranges(((0, 3),)))
    head.remember("r", "secret", ledger, {"name": "n", "store": "s"})
    welcome, sealed = head.handle(hp.FromAgent(b"a", OPENING), 0.0)
    assert (welcome.message.run, welcome.message.store) == ("r", "s")
    assert (sealed.message.run, sealed.message.status) == ("r", "complete")
    assert head.handle(hp.FromAgent(b"a", m.Open("other", "n", "i", PLAN, {}, keep_raw=False)), 0.0) != []


def joins(actions):
    return [a.message.session for a in actions if isinstance(a, ap.ToWorker) and isinstance(a.message, m.Join)]


def test_credit_of_frames_that_were_lost_for_good_comes_back():
    """Their block became durable by another worker, so nobody misses them; but this one has no credit left."""
    agent = ap.AgentProtocol(m.Open("t", "n", "i", Plan((4, 1, 1, 8, 8), rate_hz=1.0), {}, keep_raw=False), 0.0)
    agent.handle(ap.FromHead(WELCOME), 0.1)
    agent.handle(ap.FromWorker("w", m.Credit("r", 1, 128 + ap.FRAME_OVERHEAD)), 0.2)
    assert any(isinstance(a, ap.SendFrame) for a in agent.handle(ap.Captured(Frame(0, 0, 0)), 0.3))
    assert not joins(agent.handle(ap.Tick(), 1.5))  # it is on its way, for all the agent knows
    assert agent.handle(ap.FromHead(m.Welcome("r", "n", "store", WELCOME.workers, Ranges.of([0]))), 1.6)
    agent.handle(ap.Captured(Frame(1, 0, 0)), 1.7)
    assert joins(agent.handle(ap.Tick(), 2.6)) == [2]
    assert any(
        isinstance(a, ap.SendFrame)
        for a in agent.handle(ap.FromWorker("w", m.Credit("r", 2, 128 + ap.FRAME_OVERHEAD)), 2.7)
    )


def test_head_that_came_back_is_noticed_while_workers_talk():
    """An agent that waits for the end hears of workers all the time, and still asks for the head."""
    agent = ap.AgentProtocol(m.Open("t", "n", "i", PLAN, {}, keep_raw=False), 0.0)
    agent.handle(ap.FromHead(WELCOME), 0.1)
    agent.handle(ap.Finish("stopped"), 0.2)
    asked = []
    for step in range(1, 100):
        agent.handle(ap.FromWorker("w", m.Committed("r", Ranges())), 0.1 * step)
        asked += [a.message for a in agent.handle(ap.Tick(), 0.1 * step) if isinstance(a, ap.ToHead)]
    assert any(isinstance(message, m.Open) for message in asked)


def test_frames_at_a_worker_that_says_nothing_are_not_under_way():
    agent = opened()
    assert agent.is_away(0.1)
    agent.handle(ap.FromWorker("w", m.Credit("r", 1, 10**6)), 0.2)
    agent.handle(ap.Captured(Frame(0, 0, 0)), 0.2)
    agent.handle(ap.FromWorker("w", m.Pong("r")), 1.0)
    assert agent.is_under_way(0, 2.9)
    assert not agent.is_under_way(1, 2.9)
    assert not agent.is_away(2.9)
    assert not agent.is_under_way(0, 3.1)
    assert agent.is_away(3.1)
    agent.handle(ap.FromWorker("w", m.Pong("r")), 3.2)
    assert agent.is_under_way(0, 3.3)
