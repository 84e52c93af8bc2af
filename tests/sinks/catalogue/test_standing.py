import json

import pytest
from octostream.sinks.catalogue.intent import Intent
from octostream.sinks.catalogue.investigations import LOCAL
from octostream.sinks.catalogue.outbox import Entry, Registered
from octostream.sinks.catalogue.standing import RECONCILE, UNTOLD, Standing, standing

from .facts import facts_of

HAS = Registered({"reduced": 7, "raw": 8}, complete=False, at_ns=1)
WHOLE = Registered({"reduced": 7}, complete=True, at_ns=1, lag_s=0.4)


def entry(kind="opened", state="queued", due_ns=0, reason="", remedy="", seq=1):
    return Entry(seq, Intent(kind, facts_of(0)), state, 5, due_ns, 1, reason, remedy)


@pytest.mark.parametrize(
    ("entries", "registered", "expected"),
    [
        ([], None, Standing("local", why=UNTOLD, remedy=RECONCILE)),
        ([entry()], None, Standing("queued", waiting=1, next_try_ns=0)),
        ([entry(due_ns=9, reason="no answer")], None, Standing("queued", waiting=1, why="no answer", next_try_ns=9)),
        ([], HAS, Standing("registered", HAS.datasets)),
        ([entry("sealed", due_ns=3)], HAS, Standing("registered", HAS.datasets, 1, next_try_ns=3)),
        ([], WHOLE, Standing("complete", WHOLE.datasets, lag_s=0.4)),
        ([entry("grown")], WHOLE, Standing("registered", WHOLE.datasets, 1, next_try_ns=0)),
        (
            [entry(state="parked", reason="no such visit", remedy="create it"), entry("sealed", due_ns=4, seq=2)],
            None,
            Standing("parked", waiting=2, why="no such visit", remedy="create it"),
        ),
        (
            [entry(), entry("sealed", "parked", reason="full", remedy="wait", seq=2)],
            HAS,
            Standing("parked", HAS.datasets, 2, "full", "wait"),
        ),
    ],
)
def test_a_run_stands_as_its_entries_and_what_is_registered_say(entries, registered, expected):
    assert standing("inv", entries, registered) == expected
    assert json.loads(json.dumps(expected.to_json()))["state"] == expected.state


def test_a_local_run_lacks_nothing():
    assert standing(LOCAL, [], None) == Standing("local")
