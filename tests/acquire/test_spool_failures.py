"""Every call to the system fails once, at every place: what was reported durable is there, and every error is told."""

from __future__ import annotations

import errno
import itertools
import os
from contextlib import contextmanager, suppress

import pytest
from octostream.acquire.spool import Spool
from octostream.acquire.spool_errors import SpoolError
from octostream.stream.errors import OctostreamError
from octostream.stream.model import Loss

from .spooled import STRIDE, frame, get, make, pixels, quick_folder, segments_of_records

WRITES = ("pwrite", "pwritev", "write")
SYNCS = ("fsync", "fdatasync")
OTHERS = ("open", "posix_fallocate", "unlink", "mkdir", "statvfs", "pread", "preadv", "posix_fadvise", "fstat")
ERRORS = (errno.EIO, errno.ENOSPC, errno.EINVAL)
MOST = 200


class Disk:
    """Fails the Nth call of a kind; what a failed sync should have kept is gone, as the kernel may have it."""

    def __init__(self, names, nth, code, *, short=False, for_good=False):
        self.names, self.nth, self.code, self.short, self.for_good = names, nth, code, short, for_good
        self.calls = 0
        self.kept: dict[tuple[int, int], bytes] = {}
        self.real = {name: getattr(os, name) for name in {*names, *SYNCS}}

    @property
    def failed(self):
        return self.calls >= self.nth

    @contextmanager
    def in_place(self):
        with pytest.MonkeyPatch.context() as patch:
            for name in self.real:
                patch.setattr(os, name, self.call(name))
            yield self

    def call(self, name):
        def called(*arguments, **more):
            if name in self.names:
                self.calls += 1
                if self.calls == self.nth:
                    self.before_failing(name, arguments)
                if self.calls == self.nth or (self.for_good and self.failed):
                    raise OSError(self.code, os.strerror(self.code))
            result = self.real[name](*arguments, **more)
            if name in SYNCS:
                self.remember(arguments[0])
            return result

        return called

    def before_failing(self, name, arguments):
        if self.short and name in WRITES:
            handle, data, *offset = arguments
            data = data[0] if name == "pwritev" else data
            self.real[name](handle, [data[:4096]] if name == "pwritev" else data[:4096], *offset)
        elif name in SYNCS:
            self.lose(arguments[0])

    def remember(self, handle):
        status = os.fstat(handle)
        with suppress(OSError), open(f"/proc/self/fd/{handle}", "rb") as file:
            self.kept[status.st_dev, status.st_ino] = file.read()

    def lose(self, handle):
        status = os.fstat(handle)
        kept = self.kept.get((status.st_dev, status.st_ino), b"")
        with suppress(IsADirectoryError), open(f"/proc/self/fd/{handle}", "r+b") as file:
            file.write(kept.ljust(status.st_size, b"\0"))


class Agent:
    """Gives frames to a spool as an agent does, and notes what it was told."""

    def __init__(self, *, header_unread=False):
        self.header_unread = header_unread
        self.unsynced: set[int] = set()
        self.durable: set[int] = set()
        self.forgotten: set[int] = set()
        self.given_up: set[int] = set()
        self.errors: list[OctostreamError] = []

    def work(self, folder):
        """Make a spool and use it; gives its directory, if there is one."""
        with self.tolerant():
            spool = make(folder, limit_bytes=20 * STRIDE)
            self.use(spool, 0)
            spool.close()
            self.use_again(spool.directory)
            return spool.directory
        return None

    def use_again(self, directory):
        with self.tolerant():
            spool = Spool.open(directory)
            damaged = {n for k in spool.losses if k.where == "spool" for n in range(k.first, k.last + 1)}
            assert damaged <= self.forgotten or self.header_unread
            self.durable -= damaged
            assert set(spool.frames) >= self.durable
            self.unsynced = set(spool.frames) - self.durable
            self.use(spool, 10)
            spool.close()

    def use(self, spool, first):
        for number in range(first, first + 5):
            self.append(spool, number)
        self.sync(spool)
        with self.tolerant():
            spool.note_run("r-1", "name", "/store")
        self.forget(spool, {first, first + 1})
        for number in range(first + 5, first + 8):
            self.append(spool, number)
        spool.lost([Loss(first + 8, first + 8, "agent", "dropped")])
        self.sync(spool)
        self.sync(spool)
        self.forget(spool, {first + 2})
        self.append(spool, first + 9)
        with self.tolerant():
            spool.ended("stopped")
        known = self.durable | self.unsynced
        assert known <= set(spool.frames) <= known | self.given_up
        for number in spool.frames:
            with self.tolerant():
                get(spool, number)
        for number in sorted(self.given_up):
            self.append(spool, number)
        self.sync(spool)

    def append(self, spool, number):
        with self.giving_up(spool):
            spool.append(frame(number), pixels(number))
            self.given_up.discard(number)
            self.unsynced.add(number)

    def sync(self, spool):
        with self.giving_up(spool):
            durable = set(spool.sync())
            assert durable <= self.unsynced
            self.durable |= durable
            self.unsynced -= durable

    @contextmanager
    def giving_up(self, spool):
        """Take back what the spool says it cannot keep."""
        try:
            yield
        except SpoolError as error:
            self.errors.append(error)
            given_up = set(error.frames)
            assert not given_up & self.durable, "what was reported durable is given up"
            self.given_up |= given_up
            self.unsynced -= given_up

    def forget(self, spool, numbers):
        spool.forget(numbers)
        self.durable -= numbers
        self.unsynced -= numbers
        self.given_up -= numbers
        self.forgotten |= numbers

    @contextmanager
    def tolerant(self):
        try:
            yield
        except OctostreamError as error:
            self.errors.append(error)


def fail(names, nth, code, *, short=False):
    """Fail one call; gives whether there were so many, and checks all that must be."""
    agent = Agent(header_unread=names == ("pread",) and code == errno.EIO)
    with quick_folder() as folder, segments_of_records(3):
        disk = Disk(names, nth, code, short=short)
        with disk.in_place():
            directory = agent.work(folder / "spools")
        assert all("\n" not in str(error) for error in agent.errors)
        if directory is None:
            assert not agent.durable
            return disk.failed
        if not directory.exists():
            return disk.failed
        spool = Spool.open(directory)
        assert set(spool.frames) >= agent.durable
        lost = {n for k in spool.losses for n in range(k.first, k.last + 1)}
        assert not lost & agent.durable
        # What is at the tier may be named as lost where a sync failed: the ledger of the run knows better.
        assert set(names) & set(SYNCS) or not lost & agent.forgotten
        for number in spool.frames:
            get(spool, number)
        spool.close()
    return disk.failed


def every(names, code, *, short=False):
    """Fail the first call, the second, and so on, until none fails any more; gives how many there were."""
    for nth in itertools.count(1):
        assert nth < MOST
        if not fail(names, nth, code, short=short):
            return nth - 1
    return 0


@pytest.mark.parametrize("code", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("name", [*WRITES, *SYNCS, *OTHERS])
def test_each_call_fails_once(name, code):
    count = every((name,), code)
    assert count or name == "pwritev"


@pytest.mark.parametrize(("failing", "records"), [("fdatasync", 3), ("pwrite", 4)])
def test_what_a_disk_failed_to_keep_is_named_and_can_be_given_again(failing, records):
    """With three records a segment the fourth frame begins a new one, and the first is made durable before that."""
    disk = Disk((failing,), MOST, errno.EIO)
    with quick_folder() as folder, segments_of_records(records), disk.in_place():
        spool = make(folder)
        for number in (0, 1):
            spool.append(frame(number), pixels(number))
        assert set(spool.sync()) == {0, 1}
        spool.append(frame(2), pixels(2))
        disk.nth = disk.calls + 1
        with pytest.raises(SpoolError, match="Input/output error") as error:
            spool.append(frame(3), pixels(3))
        named = {2, 3}
        assert set(error.value.frames) == named
        assert set(spool.frames) == {0, 1, 2}
        if failing == "pwrite":  # it was written, and only cannot be relied on
            get(spool, 2)
        failed = {path: path.read_bytes() for path in spool.directory.glob("segment-*")}
        for number in named:
            spool.append(frame(number), pixels(number))
        assert set(spool.sync()) == named
        assert {path: path.read_bytes() for path in failed} == failed, "a file that failed is written again"
        spool.close()
        again = Spool.open(spool.directory)
        assert set(again.frames) == {0, 1, 2, 3}
        for number in again.frames:
            get(again, number)
        again.forget(again.frames)
        assert again.used_bytes == 0
        again.close()


@pytest.mark.parametrize("name", ["pwrite", "write"])
def test_each_write_stops_in_the_middle(name):
    assert every((name,), errno.EIO, short=True)


@pytest.mark.parametrize("nth", [1, 2, 5, 8, 12, 17, 25])
@pytest.mark.parametrize("names", [WRITES, SYNCS, (*WRITES, *SYNCS)], ids=["writes", "syncs", "both"])
def test_a_disk_that_fails_for_good(names, nth):
    """From the Nth call on nothing works; what was durable before is there."""
    agent = Agent()
    with quick_folder() as folder, segments_of_records(3):
        with Disk(names, nth, errno.EIO, for_good=True).in_place():
            directory = agent.work(folder / "spools")
        assert agent.errors
        if directory is not None:
            spool = Spool.open(directory)
            assert set(spool.frames) >= agent.durable
            for number in spool.frames:
                get(spool, number)
            spool.close()
