"""Every run is in ICAT exactly once, whatever ICAT does and however often the deliverer is killed."""

import json
import os
import random
import subprocess
import sys
import threading
import time

import pytest
from octostream.sinks.catalogue.outbox import Outbox
from octostream.sinks.catalogue.settings import PASSWORD_VARIABLE, USERNAME_VARIABLE
from octostream.sinks.registry import Registry
from octostream.tests.icat_server.seed import FACILITY, PASSWORDS

from ..sinks.catalogue.prepared import prepare
from .catalogue_run import Life, expected_provenance, provenance, registered
from .conftest import long_form

#: Of each call that is made of a session that has begun.
CHANCES = {"cut": 0.01, "hang": 0.005, "502": 0.01, "drop": 0.02, "expire": 0.005, "slow": 0.005, "rights": 0.005}
RUNS = 500 if long_form() else 8
#: Nothing goes on for longer than this, seconds.
END_S = 3600 if long_form() else 240


class Deliverer:
    """The service's own process, killed and started again."""

    def __init__(self, data, server):
        self.settings = {
            "data": str(data),
            "catalogue": {"url": server.url, "facility": FACILITY, "authenticator": "simple", "timeout_s": 1.0},
        }
        self.server, self.process, self.kills, self.kill_at = server, None, 0, 0

    @property
    def due(self):
        """Whether it has made as many calls as it may in this life; the time that they take says nothing."""
        return self.server.calls.total() >= self.kill_at

    def start(self, chance):
        self.kill_at = self.server.calls.total() + chance.randint(70, 200)
        self.said, write = os.pipe()
        command = [sys.executable, "-m", "octostream.api.process", "catalogue", str(write), json.dumps(self.settings)]
        who = {USERNAME_VARIABLE: "ingester", PASSWORD_VARIABLE: PASSWORDS["ingester"]}
        self.process = subprocess.Popen(
            command, pass_fds=(write,), env={**os.environ, **who}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(write)

    def kill(self):
        self.process.kill()
        self.process.wait(30)
        os.close(self.said)
        self.kills += 1


@pytest.mark.timeout(END_S + 60)
def test_every_run_is_registered_exactly_once(seed, tmp_path, icat_server, icat_client):
    chance = random.Random(seed)
    prepare(icat_client("root"), icat_server.url)
    data = tmp_path / "data"
    (data / ".octostream").mkdir(parents=True)
    registry, outbox = Registry(data / ".octostream/runs.sqlite"), Outbox(data / ".octostream/runs.sqlite")
    lives = [Life(n, chance) for n in range(RUNS)]
    going = [life.write(registry) for life in lives]
    deliverer = Deliverer(data, icat_server)
    deliverer.start(chance)
    icat_server.misbehaviour.at_random(seed, CHANCES, seconds=1.5)
    end = time.monotonic() + END_S
    try:
        while going or outbox.entries():
            assert time.monotonic() < end, [(e.intent.kind, e.state, e.attempts, e.reason) for e in outbox.entries()]
            # A few runs at a time, as a head would have them, so that intents come while others are delivered.
            if len(outbox.entries()) < 8 and going:
                life = chance.choice(going[:5])
                if next(life, "over") == "over":
                    going.remove(life)
            # What ICAT refused for want of rights waits for a person, who sees to it and tries again.
            if any(e.state == "parked" for e in outbox.entries()):
                outbox.retry()
            if deliverer.due:
                deliverer.kill()
                deliverer.start(chance)
            threading.Event().wait(0.05)
    finally:
        icat_server.misbehaviour.behave()
        if deliverer.process.poll() is None:
            deliverer.kill()
        registry.close()
        outbox.close()
    root = icat_client("root")  # its session may have ended with all the others
    found, names = registered(root)
    assert found == {name: row for life in lives for name, row in life.expected().items()}
    assert max(names.values()) == 1
    assert provenance(root) == expected_provenance(lives)
    print(
        f"\ncatalogue | ICAT misbehaves, the deliverer is killed | runs {RUNS}, kills {deliverer.kills - 1}, "
        + ", ".join(f"{kind} {times}" for kind, times in sorted(icat_server.misbehaviour.done.items()))
    )
