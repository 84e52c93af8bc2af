"""Bytes of a worker: counted, never more than there are, and always enough for one run to get on."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from octostream.stream.budget import Budget, Need

NEEDS = st.builds(Need, st.integers(0, 50), st.integers(1, 300), st.integers(0, 300))
FRAMES = st.integers(1, 60)


class Tenants(RuleBasedStateMachine):
    """Runs come and go, take what they get and give it back."""

    @initialize(total=st.integers(0, 4000))
    def start(self, total):
        self.budget = Budget(total)
        self.runs = {}
        self.held = {}
        self.number = 0

    @rule(need=NEEDS, frame=FRAMES)
    def open(self, need, frame):
        if self.budget.has_room(need, frame) and self.budget.has_now(need, frame):
            self.number += 1
            self.budget.open(f"r{self.number}", need, frame)
            self.runs[f"r{self.number}"] = (need, frame)
            self.held[f"r{self.number}"] = 0

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), wanted=st.integers(0, 900), spare=st.integers(0, 200))
    def widen(self, data, wanted, spare):
        run = data.draw(st.sampled_from(sorted(self.runs)))
        more = self.budget.widen(run, self.held[run], wanted, spare)
        assert more % self.runs[run][1] == 0 or more == 0
        self.held[run] += more
        assert self.held[run] >= self.runs[run][1]

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), spare=st.integers(0, 200))
    def slot(self, data, spare):
        self.budget.take_slot(data.draw(st.sampled_from(sorted(self.runs))), spare)

    @precondition(lambda self: self.budget.all_slots if self.runs else False)
    @rule(data=st.data())
    def drop(self, data):
        self.budget.drop_slot(data.draw(st.sampled_from(sorted(r for r in self.runs if self.budget.slots(r)))))

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def close(self, data):
        run = data.draw(st.sampled_from(sorted(self.runs)))
        self.budget.close(run)
        del self.runs[run], self.held[run]

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def everybody_gives_way_to_one(self, data):
        """What the promise against waiting for each other rests on."""
        for run in self.runs:
            for _ in range(self.budget.slots(run)):
                self.budget.drop_slot(run)
            self.held[run] = 0
            self.budget.widen(run, 0, 0)
        run = data.draw(st.sampled_from(sorted(self.runs)))
        frame = self.runs[run][1]
        assert self.budget.take_slot(run)
        assert self.budget.widen(run, 0, 2 * frame) == 2 * frame
        self.held[run] = 2 * frame

    @invariant()
    def never_more_than_there_is(self):
        if hasattr(self, "budget"):
            assert 0 <= self.budget.used <= self.budget.total
            parts = sum(n.fixed + self.budget.slots(r) * n.slot + self.held[r] for r, (n, _) in self.runs.items())
            assert parts <= self.budget.used


TestTenants = Tenants.TestCase


@given(NEEDS, FRAMES)
def test_least_is_just_enough_for_one(need, frame):
    least = Budget.least(need, frame)
    assert Budget(least).has_room(need, frame)
    assert not Budget(least - 1).has_room(need, frame)
