"""The head's protocol: runs that never begin leave nothing, runs that wait say why."""

from octostream.stream import head_protocol as hp
from octostream.stream import messages as m
from octostream.stream.model import Plan, Run
from octostream.stream.ranges import Ranges

PLAN = Plan((1, 1, 4, 8, 8))
RUN = Run("r", "n", "i", PLAN, {}, "/store", keep_raw=False, opened_ns=0)
OPENING = m.Open("secret", "n", "i", PLAN, {}, keep_raw=False)
WHY = "waits for memory: others have it"


def opened(**event):
    """A head with a run whose store exists, and a worker that is not ready for it."""
    head = hp.HeadProtocol("", hp.HeadTiming(agent_s=60.0, open_s=20.0, worker_s=1e9))
    head.handle(hp.FromAgent(b"a", OPENING), 0.0)
    head.handle(hp.FromWorker(b"w", m.Register("w", "w", "tcp://h:1", "cpu")), 0.0)
    event = {"address": b"a", **event}
    actions = head.handle(hp.RunCreated(RUN, "secret", **event), 0.0)
    assert actions == [hp.ToWorker(b"w", m.Serve("r", "/store"))]
    return head


def stats(**waiting):
    return hp.FromWorker(b"w", m.Stats("w", (), 0, "", {}, waiting=waiting))


def test_a_run_that_no_worker_can_serve_is_refused_and_removed():
    head = opened()
    told, removed, over = head.handle(hp.FromWorker(b"w", m.Refuse("too large", "raise memory_mib", "r")), 1.0)
    assert told == hp.ToAgent(b"a", m.Refuse("too large", "raise memory_mib"))
    assert removed == hp.Remove("r")
    assert over == hp.ToWorker(b"w", m.Over("r"))
    assert not head.runs
    assert any(isinstance(a, hp.Create) for a in head.handle(hp.FromAgent(b"a", OPENING), 2.0)), (
        "it may be opened again"
    )


def test_a_run_that_waits_says_why_and_is_refused_with_it():
    head = opened()
    head.handle(stats(r=WHY), 1.0)
    assert head.waits("r") == WHY
    (pong,) = head.handle(hp.FromAgent(b"a", OPENING), 1.0)
    assert pong.message == m.Pong("r", WHY)
    assert head.handle(hp.Tick(), 19.0) == []
    told, removed, _ = head.handle(hp.Tick(), 21.0)
    assert WHY in told.message.what
    assert removed == hp.Remove("r")


def test_waiting_at_one_worker_is_no_waiting_while_another_serves():
    head = opened()
    head.handle(hp.FromWorker(b"v", m.Register("v", "v", "tcp://h:2", "cpu")), 0.0)
    head.handle(stats(r=WHY), 0.0)
    assert head.waits("r") == WHY
    (welcome,) = head.handle(hp.FromWorker(b"v", m.Ready("r")), 0.0)
    assert isinstance(welcome.message, m.Welcome)
    assert head.waits("r") == ""


def test_an_agent_that_leaves_before_its_run_begins_leaves_nothing():
    head = opened()
    head.timing = hp.HeadTiming(agent_s=5.0, open_s=20.0, worker_s=1e9)
    removed, _ = head.handle(hp.Tick(), 6.0)
    assert removed == hp.Remove("r")


def test_a_run_that_may_have_begun_is_sealed_not_removed():
    for event in ({"found": True}, {"committed": Ranges.of([0]), "stored": Ranges.of(range(4))}):
        head = opened(**event)
        (_, seal) = head.handle(hp.FromWorker(b"w", m.Refuse("no", "", "r")), 1.0)
        assert isinstance(seal, hp.Seal)
    head = opened()
    head.handle(hp.FromWorker(b"w", m.Ready("r")), 0.0)
    assert head.handle(hp.FromWorker(b"w", m.Refuse("no", "", "r")), 1.0) == []
    (seal,) = head.handle(hp.Tick(), 100.0)
    assert isinstance(seal, hp.Seal)


def test_no_more_runs_than_there_may_be():
    head = hp.HeadProtocol("")
    for k in range(hp.OPEN_RUNS):
        (create,) = head.handle(hp.FromAgent(b"a", m.Open(f"t{k}", "", "i", PLAN, {}, keep_raw=False)), 0.0)
        assert isinstance(create, hp.Create)
    (told,) = head.handle(hp.FromAgent(b"a", OPENING), 0.0)
    assert "open already" in told.message.what


def test_an_agent_that_comes_back_while_its_run_is_sealed_without_it_asks_again():
    head = opened()
    head.handle(hp.FromWorker(b"w", m.Ready("r")), 0.0)
    head.handle(hp.Tick(), 100.0)
    assert head.handle(hp.FromAgent(b"b", OPENING), 100.5) == [hp.ToAgent(b"b", m.Pong("r"))]
    assert head.runs["r"].address == b"a"
