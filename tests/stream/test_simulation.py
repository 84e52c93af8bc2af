"""Seeded runs of the three protocols while everything goes wrong that can.

Whatever happens, every frame that was captured must end up committed exactly as captured, and the ledger must name
every other one. More seeds by hand: OCTOSTREAM_SEEDS=100000 pytest tests/stream/test_simulation.py
"""

import os
import random

import pytest
from octostream.stream.model import Plan

from .network import CALM, ROUGH
from .world import World

LONG = os.environ.get("OCTOSTREAM_CHAOS") == "long"
SEEDS = int(os.environ.get("OCTOSTREAM_SEEDS", "10000" if LONG else "300"))
SHAPES = [(1, 1, 1, 1, 1), (6, 1, 5, 4, 4), (2, 3, 4, 3, 3), (1, 1, 40, 2048, 2048), (9, 2, 1, 600, 600)]
#: After this time nothing goes wrong any more, so that the run can end, seconds.
PEACE_S = 30.0


class Trouble:
    """Makes things go wrong, one every few seconds, and ends what it began."""

    def __init__(self, world, rng):
        self.world, self.rng = world, rng
        self.until = {}
        world.network.chances = ROUGH

    def step(self):
        network, rng = self.world.network, self.rng
        for party in [p for p, end in self.until.items() if end <= self.world.now]:
            del self.until[party]
            network.cut.discard(party)
            network.held.discard(party)
        if self.world.now >= PEACE_S:
            network.chances = CALM
            return
        luck = rng.random()
        if luck < 0.01:
            self.world.start_worker(rng.choice(list(self.world.workers)))
        elif luck < 0.013:
            network.lose_everything()
        elif luck < 0.018:
            self.world.restart_head()
        elif luck < 0.024:
            self.begin(network.cut)
        elif luck < 0.028:
            self.begin(network.held)
        elif luck < 0.03:
            self.world.restart_agent()

    def begin(self, kind):
        party = self.rng.choice(self.world.parties())
        if party not in self.until:
            self.until[party] = self.world.now + self.rng.choice([0.1, 1.0, 6.0, 15.0])
            kind.add(party)


def deliver(world, rng):
    """Have the camera deliver a frame; with bad luck it does not, or there is no place for it."""
    luck = rng.random() if rng else 1.0
    if luck < 0.01:
        world.miss()
    elif luck < 0.015:
        world.drop()
    else:
        world.capture()


def run(seed):
    rng = random.Random(seed)
    plan = Plan(rng.choice(SHAPES), rate_hz=rng.choice([None, 20.0, 100.0]))
    world = World(rng, plan, workers=rng.choice([1, 1, 2, 3]), patience_s=rng.choice([1e9, 4.0]))
    world.damage = rng.choice([0.0, 0.05])
    spooled = rng.choice([0.0, 0.3])
    if rng.random() < 0.3:
        world.stop_at = rng.randrange(plan.frames + 1)
    trouble = Trouble(world, rng) if rng.random() < 0.8 else None
    for _ in range(6000):
        for _ in range(rng.randrange(6)):
            deliver(world, rng if trouble else None)
        if rng.random() < spooled:
            world.spool_frame()
        world.step()
        world.check()
        if world.sealed is not None:
            world.check_end()
            return
        if trouble:
            trouble.step()
    raise AssertionError("the run does not end")


@pytest.mark.parametrize("first", range(0, SEEDS, 50))
def test_nothing_is_lost_whatever_happens(first):
    for seed in range(first, min(first + 50, SEEDS)):
        try:
            run(seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
