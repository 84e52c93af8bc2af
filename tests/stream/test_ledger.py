import itertools

from hypothesis import given
from hypothesis import strategies as st
from octostream.stream.ledger import Ledger
from octostream.stream.model import Loss
from octostream.stream.ranges import Ranges

numbers = st.sets(st.integers(0, 60))
losses = st.lists(
    st.builds(
        lambda a, n, why: Loss(a, min(a + n, 60), "agent", why),
        st.integers(0, 60),
        st.integers(0, 9),
        st.text(max_size=3),
    ),
    max_size=8,
)


@given(numbers, numbers)
def test_ranges_are_sets(a, b):
    ra, rb = Ranges.of(a), Ranges.of(b)
    assert list(ra) == sorted(a)
    assert len(ra) == len(a)
    assert list(ra | rb) == sorted(a | b)
    assert list(ra - rb) == sorted(a - b)
    assert all((n in ra) == (n in a) for n in range(-1, 62))
    if b:
        assert ra.within(min(b), max(b)) == Ranges.of(n for n in a if min(b) <= n <= max(b))


@given(numbers)
def test_ranges_are_minimal(a):
    spans = Ranges.of(a).spans
    assert all(x[1] + 1 < y[0] for x, y in itertools.pairwise(spans))


@given(st.lists(losses | numbers, max_size=6))
def test_every_frame_is_accounted_for_once(steps):
    ledger = Ledger(61)
    stored, lost = set(), {}
    for step in steps:
        if isinstance(step, set):
            ledger = ledger.store(Ranges.of(step))
            stored |= step
            lost = {n: why for n, why in lost.items() if n not in stored}
        else:
            ledger = ledger.lose(step)
            for loss in step:
                for n in range(loss.first, loss.last + 1):
                    if n not in stored:
                        lost.setdefault(n, loss.why)
    assert set(ledger.stored) == stored
    assert {n: k.why for k in ledger.losses for n in range(k.first, k.last + 1)} == lost
    assert sum(k.count for k in ledger.losses) == len(lost)
    assert set(ledger.unknown) == set(range(61)) - stored - set(lost)
    unknown = 61 - len(stored) - len(lost)
    assert ledger.status == ("recording" if unknown else "incomplete" if lost else "complete")
    plain = ledger.to_json()
    assert (plain["frames_expected"], plain["frames_stored"], plain["frames_lost"]) == (61, len(stored), len(lost))
    assert (plain["frames_projection_only"], plain["projection_only"]) == (0, [])
