"""A run that was sealed because its agent was taken for gone, and came back."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from octostream.sinks.commits import record_file
from octostream.sinks.keeper import StoreKeeper
from octostream.sinks.layout import array_path
from octostream.sinks.reading import read_ledger
from octostream.sinks.recover import recover
from octostream.sinks.verify import verify
from octostream.stream.model import Loss

from .damaged import no_reduction

shapes = st.tuples(st.integers(1, 4), st.integers(1, 2), st.integers(1, 7), st.integers(1, 11), st.integers(1, 11))


def seen(made) -> dict[str, np.ndarray]:
    return {p.path: zarr.open_array(made.store / array_path(p), mode="r")[...] for p in made.products}


@settings(deadline=None, max_examples=25)
@given(shapes, st.sampled_from([None, 1.0, 2.5]), st.randoms(use_true_random=False), st.booleans(), st.booleans())
def test_a_run_opened_again_ends_as_if_it_had_never_been_sealed(acquire, ram, shape, rate_hz, rng, twice, restarted):
    with tempfile.TemporaryDirectory(dir=ram) as folder:
        made = acquire(Path(folder), shape, rate_hz)
        everything = list(range(len(made.plan.blocks)))
        rng.shuffle(everything)
        half = rng.randrange(len(everything) + 1)
        keeper = made.keeper()
        for number in everything[:half]:
            made.record(made.writer(), number)
            keeper.publish([number])
        gone = [Loss(0, made.plan.frames - 1, "agent", "the agent was silent for 60 s")]
        for _ in range(1 + twice):
            keeper.seal(gone)
            sealed = seen(made)
            keeper = StoreKeeper.reopen(made.store)
            keeper.unseal()
            for path, array in seen(made).items():
                assert array.shape == sealed[path].shape
        assert zarr.open_group(made.store, mode="r").attrs["octostream"]["status"] == "recording"
        for number in everything[half:]:
            if restarted:
                keeper = StoreKeeper.reopen(made.store)
                keeper.unseal()
            made.record(made.writer(), number)
            keeper.publish([number])
            for path, array in seen(made).items():
                if not restarted:
                    assert all(a >= b for a, b in zip(array.shape, sealed[path].shape, strict=True))
        ledger = keeper.seal([Loss(0, made.plan.frames - 1, "source", "nothing may be lost")])
        assert (ledger.status, ledger.losses) == ("complete", ())
        for product in made.products:
            np.testing.assert_array_equal(seen(made)[product.path], made.arrays[product.path])
        report = verify(made.store)
        assert report.ok, report.problems
        names = {f.name for f in (made.store / ".octostream").iterdir()}
        assert names == {"closed", "commits", "ledger.json", "maps", "run.json"}


def test_what_is_lost_in_the_end_is_lost_for_the_last_reason(acquire, tmp_path):
    made = acquire(tmp_path, (4, 1, 3, 9, 9), rate_hz=3.0)
    keeper = made.keeper()
    made.record(made.writer(), 0)
    keeper.seal([Loss(0, 11, "agent", "silent")])
    keeper.unseal()
    keeper.seal([Loss(3, 11, "source", "stopped by the operator")])
    assert [(k.where, k.why) for k in read_ledger(made.store).losses] == [("source", "stopped by the operator")]
    assert verify(made.store).ok


def test_what_was_quarantined_stays_lost_for_its_damage(acquire, tmp_path):
    made = acquire(tmp_path, rate_hz=4.0)
    keeper = made.keeper()
    for number in (0, 1):
        made.record(made.writer(), number)
    keeper.seal([Loss(8, 11, "agent", "silent")])
    record_file(made.store, 1).write_bytes(bytes(300))
    shutil.rmtree(made.store / "frames")
    damaged, silent = sorted(recover(made.store, no_reduction).losses, key=lambda loss: loss.first)
    assert (damaged.first, damaged.last, silent.why) == (4, 7, "silent")
    keeper = StoreKeeper.reopen(made.store)
    keeper.unseal()
    ledger = keeper.seal([Loss(0, 11, "agent", "silent again")])
    assert set(ledger.losses) == {damaged, Loss(8, 11, "agent", "silent again")}


def test_projections_of_a_stack_in_parts_are_whole_again(acquire, tmp_path):
    """The parts of the blocks before the silence are merged with those after it."""
    made = acquire(tmp_path, (1, 1, 5, 9, 9), rate_hz=2.0)
    assert len(made.plan.blocks) == 3
    keeper = made.keeper()
    made.record(made.writer(), 0)
    made.record(made.writer(), 2)
    keeper.seal([Loss(0, 4, "agent", "silent")])
    keeper.unseal()
    made.record(made.writer(), 1)
    keeper.publish([1])
    np.testing.assert_array_equal(seen(made)["projections/xy"], made.arrays["projections/xy"])
    keeper.seal([])
    np.testing.assert_array_equal(seen(made)["projections/xy"], made.arrays["projections/xy"])
    assert not (made.store / ".octostream" / "partial").exists()
