"""What a store says of where its data came from."""

import json
import socket
from dataclasses import replace

import pytest
from octostream.sinks.checked import digest
from octostream.sinks.commits import commit_from_bytes, commit_to_bytes
from octostream.sinks.keeper import StoreKeeper
from octostream.sinks.provenance import provenance_file
from octostream.sinks.recover import recover
from octostream.sinks.verify import verify
from octostream.stream.model import Loss

LOST = [Loss(0, 10**6, "source", "stopped")]
GPU, FULL = "NVIDIA H100", "cpu, in place of a GPU that has no room"


@pytest.fixture
def made(acquire, tmp_path):
    """A run of four blocks."""
    return acquire(tmp_path, (4, 1, 3, 8, 9), 3.0)


def record(made, number, worker, device):
    """Do with a block what a worker does that reduced it on a device."""
    writer = made.writer()
    stored = writer.write(made.plan.blocks[number], made.parts(number))
    writer.commit(replace(made.commit(number, None, stored), worker=worker, device=device))
    writer.close()


def told(made):
    return json.loads(provenance_file(made.store).read_bytes())


def test_a_sealed_store_says_what_made_it(made):
    keeper = made.keeper()
    record(made, 0, "worker-0-ab", GPU)
    assert not provenance_file(made.store).exists()
    ledger = keeper.seal(LOST)
    says = told(made)
    assert says["recipe"] == made.run.recipe
    assert (says["run"]["id"], says["run"]["opened_ns"]) == (made.run.id, made.run.opened_ns)
    assert tuple(says["plan"]["shape"]) == made.plan.shape
    assert says["software"] == {"octostream": "0.1.0"}
    assert set(says["maps"]) == {"offset"}
    assert (says["sealed_on"]["host"], says["devices"]) == (socket.gethostname(), {"worker-0-ab": [GPU]})
    assert says["frames"] == {
        "status": ledger.status, "expected": 12, "stored": len(ledger.stored), "lost": len(ledger.lost),
    }  # fmt: skip


def test_every_device_that_a_block_was_reduced_on_is_named_whoever_lived_to_see_it(made):
    """Of one worker, blocks may be made on two: and the head that seals need not be the one that was told of them."""
    made.keeper().publish([])
    record(made, 0, "worker-0-ab", GPU)
    record(made, 1, "worker-0-ab", FULL)
    keeper = StoreKeeper.reopen(made.store)
    record(made, 2, "worker-1-cd", "cpu")
    keeper.publish([2])
    keeper.seal(LOST)
    devices = {"worker-0-ab": sorted([GPU, FULL]), "worker-1-cd": ["cpu"]}
    assert told(made)["devices"] == devices
    provenance_file(made.store).write_bytes(b"torn")
    StoreKeeper.reopen(made.store).seal(LOST)
    assert told(made)["devices"] == devices


def test_a_run_that_only_recover_ended_says_what_it_was_made_on(made):
    made.keeper()
    record(made, 0, "worker-0-ab", GPU)
    recover(made.store, lambda run, maps: pytest.fail("nothing is to be reduced again"))
    assert told(made)["devices"] == {"worker-0-ab": [GPU]}


def test_a_record_of_a_time_when_nobody_said_so_names_no_device(made):
    content = json.loads(commit_to_bytes(made.commit(0)))
    del content["record"]["device"]
    content["xxh3_64"] = digest(content["record"])
    assert commit_from_bytes(json.dumps(content).encode(), 0, "x") == made.commit(0)
    keeper = made.keeper()
    record(made, 0, "worker-0-ab", "")
    keeper.seal(LOST)
    assert told(made)["devices"] == {}


def test_a_checker_of_stores_takes_it_for_what_it_is(made):
    keeper = made.keeper()
    record(made, 0, "worker-0-ab", "cpu")
    keeper.seal(LOST)
    assert [p.text for p in verify(made.store).problems if "provenance" in p.text] == []
