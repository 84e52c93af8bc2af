"""One run of the sinks on a disk that fails, and what must hold whatever failed.

What worker and head do is done here in one thread: the blocks are written and committed, each call repeated while the
disk refuses, as the service repeats it; then the run is sealed. A power cut ends the trial. Then another life of the
service takes the store up on a healthy disk, and in the end every file must be what it is when nothing happens.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from octostream.sinks.arrays import context, open_planned
from octostream.sinks.keeper import StoreKeeper
from octostream.sinks.layout import merges, partial_file, region
from octostream.sinks.recover import recover
from octostream.sinks.sealfile import is_closed
from octostream.sinks.verify import verify
from octostream.sinks.writer import StoreWriter
from octostream.stream.errors import StoreError

from ..sinks.conftest import Acquisition, acquisition
from ..sinks.damaged import holds, no_reduction
from .mounted import MountedDisk

#: Whole stacks as blocks, and a stack that is split, so that its projection is merged at the end.
SHAPES = {"stacks": ((2, 1, 4, 20, 28), 4.0), "split": ((1, 1, 6, 20, 28), 3.0)}
#: A call that fails so often is asked for once more on a healed disk.
PATIENCE = 3


class PowerCutError(Exception):
    """The disk is dead."""


@dataclass
class Trial:
    """What was promised before the power was cut, if it was.

    Attributes
    ----------
    created, sealed : bool
        Whether the head was told that the store is made, and that it is sealed.
    acknowledged : set of int
        Blocks of which an agent was told that they are durable.
    refusals : list of str
        Errors that were reported on the way.
    cut_after_refusal : bool
        Cut the power when the first block is acknowledged after something failed.
    """

    disk: MountedDisk
    made: Acquisition
    cut_after_refusal: bool = False
    created: bool = False
    sealed: bool = False
    acknowledged: set[int] = field(default_factory=set)
    refusals: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Record the run to its end, or until the power is cut."""
        try:
            self._run()
        except PowerCutError:
            return
        self.disk.cut()

    def _run(self) -> None:
        keeper = self._ask(self.made.keeper)
        self.created = True
        writer = self._ask(self.made.writer)
        for block in self.made.plan.blocks:
            self._ask(lambda number=block.number: self.made.record(writer, number))
            self.acknowledged.add(block.number)
            if self.cut_after_refusal and self.refusals:
                self.disk.cut()
                raise PowerCutError
            self._ask(lambda number=block.number: keeper.publish([number]))
        ledger = self._ask(lambda: keeper.seal([]))
        assert ledger.status == "complete"
        self.sealed = True

    def _ask(self, call: Callable[[], object]):
        for attempt in range(PATIENCE + 1):
            if attempt == PATIENCE:
                self.disk.heal()
            try:
                return call()
            except StoreError as error:
                self.refusals.append(str(error))
                if self.disk.dead:
                    raise PowerCutError from error
        raise AssertionError(f"refused on a healthy disk: {self.refusals[-1]}")

    # --- afterwards ---

    def examine(self, place: Path, undisturbed: dict[str, bytes]) -> None:
        """See what is left on the disk, take it up, finish the run, compare it with the undisturbed one."""
        healthy = self._at(self.disk.save(place))
        if not healthy.store.exists():
            assert not self.created, "the store was made, and is gone"
            healthy.keeper()
        keeper = StoreKeeper.reopen(healthy.store)
        committed = set(keeper.committed())
        assert committed >= self.acknowledged, f"acknowledged {self.acknowledged}, there are {committed}"
        for number in committed:
            readable(healthy, number)
        self._recover(healthy, committed)
        if self.sealed:
            report = verify(healthy.store)
            assert report.ok, report.problems
        else:
            self._finish(healthy, keeper, committed)
        found = files(healthy.store)
        differing = sorted(n for n in found.keys() | undisturbed.keys() if found.get(n) != undisturbed.get(n))
        assert not differing, f"not as in the undisturbed store: {differing}"

    def _recover(self, healthy: Acquisition, committed: set[int]) -> None:
        """See that somebody who has nothing but the store, and no service, saves what was committed."""
        store = healthy.store.with_name("recovered")
        shutil.copytree(healthy.store, store)
        report = recover(store, no_reduction)
        stored = {number for block in committed for number in healthy.plan.blocks[block].frames}
        assert report.status == ("complete" if len(stored) == healthy.plan.frames else "incomplete")
        assert not report.quarantined, "a power cut damages nothing that was committed"
        holds(healthy, store, stored)

    def saved(self, place: Path) -> dict[str, bytes]:
        """Give every file of the store as the disk has it."""
        return files(self._at(self.disk.save(place)).store)

    def _at(self, place: Path) -> Acquisition:
        """Give the same run in a copy of the disk."""
        shape, rate = next(s for s in SHAPES.values() if s[0] == self.made.plan.shape)
        inside = self.made.store.parents[1].relative_to(self.disk.path)
        return acquisition(place / inside, shape, rate, keep_raw=True)

    def _finish(self, healthy: Acquisition, keeper: StoreKeeper, committed: set[int]) -> None:
        writer = StoreWriter(healthy.store, healthy.plan, healthy.products)
        if not is_closed(healthy.store):
            for block in healthy.plan.blocks:
                if block.number not in committed:
                    healthy.record(writer, block.number)
            keeper.publish(range(len(healthy.plan.blocks)))
        assert keeper.seal([]).status == "complete"
        report = verify(healthy.store)
        assert report.ok, report.problems


def readable(made: Acquisition, number: int) -> None:
    """See that every product of a block is there and right."""
    shared = context(1)
    block, parts = made.plan.blocks[number], made.parts(number)
    for product in made.products:
        if merges(made.plan, product):
            waiting = partial_file(made.store, product, number)
            if waiting.exists():
                np.testing.assert_array_equal(np.load(waiting), parts[product.path])
            else:
                array = open_planned(made.store, made.plan, product, shared)
                np.testing.assert_array_equal(array.read().result(), made.arrays[product.path])
            continue
        array = open_planned(made.store, made.plan, product, shared)
        found = array[region(product, block)].read().result()
        np.testing.assert_array_equal(found, parts[product.path], err_msg=product.path)


def files(store: Path) -> dict[str, bytes]:
    """Give every file of a store."""
    return {str(f.relative_to(store)): f.read_bytes() for f in sorted(store.rglob("*")) if f.is_file()}
