"""What a store says of where its data came from."""

import json
import socket

from octostream.sinks.keeper import StoreKeeper
from octostream.sinks.provenance import provenance_file
from octostream.sinks.verify import verify
from octostream.stream.model import Loss

LOST = [Loss(0, 10**6, "source", "stopped")]


def made_of(acquire, tmp_path):
    made = acquire(tmp_path, (2, 1, 3, 8, 9), None)
    keeper = made.keeper()
    made.record(made.writer(), 0)
    return made, keeper


def told(made):
    return json.loads(provenance_file(made.store).read_bytes())


def test_a_sealed_store_says_what_made_it(acquire, tmp_path):
    made, keeper = made_of(acquire, tmp_path)
    assert not provenance_file(made.store).exists()
    ledger = keeper.seal(LOST, {}, {"worker-0-ab": "NVIDIA H100"})
    says = told(made)
    assert says["recipe"] == made.run.recipe
    assert (says["run"]["id"], says["run"]["opened_ns"]) == (made.run.id, made.run.opened_ns)
    assert tuple(says["plan"]["shape"]) == made.plan.shape
    assert says["software"] == {"octostream": "0.1.0"}
    assert set(says["maps"]) == {"offset"}
    assert (says["sealed_on"]["host"], says["devices"]) == (socket.gethostname(), {"worker-0-ab": "NVIDIA H100"})
    assert says["frames"] == {
        "status": ledger.status, "expected": 6, "stored": len(ledger.stored), "lost": len(ledger.lost),
    }  # fmt: skip


def test_who_seals_it_again_keeps_what_only_the_first_knew(acquire, tmp_path):
    made, keeper = made_of(acquire, tmp_path)
    keeper.seal(LOST, {}, {"worker-0-ab": "cpu"})
    StoreKeeper.reopen(made.store).seal(LOST, {}, {"worker-1-cd": "cpu"})
    assert told(made)["devices"] == {"worker-0-ab": "cpu", "worker-1-cd": "cpu"}
    provenance_file(made.store).write_bytes(b"torn")
    StoreKeeper.reopen(made.store).seal(LOST)
    assert told(made)["devices"] == {}
    assert told(made)["recipe"] == made.run.recipe


def test_a_checker_of_stores_takes_it_for_what_it_is(acquire, tmp_path):
    made, keeper = made_of(acquire, tmp_path)
    keeper.seal(LOST)
    assert [p.text for p in verify(made.store).problems if "provenance" in p.text] == []
