"""Whatever is done to a spool, with kills and power cuts between: it is what a dictionary would be."""

from __future__ import annotations

import random
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from octostream.acquire.spool import Spool
from octostream.acquire.spool_errors import SpoolFullError
from octostream.stream.model import Loss

from .spooled import STRIDE, frame, get, make, put, quick_folder, segments_of_records

#: A disk writes so many bytes or none of them.
SECTOR = 512
LIMIT = 12 * STRIDE


class SpoolMachine(RuleBasedStateMachine):
    """Holds a spool beside what it must be."""

    def __init__(self) -> None:
        super().__init__()
        self.around = ExitStack()
        self.folder = self.around.enter_context(quick_folder())
        self.around.enter_context(segments_of_records(3))

    @initialize()
    def begin(self) -> None:
        self.spool = make(self.folder / "spool", limit_bytes=LIMIT)
        self.next = 0
        self.waiting: set[int] = set()
        self.durable: set[int] = set()
        self.reported: set[int] = set()
        self.forgotten: set[int] = set()
        self.lost: dict[int, str] = {}
        self.lost_durably: set[int] = set()
        self.run, self.finished = "", None
        self.lives = 0
        self.remember()

    def teardown(self) -> None:
        if hasattr(self, "spool"):
            self.spool.close()
        self.around.close()

    def remember(self) -> None:
        """Keep what is on the disk whatever happens."""
        self.on_disk = {p.name: p.read_bytes() for p in self.spool.directory.iterdir()}

    # --- what is done ---

    @rule(count=st.integers(1, 5), gap=st.integers(0, 2))
    def append(self, count: int, gap: int) -> None:
        self.next += gap
        for _ in range(count):
            number = self.next
            try:
                put(self.spool, number)
            except SpoolFullError:
                assert self.spool.used_bytes + STRIDE > LIMIT
                return
            self.waiting.add(number)
            self.next += 1

    @rule()
    def sync(self) -> None:
        assert set(self.spool.sync()) == self.waiting - self.durable
        self.durable |= self.waiting
        self.reported |= self.waiting
        self.lost_durably = set(self.lost)
        self.remember()

    @rule(choice=st.randoms(use_true_random=False), share=st.sampled_from([0.3, 1.0]))
    def forget(self, choice: random.Random, share: float) -> None:
        numbers = {n for n in sorted(self.waiting) if choice.random() < share}
        self.spool.forget([*numbers, self.next + 5])
        self.waiting -= numbers
        self.durable -= numbers
        self.forgotten |= numbers

    @rule(choice=st.randoms(use_true_random=False), why=st.sampled_from(["dropped", "damaged: «é\n»"]))
    def lose(self, choice: random.Random, why: str) -> None:
        numbers = {n for n in range(self.next + 2) if choice.random() < 0.1} - self.forgotten - self.lost.keys()
        self.spool.lost(Loss(n, n, "agent", why) for n in sorted(numbers))
        self.lost |= dict.fromkeys(numbers, why)
        self.waiting -= numbers
        self.durable -= numbers
        self.next = max([self.next, *(n + 1 for n in numbers)])

    @precondition(lambda self: self.waiting)
    @rule(choice=st.randoms(use_true_random=False))
    def read(self, choice: random.Random) -> None:
        get(self.spool, choice.choice(sorted(self.waiting)))

    @rule()
    def welcome(self) -> None:
        self.run = f"run-{self.lives}"
        self.spool.note_run(self.run, "name", "/store")
        self.remember_journal()

    @rule(why=st.sampled_from(["", "stopped by the operator"]))
    def end(self, why: str) -> None:
        self.spool.ended(why)
        self.finished = why
        self.remember_journal()

    def remember_journal(self) -> None:
        """Keep the journal, which alone became durable; the names of segments may be there or not."""
        self.lost_durably = set(self.lost)
        for path in self.spool.directory.glob("journal-*"):
            self.on_disk[path.name] = path.read_bytes()

    # --- what happens to it ---

    @rule()
    def close_and_open(self) -> None:
        self.spool.close()
        self.spool = Spool.open(self.spool.directory)
        self.remember_journal()

    @rule()
    def kill(self) -> None:
        """What was written is there, synced or not."""
        self.live_again({p.name: p.read_bytes() for p in self.spool.directory.iterdir()})

    @rule(choice=st.randoms(use_true_random=False), share=st.sampled_from([0.0, 0.5, 0.95]))
    def cut_power(self, choice: random.Random, share: float) -> None:
        """Of what was not synced any sector may be there, and any removed file may be back."""
        now = {p.name: p.read_bytes() for p in self.spool.directory.iterdir()}
        after: dict[str, bytes] = {}
        for name in sorted(now.keys() | self.on_disk.keys()):
            old, new = self.on_disk.get(name), now.get(name)
            if old is not None and new is not None:
                after[name] = mixed(old, new, choice, share)
            elif choice.random() < share:
                after[name] = mixed(b"", new, choice, share) if new is not None else old or b""
            elif old is not None and new is None and choice.random() < share:
                after[name] = old
        self.live_again(after)
        self.waiting = set(self.spool.frames)
        assert self.waiting >= self.durable
        self.lost = {n: k.why for k in self.spool.losses for n in range(k.first, k.last + 1)}
        assert self.lost.keys() >= self.lost_durably
        self.durable = self.waiting & self.reported  # what was forgotten or lost may be back
        self.next = max([self.next, *(n + 1 for n in self.waiting)])
        self.forgotten = {n for n in self.forgotten if n not in self.waiting}

    def live_again(self, files: dict[str, bytes]) -> None:
        self.lives += 1
        folder = self.folder / f"life-{self.lives}"
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        self.spool.close()
        shutil.rmtree(self.spool.directory)
        self.spool = Spool.open(folder)
        self.remember()

    # --- what must be ---

    @invariant()
    def holds_what_it_should(self) -> None:
        if not hasattr(self, "spool"):
            return
        assert set(self.spool.frames) == self.waiting
        named = {n: k.why for k in self.spool.losses for n in range(k.first, k.last + 1)}
        assert named == self.lost
        assert (self.spool.run, self.spool.finished) == (self.run, self.finished)
        assert all(self.spool.frame(n) == frame(n) for n in self.waiting)
        files = [p.stat().st_size for p in Path(self.spool.directory).glob("segment-*")]
        assert self.spool.used_bytes == sum(files) <= LIMIT
        for number in self.waiting:
            get(self.spool, number)


def mixed(old: bytes, new: bytes, choice: random.Random, share: float) -> bytes:
    """Give a file of which some sectors are as they were and some as they were to be."""
    size = choice.choice([len(old), len(new)]) if share else len(old)
    before, after = old.ljust(size, b"\0"), new.ljust(size, b"\0")
    begins = range(0, size, SECTOR)
    return b"".join((after if choice.random() < share else before)[b : b + SECTOR] for b in begins)[:size]


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestSpool = pytest.mark.timeout(300)(TestSpool)
