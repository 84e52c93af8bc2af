"""The fault file system as a test holds it: mounted, told what to fail, unmounted with nothing left behind."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

WAIT_S = 30.0


def why_not() -> str:
    """Tell why FUSE cannot be used here; empty where it can."""
    if not Path("/dev/fuse").exists():
        return "there is no /dev/fuse here"
    if shutil.which("fusermount3") is None:
        return "fusermount3 is not installed here (Debian: fuse3)"
    return ""


class MountedDisk:
    """A fault disk under ``path``.

    Parameters
    ----------
    path : Path
        Where to mount; an empty folder is made.
    content : Path, optional
        A folder whose copy is on the disk to begin with.
    """

    def __init__(self, path: Path, content: Path | None = None) -> None:
        self.path = path
        path.mkdir(exist_ok=True)
        self._private = Path(tempfile.mkdtemp(prefix="faultfs-"))
        self._control = str(self._private / "control")
        program = [sys.executable, str(Path(__file__).with_name("faultfs.py")), str(path), self._control]
        self._process = subprocess.Popen([*program, *([str(content)] if content else [])], stdin=subprocess.DEVNULL)
        try:
            self._wait(lambda: self._mounted() and Path(self._control).exists())
        except BaseException:
            self.unmount()
            raise

    def arm(self, *faults: dict[str, Any]) -> None:
        """Let these go wrong from now on; see `faultfs.Fault`."""
        self._ask("arm", faults=faults)

    def heal(self) -> None:
        """Let nothing go wrong any more; a disk without power stays so."""
        self._ask("heal")

    def cut(self, **survivors: Any) -> None:
        """Cut the power; see `faultdisk.Survivors`."""
        self._ask("cut", **survivors)

    def save(self, place: Path) -> Path:
        """Copy the content, after a cut what was kept, into a folder of a healthy disk."""
        self._ask("save", place=str(place))
        return place

    def load(self, place: Path) -> None:
        """Put a copy of a folder on the disk."""
        self._ask("load", place=str(place))

    def clear(self) -> None:
        """Begin anew with an empty disk. The kernel may remember names for a second: use others."""
        self._ask("clear")

    def flip(self, path: Path, bit: int) -> None:
        """Flip a bit of a stored file."""
        self._ask("flip", path=str(path.relative_to(self.path)), bit=bit)

    @property
    def done(self) -> list[tuple[str, str]]:
        """Operations so far, with their paths."""
        return [(operation, path) for operation, path in self._ask("status")["done"]]

    @property
    def fired(self) -> int:
        """How often the faults struck that are armed."""
        return sum(self._ask("status")["fired"])

    @property
    def dead(self) -> bool:
        """Whether the power is cut."""
        return self._ask("status")["dead"]

    def unmount(self) -> None:
        """End it, lazily where somebody still holds it; nothing is left behind."""
        for how in ("-u", "-uz"):
            if self._mounted():
                subprocess.run(["fusermount3", how, str(self.path)], capture_output=True, timeout=WAIT_S, check=False)
        try:
            self._process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(WAIT_S)
        shutil.rmtree(self._private, ignore_errors=True)

    def _mounted(self) -> bool:
        # By the kernel's list: a disk without power answers nothing, not even that it is there.
        return f" {self.path} fuse" in Path("/proc/self/mounts").read_text()

    def _ask(self, do: str, **given: Any) -> Any:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(WAIT_S)
            link.connect(self._control)
            link.sendall(json.dumps({"do": do, **given}).encode() + b"\n")
            with link.makefile() as file:
                said = json.loads(file.readline())
        if "error" in said:
            raise AssertionError(f"the fault disk cannot {do}: {said['error']}")
        return said["answer"]

    def _wait(self, condition: Any) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert self._process.poll() is None, "the fault disk ended at once"
            assert time.monotonic() < deadline, "the fault disk was not mounted in time"
            threading.Event().wait(0.01)
