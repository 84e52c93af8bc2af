"""Two machines in one: network namespaces with a cable between them that can be pulled."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import subprocess
from collections.abc import Generator

CLONE_NEWNET = 0x40000000
_numbers = itertools.count()


class NamespaceError(Exception):
    """Namespaces cannot be made here."""


class Cable:
    """Namespaces ``tier`` and ``instrument``, and a veth pair between them; a context manager that removes them.

    Attributes
    ----------
    tier, instrument : str
        Addresses of the two ends.

    Raises
    ------
    NamespaceError
        They cannot be made here; the text says why.
    """

    tier, instrument = "10.213.7.1", "10.213.7.2"

    def __init__(self) -> None:
        name = f"oct{os.getpid()}n{next(_numbers)}"
        self._names = {self.tier: f"{name}t", self.instrument: f"{name}i"}
        try:
            self._lay()
        except BaseException:
            self.__exit__()
            raise

    def _lay(self) -> None:
        for name in self._names.values():
            _ip("netns", "add", name)
        tier, instrument = self._names.values()
        _ip("-n", tier, "link", "add", "cable0", "type", "veth", "peer", "name", "cable1", "netns", instrument)
        for (address, name), device in zip(self._names.items(), ("cable0", "cable1"), strict=True):
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", device)
            _ip("-n", name, "link", "set", device, "up")
        # Behind a switch nobody notices that a neighbour is gone: what is sent to it vanishes without an error.
        facts = json.loads(_ip("-n", tier, "-json", "link", "show", "cable0"))
        _ip("-n", instrument, "neigh", "replace", self.tier, "lladdr", facts[0]["address"], "dev", "cable1")

    def __enter__(self) -> Cable:
        """Give the cable."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove them; the cable goes with its ends."""
        for name in self._names.values():
            with contextlib.suppress(NamespaceError):
                _ip("netns", "del", name)

    def pull(self) -> None:
        """Take the link down, at the tier's end: the instrument's end loses its carrier."""
        _ip("-n", self._names[self.tier], "link", "set", "cable0", "down")

    def plug(self) -> None:
        """Bring it up again."""
        _ip("-n", self._names[self.tier], "link", "set", "cable0", "up")

    @contextlib.contextmanager
    def at(self, address: str) -> Generator[None]:
        """Be at one end: sockets made, threads and processes started in here by this thread belong there."""
        with (
            open("/proc/thread-self/ns/net") as home,
            open(f"/run/netns/{self._names[address]}") as there,
        ):
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NamespaceError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _enter(file: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(file, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
