"""Keeps child processes alive: starts them, restarts what dies, stops all in order."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from ..stream.clock import monotonic_s
from .child import MALLOC

log = structlog.get_logger()

#: A child that lives for so long has started well: the next restart is immediate.
SETTLED_S = 10.0
LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True)
class Said:
    """A child told its parent something."""

    name: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Died:
    """A child ended."""

    name: str
    code: int


@dataclass(frozen=True)
class Signalled:
    """The service was told to stop."""

    number: int


Happening = Said | Died | Signalled


@dataclass
class Child:
    """One process and how to start it.

    Attributes
    ----------
    name : str
        Of the place that it fills: ``head``, ``web``, ``worker-0``.
    role : str
        What it runs.
    settings : callable
        Gives its settings; asked at every start, because a new life may need other values.
    pass_fds : tuple of int
        File descriptors that it inherits.
    """

    name: str
    role: str
    settings: Callable[[], dict[str, Any]]
    pass_fds: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    began: float = 0.0
    failures: int = 0
    again_at: float | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and not self.ended.is_set()


class Supervisor:
    """Starts children and reports what happens to them, in one queue.

    Parameters
    ----------
    children : sequence of Child
        In the order in which they start.
    """

    def __init__(self, children: list[Child]) -> None:
        self.children = {c.name: c for c in children}
        self.happenings: queue.SimpleQueue[Happening] = queue.SimpleQueue()
        self.restart = True

    def start(self) -> None:
        """Start every child."""
        for child in self.children.values():
            self._start(child)

    def wait(self, seconds: float) -> Happening | None:
        """Give the next happening, if one comes in time; children that died are started again meanwhile."""
        now = monotonic_s()
        for child in self.children.values():
            if self.restart and child.again_at is not None and now >= child.again_at:
                self._start(child)
        pauses = [c.again_at - now for c in self.children.values() if c.again_at is not None]
        try:
            happening = self.happenings.get(timeout=max(0.01, min([seconds, *pauses])))
        except queue.Empty:
            return None
        if isinstance(happening, Died):
            self._plan_restart(self.children[happening.name], happening.code)
        return happening

    def _plan_restart(self, child: Child, code: int) -> None:
        if not self.restart:
            return
        settled = monotonic_s() - child.began > SETTLED_S
        child.failures = 0 if settled else child.failures + 1
        pause = 0.0 if settled else min(LONGEST_PAUSE_S, 0.1 * 2**child.failures)
        child.again_at = monotonic_s() + pause
        log.warning("process died and is started again", process=child.name, code=code, pause_s=round(pause, 2))

    def _start(self, child: Child) -> None:
        child.again_at = None
        child.began = monotonic_s()
        child.ended = threading.Event()
        read_fd, write_fd = os.pipe()
        command = [sys.executable, "-m", "octostream.api.process", child.role, str(write_fd)]
        child.process = subprocess.Popen(
            [*command, json.dumps(child.settings())],
            pass_fds=(*child.pass_fds, write_fd),
            stdin=subprocess.DEVNULL,
            env={**os.environ, **MALLOC},
            start_new_session=True,  # Ctrl-C in the terminal reaches the service alone, which stops them in order
        )
        os.close(write_fd)
        threading.Thread(target=self._listen, args=(child, child.process, read_fd, child.ended), daemon=True).start()

    def _listen(self, child: Child, process: subprocess.Popen[bytes], read_fd: int, ended: threading.Event) -> None:
        with os.fdopen(read_fd) as lines:
            for line in lines:
                self.happenings.put(Said(child.name, json.loads(line)))
        code = process.wait()
        ended.set()
        self.happenings.put(Died(child.name, code))

    def signal(self, name: str, number: signal.Signals) -> None:
        """Signal a child that lives."""
        child = self.children[name]
        if child.alive and child.process is not None:
            child.process.send_signal(number)

    def stop(self, name: str, seconds: float) -> None:
        """Ask a child to stop; end it if it has not within the time."""
        child = self.children[name]
        self.signal(name, signal.SIGTERM)
        if child.process is not None and not child.ended.wait(seconds):
            log.warning("process did not stop in time and is ended", process=name)
            child.process.kill()
            child.ended.wait(5)
