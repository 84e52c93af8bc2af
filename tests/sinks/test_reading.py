from __future__ import annotations

import os

import numpy as np
import pytest
from octostream.sinks.commits import record_file
from octostream.sinks.reading import latest_projection, read_ledger, shrink
from octostream.stream.errors import StoreError
from octostream.stream.ranges import Ranges


def test_the_newest_published_projection_is_read_small(acquire, tmp_path):
    made = acquire(tmp_path, (3, 2, 4, 40, 60), rate_hz=4.0)
    keeper, writer = made.keeper(), made.writer()
    assert latest_projection(made.store, "xy", 0) is None
    for block in list(made.plan.blocks)[:5]:
        made.record(writer, block.number)
    assert latest_projection(made.store, "xy", 0) is None
    keeper.publish(range(5))
    for which in ("xy", "xz", "yz"):
        whole = made.arrays[f"projections/{which}"][1, 1]
        t, image = latest_projection(made.store, which, 1)
        assert t == 1
        assert np.array_equal(image, whole)
        _, small = latest_projection(made.store, which, 1, max_size=8)
        assert max(small.shape) <= 8
        assert small.max() == whole.max()
    assert latest_projection(made.store, "xy", 2) is None
    assert latest_projection(tmp_path, "xy", 0) is None


def test_shrinking_takes_the_maximum_of_whole_cells():
    image = np.arange(35, dtype=np.uint16).reshape(5, 7)
    assert np.array_equal(shrink(image, 7), image)
    assert np.array_equal(shrink(image, 3), [[9, 12, 13], [23, 26, 27], [30, 33, 34]])
    assert np.array_equal(shrink(image, 1), [[34]])


def test_the_ledger_is_read_while_recording_and_after(acquire, tmp_path):
    made = acquire(tmp_path, (4, 1, 3, 6, 6), rate_hz=3.0)
    keeper, writer = made.keeper(), made.writer()
    assert read_ledger(made.store).status == "recording"
    made.record(writer, 2)
    assert read_ledger(made.store).stored == Ranges(((6, 8),))
    made.record(writer, 0, frames={0, 2})
    assert read_ledger(made.store).stored == Ranges.of([0, 2, 6, 7, 8])
    made.record(writer, 0)
    assert read_ledger(made.store).stored == Ranges.of([0, 1, 2, 6, 7, 8])
    record_file(made.store, 2).write_text("{")
    os.utime(record_file(made.store, 2), ns=(1, 1))
    assert read_ledger(made.store).stored == Ranges.of([0, 1, 2])
    ledger = keeper.seal([])
    assert read_ledger(made.store) == ledger
    assert ledger.lost == Ranges(((3, 11),))


def test_only_what_changed_is_read_again(acquire, tmp_path, monkeypatch):
    import octostream.sinks.reading as reading

    made = acquire(tmp_path, (4, 1, 3, 6, 6), rate_hz=3.0)
    made.keeper()
    writer = made.writer()
    read = []
    real = reading.read_commit
    monkeypatch.setattr(reading, "read_commit", lambda store, block: read.append(block) or real(store, block))
    for number in range(4):
        made.record(writer, number)
        read_ledger(made.store)
    read_ledger(made.store)
    assert read == [0, 1, 2, 3]


def test_what_is_no_store_has_no_ledger(tmp_path):
    with pytest.raises(StoreError, match="not an octostream store"):
        read_ledger(tmp_path)
