"""Hypothesis looks for a sequence of faults that breaks the promise, and shrinks what it finds to the shortest one.

The world is that of the seeded simulation. There chance decides what goes wrong; here every fault is a choice: this
message is lost, that one comes twice, late or before its turn, a party dies, stands still or is cut off.
"""

import os
import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from octostream.stream.model import Plan

from ..stream.network import CALM, Chances
from ..stream.world import World

LONG = os.environ.get("OCTOSTREAM_CHAOS") == "long"
SHAPES = ((1, 1, 1, 1, 1), (6, 1, 5, 4, 4), (2, 3, 4, 3, 3), (1, 1, 40, 2048, 2048), (9, 2, 1, 600, 600))
#: Once nothing goes wrong any more, a run ends within so many steps; a fault may take all patience of all parties.
STEPS_TO_THE_END = 3000

at = st.integers(0, 50)


class Faults(RuleBasedStateMachine):
    """One run; the faults are rules, the promise is an invariant."""

    @initialize(
        shape=st.sampled_from(SHAPES),
        rate_hz=st.sampled_from((None, 20.0, 100.0)),
        workers=st.integers(1, 3),
        seed=st.integers(0, 2**16),
        patience_s=st.sampled_from((1e9, 3.0)),
    )
    def begin(self, shape, rate_hz, workers, seed, patience_s):
        self.world = World(random.Random(seed), Plan(shape, rate_hz=rate_hz), workers, patience_s)

    # --- what is meant to happen ---

    @rule(frames=st.integers(1, 12))
    def capture(self, frames):
        for _ in range(frames):
            self.world.capture()

    @rule(steps=st.integers(1, 40))
    def time_passes(self, steps):
        for _ in range(steps):
            self.world.step()

    @rule()
    def camera_misses_a_frame(self):
        self.world.miss()

    @rule()
    def operator_stops(self):
        self.world.stop()

    # --- the network ---

    def message(self, index):
        under_way = self.world.network.under_way
        return under_way[index % len(under_way)]

    @precondition(lambda self: self.world.network.under_way)
    @rule(index=at)
    def lose(self, index):
        self.world.network.lose(self.message(index))

    @precondition(lambda self: self.world.network.under_way)
    @rule(index=at, after_s=st.sampled_from((0.0, 0.1, 2.0, 12.0)))
    def repeat(self, index, after_s):
        self.world.network.repeat(self.message(index), self.world.now + after_s)

    @precondition(lambda self: self.world.network.under_way)
    @rule(index=at, by_s=st.sampled_from((0.1, 2.0, 12.0)))
    def delay(self, index, by_s):
        message = self.message(index)
        self.world.network.lose(message)
        self.world.network.repeat(message, self.world.now + by_s)

    @precondition(lambda self: self.world.network.under_way)
    @rule(index=at)
    def overtake(self, index):
        message = self.message(index)
        self.world.network.lose(message)
        self.world.network.repeat(message, 0.0)

    @rule(share=st.sampled_from((0.0, 0.2)))
    def pixels_change_on_the_way(self, share):
        self.world.network.chances = Chances(corrupt=share)

    @rule()
    def lose_everything(self):
        self.world.network.lose_everything()

    # --- the parties; which one, by its place in the list of all ---

    def party(self, index):
        parties = self.world.parties()
        return parties[index % len(parties)]

    @rule(index=at)
    def cut_off(self, index):
        self.world.network.cut.add(self.party(index))

    @rule(index=at)
    def stand_still(self, index):
        self.world.network.held.add(self.party(index))

    @precondition(lambda self: self.world.network.cut or self.world.network.held)
    @rule()
    def all_come_back(self):
        self.world.network.cut.clear()
        self.world.network.held.clear()

    @rule(index=at)
    def worker_dies(self, index):
        slots = sorted(self.world.workers)
        self.world.start_worker(slots[index % len(slots)])

    @rule()
    def head_dies(self):
        self.world.restart_head()

    @rule()
    def agent_dies(self):
        self.world.restart_agent()

    # --- the spool ---

    @rule(frames=st.integers(1, 12))
    def frames_go_to_the_spool(self, frames):
        for _ in range(frames):
            self.world.spool_frame()

    @rule()
    def frame_finds_no_place(self):
        self.world.drop()

    @rule(share=st.sampled_from((0.0, 0.3)))
    def spool_is_damaged(self, share):
        self.world.damage = share

    # --- the promise ---

    @invariant()
    def promise_is_kept(self):
        self.world.check()

    def teardown(self):
        """Let everybody come back: then the run must end, and everything must be accounted for."""
        world = self.world
        self.all_come_back()
        world.network.chances = CALM
        for _ in range(STEPS_TO_THE_END):
            if world.sealed is not None:
                break
            world.capture()
            world.step()
            world.check()
        assert world.sealed is not None, "the run does not end"
        world.check_end()


@pytest.mark.timeout(3600 if LONG else 300)
def test_no_sequence_of_faults_breaks_the_promise():
    run_state_machine_as_test(
        Faults,
        settings=settings(
            max_examples=10_000 if LONG else 600,
            stateful_step_count=80 if LONG else 50,
            deadline=None,
            derandomize=not LONG,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
