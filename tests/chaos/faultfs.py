"""A FUSE file system that fails on request: the disk of `faultdisk.py`, mounted, in a process of its own.

By hand: ``python faultfs.py MOUNT SOCKET [CONTENT]``, then one JSON request a line into the socket, such as
``{"do": "arm", "faults": [{"operations": ["fsync"], "at": 3, "error": "EIO"}]}``.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import json
import os
import signal
import socketserver
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mfusepy

sys.path.insert(0, str(Path(__file__).parent))

from faultdisk import CAPACITY, PAGE, FaultDisk, File, Folder, Node, Survivors

#: Operations that change the disk, or promise that it is changed.
CHANGES = ("create", "write", "truncate", "fsync", "fsyncdir", "rename", "unlink", "mkdir", "rmdir")


@dataclass
class Fault:
    """What goes wrong, and when.

    Attributes
    ----------
    operations : list of str
        Kinds of operation that count: those of `CHANGES`, and ``"open"``.
    at : int
        Which of them goes wrong first, from 1.
    times : int
        How many go wrong from there on; 0: all, until the disk is healed.
    error : str
        Name of an error number; empty: none.
    delay_s : float
        How long the operation takes, seconds.
    short : bool
        Only half of the bytes are written, and that is what the program is told.
    cut : dict
        Fields of `Survivors`: the power is cut right after the operation, of which the program hears nothing.
    under : str
        Only paths that contain this count.
    """

    operations: list[str]
    at: int = 1
    times: int = 1
    error: str = ""
    delay_s: float = 0.0
    short: bool = False
    cut: dict[str, Any] | None = None
    under: str = ""
    seen: int = 0
    fired: int = 0

    def strikes(self, operation: str, path: str) -> bool:
        """Count an operation, and tell whether it goes wrong."""
        if operation not in self.operations or self.under not in path:
            return False
        self.seen += 1
        if self.seen < self.at or (self.times and self.seen >= self.at + self.times):
            return False
        self.fired += 1
        return True


class FaultFS(mfusepy.Operations):
    """The operations that FUSE asks for; every one of them on open files goes by handle, as files may be renamed."""

    use_ns = True
    flag_nopath = True
    flag_nullpath_ok = True

    def __init__(self) -> None:
        self.disk = FaultDisk()
        self.faults: list[Fault] = []
        self.dead = False
        self.done: list[tuple[str, str]] = []
        self._lock = threading.Lock()
        self._healed = threading.Event()
        self._open: dict[int, tuple[str, Node]] = {}
        self._handles = itertools.count(1)

    # --- requests of the test ---

    def request(self, do: str, **given: Any) -> Any:
        """Do what the test asks for."""
        with self._lock:
            return getattr(self, f"_do_{do}")(**given)

    def _do_arm(self, faults: list[dict[str, Any]]) -> None:
        self.faults = [Fault(**fault) for fault in faults]
        self._healed.clear()

    def _do_heal(self) -> None:
        self.faults = []
        self._healed.set()

    def _do_status(self) -> dict[str, Any]:
        return {"done": self.done, "fired": [f.fired for f in self.faults], "dead": self.dead}

    def _do_cut(self, **survivors: Any) -> None:
        self.disk.cut(Survivors(**survivors))
        self.dead = True

    def _do_save(self, place: str) -> None:
        self.disk.save(Path(place))

    def _do_load(self, place: str) -> None:
        self.disk.load(Path(place))

    def _do_clear(self) -> None:
        """Begin with an empty disk; the kernel may remember names for a second, so use others."""
        self.disk, self.faults, self.dead, self.done = FaultDisk(), [], False, []

    def _do_flip(self, path: str, bit: int) -> None:
        file = self.disk.file(path)
        for data in (file.data, file.kept):
            data[bit // 8] ^= 1 << bit % 8

    # --- faults ---

    def _begin(self, operation: str, path: str) -> Fault | None:
        """Count an operation; raise what must go wrong before it is done, give what must happen after it."""
        with self._lock:
            if self.dead:
                raise OSError(errno.EIO, path)
            self.done.append((operation, path))
            struck = next((fault for fault in self.faults if fault.strikes(operation, path)), None)
        if struck and struck.delay_s:
            self._healed.wait(struck.delay_s)
        if struck and struck.error:
            raise OSError(getattr(errno, struck.error), path)
        return struck

    def _end(self, struck: Fault | None, path: str) -> None:
        if struck and struck.cut is not None:
            self._do_cut(**struck.cut)
        if self.dead:
            raise OSError(errno.EIO, path)

    # --- names ---

    def getattr(self, path: str | None, fh: int | None = None) -> dict[str, Any]:
        with self._lock:
            if self.dead:
                raise OSError(errno.EIO, path)
            node = self._open[fh][1] if fh else self.disk.find(path or "")
            times = dict.fromkeys(("st_mtime", "st_ctime", "st_atime"), node.changed_ns)
            size = len(node.data) if isinstance(node, File) else PAGE
            return {**times, "st_mode": node.mode, "st_size": size, "st_nlink": 1, **_OWNER}

    def readdir(self, path: str | None, fh: int) -> list[str]:
        with self._lock:
            node = self._open[fh][1]
            assert isinstance(node, Folder)
            return [".", "..", *node.names]

    def mkdir(self, path: str, mode: int) -> int:
        struck = self._begin("mkdir", path)
        with self._lock:
            self.disk.create(path, Folder(0o40000 | mode))
            self._end(struck, path)
        return 0

    def rmdir(self, path: str) -> int:
        struck = self._begin("rmdir", path)
        with self._lock:
            self.disk.rmdir(path)
            self._end(struck, path)
        return 0

    def unlink(self, path: str) -> int:
        struck = self._begin("unlink", path)
        with self._lock:
            self.disk.unlink(path)
            self._end(struck, path)
        return 0

    def rename(self, old: str, new: str) -> int:
        struck = self._begin("rename", new)
        with self._lock:
            self.disk.rename(old, new)
            self._end(struck, new)
        return 0

    def chmod(self, path: str | None, mode: int, fh: int | None = None) -> int:
        with self._lock:
            node = self._open[fh][1] if fh else self.disk.find(path or "")
            node.mode = mode
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        with self._lock:
            free = (CAPACITY - self.disk.used()) // PAGE
        return {"f_bsize": PAGE, "f_frsize": PAGE, "f_blocks": CAPACITY // PAGE, "f_bfree": free, "f_bavail": free}

    # --- open files and folders ---

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        struck = self._begin("create", path)
        with self._lock:
            file = File(0o100000 | mode)
            self.disk.create(path, file)
            self._end(struck, path)
            return self._handle(path, file)

    def open(self, path: str, flags: int) -> int:
        struck = self._begin("open", path)
        with self._lock:
            file = self.disk.file(path)
            self._end(struck, path)
            return self._handle(path, file)

    def opendir(self, path: str) -> int:
        with self._lock:
            return self._handle(path, self.disk.folder(path))

    def read(self, path: str | None, size: int, offset: int, fh: int) -> bytes:
        with self._lock:
            self._end(None, path or "")
            return bytes(self._file(fh)[1].data[offset : offset + size])

    def write(self, path: str | None, data: bytes, offset: int, fh: int) -> int:
        name, file = self._file(fh)
        struck = self._begin("write", name)
        if struck and struck.short:
            data = data[: max(1, len(data) // 2)]
        with self._lock:
            file.write(offset, data)
            self._end(struck, name)
        return len(data)

    def truncate(self, path: str | None, length: int, fh: int | None = None) -> int:
        with self._lock:
            name, file = self._file(fh) if fh else (path or "", self.disk.file(path or ""))
        struck = self._begin("truncate", name)
        with self._lock:
            file.truncate(length)
            self._end(struck, name)
        return 0

    def fsync(self, path: str | None, datasync: int, fh: int) -> int:
        name, file = self._file(fh)
        try:
            struck = self._begin("fsync", name)
        except OSError:
            with self._lock:
                file.sync_failed()
            raise
        with self._lock:
            file.sync()
            self._end(struck, name)
        return 0

    def fsyncdir(self, path: str | None, datasync: int, fh: int) -> int:
        name, folder = self._open[fh]
        assert isinstance(folder, Folder)
        struck = self._begin("fsyncdir", name)
        with self._lock:
            self.disk.sync_names(folder)
            self._end(struck, name)
        return 0

    def release(self, path: str | None, fh: int) -> int:
        with self._lock:
            del self._open[fh]
        return 0

    def releasedir(self, path: str | None, fh: int) -> int:
        return self.release(path, fh)

    def _handle(self, path: str, node: Node) -> int:
        handle = next(self._handles)
        self._open[handle] = (path, node)
        return handle

    def _file(self, handle: int) -> tuple[str, File]:
        name, node = self._open[handle]
        assert isinstance(node, File)
        return name, node


_SIGNAL_WHEN_ORPHANED = 1
_OWNER = {"st_uid": os.getuid(), "st_gid": os.getgid()}


class _Fuse(mfusepy.FUSE):
    """Hands on which open file is meant, where FUSE 3 says so and the library does not."""

    def truncate_fuse_3(self, path: bytes | None, length: int, fip: Any) -> int:
        return self.operations.truncate(path and path.decode(), length, fip.contents.fh if fip else None)

    def chmod_fuse_3(self, path: bytes | None, mode: int, fip: Any) -> int:
        return self.operations.chmod(path and path.decode(), mode, fip.contents.fh if fip else None)


class _Requests(socketserver.StreamRequestHandler):
    """Reads requests, one a line, and answers each with a line."""

    def handle(self) -> None:
        for line in self.rfile:
            try:
                answer = {"answer": self.server.fs.request(**json.loads(line))}  # type: ignore[attr-defined]
            except (OSError, TypeError, AttributeError, ValueError) as error:
                answer = {"error": repr(error)}
            self.wfile.write(json.dumps(answer).encode() + b"\n")


def main(mount: str, control: str, content: str = "") -> None:
    """Serve until unmounted, or until the parent is gone."""
    ctypes.CDLL(None).prctl(_SIGNAL_WHEN_ORPHANED, signal.SIGTERM)
    fs = FaultFS()
    if content:
        fs.disk.load(Path(content))
    with socketserver.ThreadingUnixStreamServer(control, _Requests) as server:
        server.daemon_threads = True
        server.fs = fs  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        _Fuse(fs, mount, foreground=True, hard_remove=True, max_idle_threads=8)
        server.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
