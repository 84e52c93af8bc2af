"""Somebody looks while it is recorded: no exception, no committed value that changes, a valid image at any time."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import ome_zarr_models
import pytest
import tensorstore as ts
import yaozarrs
import zarr
from octostream.sinks.keeper import StoreKeeper
from octostream.sinks.layout import array_path
from octostream.sinks.reading import latest_projection, read_ledger
from octostream.sinks.verify import verify
from octostream.stream.model import Loss

IMAGES = ("", "projections/xy", "projections/xz", "projections/yz")


def assert_valid(store: Path) -> None:
    for image in IMAGES:
        yaozarrs.validate_zarr_store(str(store / image))
        group = zarr.open_group(store / image, mode="r")
        assert type(ome_zarr_models.open_ome_zarr(group)).__name__ == "Image"


class Watcher(threading.Thread):
    """Polls every array with both readers until told to stop; keeps what went wrong and how far it saw."""

    def __init__(self, made) -> None:
        super().__init__()
        self.made = made
        self.over = threading.Event()
        self.wrong: list[str] = []
        self.rounds = 0
        self.seen: set[tuple[int, ...]] = set()

    def run(self) -> None:
        try:
            while not self.over.is_set() or not self.rounds:
                self.look()
                self.rounds += 1
        except BaseException as cause:
            self.wrong.append(repr(cause))
            raise

    def look(self) -> None:
        store = self.made.store
        for product in self.made.products:
            path = store / array_path(product)
            spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}}
            for seen in (zarr.open_array(path, mode="r")[...], ts.open(spec, open=True).result().read().result()):
                self.seen.add(seen.shape)
                expected = self.made.arrays[product.path][tuple(slice(0, n) for n in seen.shape)]
                if not np.array_equal(seen, expected):
                    self.wrong.append(f"{product.path} {seen.shape} is not what was committed")
        zarr.open_group(store, mode="r").attrs["octostream"]
        latest_projection(store, "xy", 0)
        read_ledger(store)


@pytest.mark.parametrize(
    ("shape", "rate_hz"), [((6, 2, 3, 20, 30), 6.0), ((1, 1, 24, 20, 30), 3.0), ((3, 1, 6, 20, 30), 2.0)]
)
def test_a_reader_that_polls_never_sees_an_error_or_a_change(acquire, tmp_path, shape, rate_hz):
    made = acquire(tmp_path, shape, rate_hz)
    keeper, writer = made.keeper(), made.writer()
    watcher = Watcher(made)
    watcher.start()
    try:
        for block in reversed(list(made.plan.blocks)):
            if block.number % 2:
                made.record(writer, block.number)
                keeper.publish([block.number])
        for block in made.plan.blocks:
            if not block.number % 2:
                made.record(writer, block.number)
                keeper.publish([block.number])
        keeper.seal([])
    finally:
        watcher.over.set()
        watcher.join(60)
    assert not watcher.is_alive()
    assert watcher.wrong == []
    assert len(watcher.seen) > 1


@pytest.mark.parametrize(
    ("shape", "rate_hz", "channels"),
    [((3, 2, 4, 10, 14), 8.0, ("GFP", "mCherry")), ((1, 1, 9, 7, 5), 3.0, ()), ((1, 1, 1, 1, 1), None, ())],
)
def test_validators_accept_the_store_at_every_moment(acquire, tmp_path, shape, rate_hz, channels):
    made = acquire(tmp_path, shape, rate_hz, channels=channels)
    keeper, writer = made.keeper(), made.writer()
    assert_valid(made.store)
    for block in list(made.plan.blocks)[: max(1, len(made.plan.blocks) - 1)]:
        made.record(writer, block.number)
        keeper.publish([block.number])
        assert_valid(made.store)
    keeper.seal([Loss(made.plan.frames - 1, made.plan.frames - 1, "agent", "stopped")])
    assert_valid(made.store)


#: A worker's process: writes the blocks after the first over and over until it is killed.
WRITE_FOR_EVER = """
import sys
from pathlib import Path
import numpy as np
from octostream.sinks.runfile import load_run
from octostream.sinks.writer import StoreWriter
run, products, _ = load_run(Path(sys.argv[1]))
writer = StoreWriter(Path(sys.argv[1]), run.plan, products)
parts = dict(np.load(sys.argv[2]))
while True:
    for number in range(1, len(run.plan.blocks)):
        writer.write(run.plan.blocks[number], parts)
"""


@pytest.mark.parametrize("product", ["0", "1", "projections/xy"])
def test_a_worker_killed_in_the_middle_of_a_write_tears_nothing(acquire, tmp_path, product):
    made = acquire(tmp_path, (3, 1, 4, 512, 512), rate_hz=5.0)
    keeper = made.keeper()
    made.record(made.writer(), 0)
    np.savez(tmp_path / "parts.npz", **made.parts(1))
    worker = subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, str(made.store), str(tmp_path / "parts.npz")])
    try:
        array = array_path(next(p for p in made.products if p.path == product))
        shard = made.store / array / "c" / "2" / Path(*"0" * (len(made.arrays[product].shape) - 1))
        unfinished = f".{shard.name}.*.tmp"
        bound = time.monotonic() + 60
        while not any(shard.parent.glob(unfinished)):
            assert worker.poll() is None
            assert time.monotonic() < bound
    finally:
        worker.kill()
        worker.wait(60)
    assert worker.returncode == -signal.SIGKILL
    keeper.publish([0])
    assert_valid(made.store)
    level = zarr.open_array(made.store / "0", mode="r")
    assert level.shape[0] == 1
    assert np.array_equal(level[0], made.arrays["0"][0])
    assert verify(made.store).ok

    # Another worker does the killed one's blocks again.
    writer = made.writer()
    made.record(writer, 1)
    keeper = StoreKeeper.reopen(made.store)
    ledger = keeper.seal([])
    assert len(ledger.stored) == 8
    report = verify(made.store)
    assert report.ok, report.problems
    assert not list(made.store.rglob("*.tmp"))
