"""A disk in memory that knows what a power cut leaves of it: what running programs see, and what was synced.

The rules are those that POSIX gives, and no more: the bytes of a file last after its fsync, its name lasts after an
fsync of the folder. Changes of names are atomic and last in their order, as with a journal. What was not synced may
last or not; `Survivors` says how much of it does. An fsync that failed has dropped what it should have written: a later
one that succeeds says nothing of those bytes.
"""

from __future__ import annotations

import errno
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PAGE = 4096
#: Size of the disk, bytes.
CAPACITY = 8 * 2**30


@dataclass(frozen=True)
class Survivors:
    """How much of what was not synced lasts through a power cut.

    Attributes
    ----------
    names : float
        Share of the changes of names, the oldest first.
    data : str
        Of the bytes written since the last fsync of a file: ``"none"`` (zeros where a file grew), ``"half"`` (each torn
        in the middle), ``"some"`` (pages by chance), ``"all"``.
    seed : int
        For the chance.
    """

    names: float = 0.0
    data: str = "none"
    seed: int = 0


@dataclass
class File:
    """Bytes as programs see them, bytes as they are kept, and the pages in which the two may differ."""

    mode: int = 0o100644
    data: bytearray = field(default_factory=bytearray)
    kept: bytearray = field(default_factory=bytearray)
    dirty: set[int] = field(default_factory=set)
    changed_ns: int = field(default_factory=time.time_ns)

    def write(self, at: int, data: bytes) -> None:
        if at > len(self.data):
            self.truncate(at)
        self.data[at : at + len(data)] = data
        self._touch(at, at + len(data))

    def truncate(self, size: int) -> None:
        before = len(self.data)
        del self.data[size:]
        self.data.extend(bytes(size - len(self.data)))
        self._touch(min(before, size), max(before, size))

    def sync(self) -> None:
        self._keep(sorted(self.dirty))
        self._resize(len(self.data))
        self.dirty.clear()

    def sync_failed(self) -> None:
        self.dirty.clear()

    def cut(self, survivors: Survivors, chance: random.Random) -> None:
        dirty = sorted(self.dirty)
        if dirty and survivors.data == "half":
            self._keep(dirty[: len(dirty) // 2])
            torn = dirty[len(dirty) // 2]
            self._keep_bytes(torn * PAGE, min(len(self.data), (torn + 1) * PAGE) - PAGE // 2)
        elif survivors.data == "some":
            self._keep([page for page in dirty if chance.random() < 0.5])
        elif survivors.data == "all":
            self.sync()
        self.data, self.dirty = bytearray(self.kept), set()

    def _touch(self, first: int, end: int) -> None:
        self.dirty.update(range(first // PAGE, -(-end // PAGE)))
        self.changed_ns = time.time_ns()

    def _keep(self, pages: list[int]) -> None:
        for page in pages:
            self._keep_bytes(page * PAGE, min(len(self.data), (page + 1) * PAGE))

    def _keep_bytes(self, first: int, end: int) -> None:
        if end > first:
            self._resize(max(end, len(self.kept)))
            self.kept[first:end] = self.data[first:end]

    def _resize(self, size: int) -> None:
        del self.kept[size:]
        self.kept.extend(bytes(size - len(self.kept)))


@dataclass(eq=False)
class Folder:
    """Names as programs see them, and as they are kept."""

    mode: int = 0o40755
    names: dict[str, Node] = field(default_factory=dict)
    kept: dict[str, Node] = field(default_factory=dict)
    changed_ns: int = field(default_factory=time.time_ns)


Node = File | Folder
#: A change of names that is atomic: in which folder, which name, what it means now.
Change = list[tuple[Folder, str, Node | None]]


class FaultDisk:
    """The tree, and the changes of names that no fsync has made last yet."""

    def __init__(self) -> None:
        self.root = Folder()
        self.pending: list[Change] = []

    def find(self, path: str) -> Node:
        node: Node = self.root
        for name in parts(path):
            if not isinstance(node, Folder):
                raise OSError(errno.ENOTDIR, path)
            if name not in node.names:
                raise OSError(errno.ENOENT, path)
            node = node.names[name]
        return node

    def file(self, path: str) -> File:
        node = self.find(path)
        if not isinstance(node, File):
            raise OSError(errno.EISDIR, path)
        return node

    def folder(self, path: str) -> Folder:
        node = self.find(path)
        if not isinstance(node, Folder):
            raise OSError(errno.ENOTDIR, path)
        return node

    def create(self, path: str, node: Node) -> None:
        folder, name = self._place(path)
        if name in folder.names:
            raise OSError(errno.EEXIST, path)
        self._change([(folder, name, node)])

    def unlink(self, path: str) -> None:
        self.file(path)
        self._change([(*self._place(path), None)])

    def rmdir(self, path: str) -> None:
        if self.folder(path).names:
            raise OSError(errno.ENOTEMPTY, path)
        self._change([(*self._place(path), None)])

    def rename(self, old: str, new: str) -> None:
        node = self.find(old)
        folder, name = self._place(new)
        there = folder.names.get(name)
        if isinstance(there, Folder) and there.names:
            raise OSError(errno.ENOTEMPTY, new)
        if there is not None and isinstance(there, Folder) != isinstance(node, Folder):
            raise OSError(errno.EISDIR if isinstance(there, Folder) else errno.ENOTDIR, new)
        self._change([(*self._place(old), None), (folder, name, node)])

    def sync_names(self, folder: Folder) -> None:
        """Keep the names of a folder, and of every folder that a rename ties to it."""
        tied = {id(folder)}
        for change in [*self.pending, *reversed(self.pending)]:
            here = {id(f) for f, _, _ in change}
            if here & tied:
                tied |= here
        kept = [change for change in self.pending if any(id(f) in tied for f, _, _ in change)]
        self.pending = [change for change in self.pending if not any(change is k for k in kept)]
        _keep(kept)

    def cut(self, survivors: Survivors) -> None:
        """Cut the power: what programs see from now on is what was kept."""
        chance = random.Random(survivors.seed)
        _keep(self.pending[: round(survivors.names * len(self.pending))])
        self.pending.clear()
        for node in _reached(self.root):
            if isinstance(node, File):
                node.cut(survivors, chance)
            else:
                node.names = dict(node.kept)

    def used(self) -> int:
        """Bytes of all files."""
        return sum(len(node.data) for _, node in walk(self.root) if isinstance(node, File))

    def save(self, place: Path) -> None:
        """Copy what programs see into a folder of a healthy disk."""
        place.mkdir(parents=True, exist_ok=True)
        for path, node in walk(self.root):
            target = place / path
            if isinstance(node, File):
                target.write_bytes(node.data)
                target.chmod(node.mode & 0o777)
            else:
                target.mkdir(exist_ok=True)

    def load(self, place: Path) -> None:
        """Begin with a copy of a folder, all of it kept."""
        for source in sorted(place.rglob("*")):
            path = str(source.relative_to(place))
            mode = source.stat().st_mode
            if source.is_dir():
                self.create(path, Folder(mode))
            else:
                data = source.read_bytes()
                self.create(path, File(mode, bytearray(data), bytearray(data)))
        _keep(self.pending)
        self.pending.clear()

    def _place(self, path: str) -> tuple[Folder, str]:
        parent, name = os.path.split(path)
        return self.folder(parent), name

    def _change(self, change: Change) -> None:
        for folder, name, node in change:
            _set(folder.names, name, node)
            folder.changed_ns = time.time_ns()
        self.pending.append(change)


def parts(path: str) -> list[str]:
    """Give the names in a path."""
    return [name for name in path.split("/") if name]


def walk(folder: Folder, path: str = "") -> Iterator[tuple[str, Node]]:
    """Go through everything in a folder, as programs see it, folders before what is in them."""
    for name, node in folder.names.items():
        yield f"{path}{name}", node
        if isinstance(node, Folder):
            yield from walk(node, f"{path}{name}/")


def _reached(folder: Folder) -> Iterator[Node]:
    yield folder
    for node in folder.kept.values():
        if isinstance(node, Folder):
            yield from _reached(node)
        else:
            yield node


def _keep(changes: list[Change]) -> None:
    for change in changes:
        for folder, name, node in change:
            _set(folder.kept, name, node)


def _set(names: dict[str, Node], name: str, node: Node | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node
