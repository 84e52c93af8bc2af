"""The power is cut before any call that writes or syncs: only what was really synced is left, and all promises hold."""

from __future__ import annotations

import itertools
import os
import stat
from contextlib import contextmanager
from pathlib import Path

import pytest
from octostream.acquire.spool import Spool
from octostream.stream.model import Loss

from .spooled import STRIDE, get, make, put, quick_folder, segments_of_records

CALLS = ("pwrite", "pwritev", "write", "fsync", "fdatasync", "posix_fallocate", "unlink", "mkdir")
MOST = 200


class PowerCutError(Exception):
    """Nothing happens any more."""


class Disk:
    """Remembers what a real disk would have after a power cut: contents and names as they were last synced."""

    def __init__(self, cut_at):
        self.cut_at = cut_at
        self.calls = 0
        self.contents: dict[int, bytes] = {}
        self.names: dict[str, dict[str, int]] = {}

    @contextmanager
    def in_place(self):
        with pytest.MonkeyPatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, self.watched(name, getattr(os, name)))
            yield self

    def watched(self, name, real):
        def call(*arguments, **more):
            self.calls += 1
            if self.calls >= self.cut_at:
                raise PowerCutError
            result = real(*arguments, **more)
            if name in ("fsync", "fdatasync"):
                self.remember(arguments[0])
            return result

        return call

    def remember(self, handle):
        status, path = os.fstat(handle), Path(f"/proc/self/fd/{handle}")
        if stat.S_ISDIR(status.st_mode):
            folder = path.resolve()
            self.names[str(folder)] = {p.name: p.stat().st_ino for p in folder.iterdir()}
        else:
            self.contents[status.st_ino] = path.read_bytes()

    def left_of(self, directory, into):
        """Put what is left of a directory into another; gives whether there is one."""
        if directory is None or directory.name not in self.names.get(str(directory.parent), {}):
            return False
        into.mkdir()
        for name, inode in self.names.get(str(directory), {}).items():
            (into / name).write_bytes(self.contents.get(inode, b""))
        return True


class Agent:
    """Uses a spool, and notes what it was promised."""

    def __init__(self):
        self.spool = None
        self.durable: set[int] = set()
        self.lost: set[int] = set()
        self.told: dict[str, str] = {}

    def work(self, folder):
        self.spool = make(folder, limit_bytes=30 * STRIDE)
        put(self.spool, 0, 1)
        self.sync()
        self.spool.note_run("r-1", "name", "/store")
        self.told["run"] = "r-1"
        put(self.spool, 2, 3, 4)
        self.spool.lost([Loss(9, 9, "agent", "dropped")])
        self.sync()
        self.lost.add(9)
        self.forget(0, 1, 2)
        put(self.spool, 5, 6)
        self.spool.ended("stopped")
        self.told["finished"] = "stopped"
        self.sync()
        self.forget(3, 4)
        self.spool.close()

    def sync(self):
        self.durable |= set(self.spool.sync())

    def forget(self, *numbers):
        self.durable -= set(numbers)
        self.spool.forget(numbers)


def cut(cut_at):
    """Cut the power before the Nth call; gives whether there were so many."""
    agent, disk = Agent(), Disk(cut_at)
    with quick_folder() as folder, segments_of_records(2):
        with disk.in_place():
            try:
                agent.work(folder / "a" / "spools")
            except PowerCutError:
                ended = False
            else:
                ended = True
        left = disk.left_of(agent.spool and agent.spool.directory, folder / "left")
        if agent.spool is not None:
            agent.spool.close()
            assert left, "the name of the spool was not durable"
            check(agent, folder / "left")
    return not ended


def check(agent, directory):
    spool = Spool.open(directory)
    assert set(spool.frames) >= agent.durable
    for number in spool.frames:
        get(spool, number)
    lost = {n for k in spool.losses for n in range(k.first, k.last + 1)}
    assert lost >= agent.lost
    assert not lost & agent.durable
    assert {name: getattr(spool, name) for name in agent.told} == agent.told
    spool.close()


def test_the_power_is_cut_before_each_call():
    for cut_at in itertools.count(1):
        assert cut_at < MOST
        if not cut(cut_at):
            break
    assert cut_at > 30


def test_a_folder_of_spools_that_is_new_is_durable_with_its_first_spool():
    """All folders that were made on the way to it are synced into those that were there."""
    with quick_folder() as folder, Disk(MOST).in_place() as disk:
        spool = make(folder / "a" / "b" / "spools")
        at = str(folder.resolve())
        for name in ("a", "b", "spools", spool.id):
            assert name in disk.names[at]
            at = f"{at}/{name}"
        spool.close()
